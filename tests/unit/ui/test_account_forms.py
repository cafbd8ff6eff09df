"""The plain pages: what they say, what they keep, what they never do; with the services as they are.

On SQLite only: the services have tests of their own on both databases.
"""

import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi import FastAPI

from models.db.engine import Database
from models.domain.mails import Mail
from models.domain.people import Profile, Standing, operator
from models.settings import Settings
from services import project
from services.people import accounts, sessions
from services.post import mails
from tests import in_process
from tests.databases import clock, database, new_url
from ui.account.routes import Account
from ui.gate import Gate

__all__ = ["clock", "database"]

PASSWORD, OTHER = "correct-horse-7", "another-horse-8"
SHELL = operator("tester")
PERSON = {
    "username": "carol",
    "email": "carol@example.org",
    "first_name": "Carol",
    "last_name": "O'Neill <b>",
    "phone_number": "+49 6221 56",
    "department": "Radiology",
    "password": PASSWORD,
    "again": PASSWORD,
}


class Form(HTMLParser):
    """The form of a page: its inputs, and what is said about each."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.inputs: dict[str, dict[str, str | None]] = {}
        self.labels: set[str] = set()
        self.ids: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if identifier := values.get("id"):
            self.ids.add(identifier)
        if tag == "input" and (name := values.get("name")):
            self.inputs[name] = values
        if tag == "label" and (target := values.get("for")):
            self.labels.add(target)

    @property
    def hidden(self) -> dict[str, str]:
        return {name: str(values["value"]) for name, values in self.inputs.items() if values["type"] == "hidden"}

    @property
    def entered(self) -> dict[str, str | None]:
        return {name: values["value"] for name, values in self.inputs.items() if values["type"] != "hidden"}

    @property
    def wrong(self) -> set[str]:
        return {name for name, values in self.inputs.items() if values.get("aria-invalid") == "true"}


@pytest.fixture
def empty_url(tmp_path: Path) -> Iterator[str]:
    with new_url("sqlite", tmp_path) as url:
        yield url


@pytest.fixture
def some_settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path,
        master_key=Fernet.generate_key().decode(),
        support_email="help@example.org",
        _env_file=None,  # type: ignore[call-arg]
    )


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Mail]:
    """Mails that would go out."""
    caught: list[Mail] = []

    def catch(_db: Database, mail: Mail, broadcast_id: int | None = None) -> int:
        caught.append(mail)
        return len(caught)

    monkeypatch.setattr(mails, "queue", catch)
    return caught


def application(settings: Settings, db: Database) -> FastAPI:
    app = FastAPI(openapi_url=None)
    app.add_middleware(Gate, settings=settings, db=db)
    app.include_router(Account(settings, db).router())
    return app


@pytest.fixture
def a_browser(some_settings: Settings, database: Database, sent: list[Mail]) -> Iterator[httpx.Client]:
    accounts.create_admin(database, "alice", "alice@example.org", PASSWORD)
    with in_process.client(application(some_settings, database), some_settings.web_url) as browser:
        yield browser


def send(browser: httpx.Client, path: str, **values: str) -> httpx.Response:
    """Open a form, fill it in and send it."""
    page = browser.get(path)
    assert page.status_code == 200, page.text
    return browser.post(path.partition("?")[0], data={**Form(page.text).hidden, **values})


def link(mail: Mail) -> str:
    """The path of the link in a mail."""
    found = re.search(r"http://localhost:8000(/\S+\?token=\S+)", mail.body)
    assert found, mail.body
    return found[1]


# -- from registration to the first session ---------------------------------------------------------------------------


def test_somebody_registers_confirms_is_approved_and_signs_in(
    a_browser: httpx.Client, database: Database, some_settings: Settings, sent: list[Mail]
) -> None:
    answer = send(a_browser, "/register", **PERSON)
    assert answer.status_code == 200 and "We have sent you a mail" in answer.text
    (user,) = accounts.list(database, SHELL, "carol")
    assert user.profile == Profile("carol@example.org", "Carol", "O'Neill <b>", "+49 6221 56", "Radiology")
    refused = send(a_browser, "/login", identity="carol", password=PASSWORD)
    assert refused.status_code == 403 and "not confirmed" in refused.text

    confirmation = link(sent[0])
    for _ in range(2):
        assert a_browser.get(confirmation).status_code == 200, "looking at the link does not use it up"
    assert accounts.get(database, SHELL, user.id).standing is Standing.UNCONFIRMED
    assert "confirmed" in send(a_browser, confirmation).text
    assert accounts.get(database, SHELL, user.id).standing is Standing.AWAITS_APPROVAL
    assert send(a_browser, confirmation).status_code == 403, "once"
    assert "awaits approval" in send(a_browser, "/login", identity="carol", password=PASSWORD).text

    accounts.approve(database, some_settings, SHELL, user.id)
    answer = send(a_browser, "/login", identity="CAROL@example.org", password=PASSWORD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    found = sessions.find(database, some_settings, a_browser.cookies["adit"])
    assert found is not None and found.user.username == "carol"
    assert found.session.address == "192.0.2.1"


def test_what_is_wrong_stands_beside_its_field_and_what_was_right_is_kept(a_browser: httpx.Client) -> None:
    answer = send(a_browser, "/register", **{**PERSON, "email": "nowhere", "password": "short", "again": "short"})
    form = Form(answer.text)
    assert answer.status_code == 422
    assert form.wrong == {"email", "password"}
    assert form.entered["last_name"] == "O'Neill <b>"
    assert form.entered["password"] == form.entered["again"] == ""
    assert "<b>" not in answer.text, "what was entered is escaped"
    assert "<title>Error: Register" in answer.text
    for values in form.inputs.values():
        assert set((values.get("aria-describedby") or "").split()) <= form.ids
    assert "problem-email" in str(form.inputs["email"]["aria-describedby"])
    assert [name for name, values in form.inputs.items() if "autofocus" in values] == ["email"]


def test_passwords_that_differ_are_not_taken(a_browser: httpx.Client, database: Database) -> None:
    answer = send(a_browser, "/register", **{**PERSON, "again": OTHER})
    assert answer.status_code == 422 and Form(answer.text).wrong == {"again"}
    assert accounts.count(database, SHELL, "carol") == 0


def test_where_registration_is_closed_there_is_no_form(
    some_settings: Settings, database: Database, sent: list[Mail]
) -> None:
    closed = some_settings.model_copy(update={"registration_open": False})
    with in_process.client(application(closed, database), closed.web_url) as browser:
        assert browser.get("/register").status_code == 403
        assert "/register" not in browser.get("/login").text
        hidden = Form(browser.get("/login").text).hidden
        assert browser.post("/register", data={**hidden, **PERSON}).status_code == 403
    assert accounts.count(database, SHELL) == 0


@pytest.mark.parametrize("path", ["/login", "/register", "/resend", "/forgot", "/reset?token=x"])
def test_every_input_has_a_label_and_says_what_belongs_there(a_browser: httpx.Client, path: str) -> None:
    page = a_browser.get(path)
    form = Form(page.text)
    assert set(form.entered) == form.labels
    assert all(form.inputs[name]["autocomplete"] for name in form.entered)
    assert 'lang="en"' in page.text and "help@example.org" in page.text
    assert "<script" not in page.text and "style=" not in page.text


# -- signing in and out -----------------------------------------------------------------------------------------------


def test_a_wrong_password_and_an_unknown_name_look_the_same(a_browser: httpx.Client) -> None:
    answers = [send(a_browser, "/login", identity=name, password="wrong-password") for name in ("alice", "nobody")]
    assert [answer.status_code for answer in answers] == [403, 403]
    shown = [re.sub(r'value="[^"]*"', "", answer.text) for answer in answers]
    assert shown[0] == shown[1]
    assert "wrong-password" not in answers[0].text


def test_who_is_signed_in_is_sent_on(a_browser: httpx.Client) -> None:
    send(a_browser, "/login", identity="alice", password=PASSWORD)
    assert a_browser.get("/login?next=/jobs").headers["location"] == "/jobs"


def test_a_dead_cookie_is_removed_at_the_sign_in(a_browser: httpx.Client) -> None:
    a_browser.cookies.set("adit", "dead" * 10)
    removed = [line for line in a_browser.get("/login").headers.get_list("set-cookie") if line.startswith('adit="";')]
    assert len(removed) == 1 and "Max-Age=0" in removed[0]


def test_with_tls_cookies_are_bound_to_this_host(some_settings: Settings, database: Database) -> None:
    accounts.create_admin(database, "alice", "alice@example.org", PASSWORD)
    safe = some_settings.model_copy(update={"web_url": "https://adit.example.org"})
    with in_process.client(application(safe, database), safe.web_url) as browser:
        answer = send(browser, "/login", identity="alice", password=PASSWORD)
        (cookie,) = (line for line in answer.headers.get_list("set-cookie") if line.startswith("__Host-adit="))
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
        assert answer.headers["strict-transport-security"]
        plain = {"origin": "http://adit.example.org"}
        hidden = Form(browser.get("/forgot").text).hidden
        assert browser.post("/forgot", data=hidden, headers=plain).status_code == 403


def test_under_maintenance_the_form_says_so(a_browser: httpx.Client, database: Database) -> None:
    project.update(database, SHELL, "", True, project.get(database).version)
    assert "only administrators" in a_browser.get("/login").text
    assert send(a_browser, "/login", identity="alice", password=PASSWORD).status_code == 303


# -- passwords --------------------------------------------------------------------------------------------------------


def test_a_forgotten_password_is_replaced_by_a_link_once(a_browser: httpx.Client, sent: list[Mail]) -> None:
    known = send(a_browser, "/forgot", email="alice@example.org")
    unknown = send(a_browser, "/forgot", email="nobody@example.org")
    assert known.status_code == 200 and known.text == unknown.text
    (mail,) = sent
    reset = link(mail)
    weak = send(a_browser, reset, password="1234567890", again="1234567890")
    assert weak.status_code == 422 and Form(weak.text).wrong == {"password"}
    assert Form(weak.text).hidden["token"] in reset, "the link is still good"
    assert send(a_browser, reset, password=OTHER, again=OTHER).status_code == 200
    assert send(a_browser, reset, password=PASSWORD, again=PASSWORD).status_code == 403
    assert send(a_browser, "/login", identity="alice", password=PASSWORD).status_code == 403
    assert send(a_browser, "/login", identity="alice", password=OTHER).status_code == 303


def test_asking_for_too_many_mails_is_refused(a_browser: httpx.Client) -> None:
    statuses = [send(a_browser, "/forgot", email="alice@example.org").status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]


def test_a_password_is_changed_by_who_knows_it(a_browser: httpx.Client) -> None:
    assert a_browser.get("/account/password").headers["location"] == "/login?next=%2Faccount%2Fpassword"
    send(a_browser, "/login", identity="alice", password=PASSWORD)
    path = "/account/password"
    wrong = send(a_browser, path, old="not-my-password", new=OTHER, again=OTHER)
    assert wrong.status_code in {403, 422} and PASSWORD not in wrong.text
    weak = send(a_browser, path, old=PASSWORD, new="password", again="password")
    assert weak.status_code == 422 and Form(weak.text).wrong == {"new"}
    assert send(a_browser, path, old=PASSWORD, new=OTHER, again=OTHER).status_code == 200
    assert a_browser.get("/account/alive").status_code == 204
    assert send(a_browser, "/logout").status_code == 303
    assert send(a_browser, "/login", identity="alice", password=OTHER).status_code == 303


# -- from elsewhere ---------------------------------------------------------------------------------------------------


def test_values_in_addresses_are_escaped(a_browser: httpx.Client) -> None:
    for path in ('/reset?token="><script>alert(1)</script>', '/login?next=/"><script>alert(1)</script>'):
        text = a_browser.get(path).text
        assert "<script" not in text
        assert "alert(1)" not in unescape(text) or "&gt;&lt;script&gt;" in text


@pytest.mark.parametrize(
    "body", [b"\xff\xfe=1", b"a=1&" * 40, b"form_token=%00", b"username=%ff"], ids=["bytes", "many", "zero", "latin"]
)
def test_odd_bodies_are_refused(a_browser: httpx.Client, body: bytes) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert a_browser.post("/login", content=body, headers=headers).status_code in {403, 422}
