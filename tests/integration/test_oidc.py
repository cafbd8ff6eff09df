"""Signing in by an OpenID Connect provider that runs here: who gets in, and which answers of it are not believed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi import FastAPI
from pydantic import SecretStr

from models.db.engine import Database
from models.domain.people import Standing, operator
from models.settings import Settings
from services import project
from services.people import accounts, sessions
from tests import in_process
from tests.databases import clock, database, new_url
from tests.oidc_provider import CLIENT, SECRET, Provider, provider
from ui.account import provider as ours
from ui.account.routes import Account
from ui.gate import Gate

__all__ = ["clock", "database"]

SHELL = operator("tester")


@pytest.fixture
def empty_url(tmp_path: Path) -> Iterator[str]:
    with new_url("sqlite", tmp_path) as url:
        yield url


@pytest.fixture
def a_provider() -> Iterator[Provider]:
    with provider() as running:
        yield running


@pytest.fixture
def some_settings(tmp_path: Path, a_provider: Provider) -> Settings:
    return Settings(
        data_dir=tmp_path,
        master_key=Fernet.generate_key().decode(),
        oidc_issuer=a_provider.issuer,
        oidc_client_id=CLIENT,
        oidc_client_secret=SecretStr(SECRET),
        oidc_name="Clinic account",
        _env_file=None,  # type: ignore[call-arg]
    )


@pytest.fixture
def a_browser(some_settings: Settings, database: Database) -> Iterator[httpx.Client]:
    app = FastAPI(openapi_url=None)
    app.add_middleware(Gate, settings=some_settings, db=database)
    app.include_router(Account(some_settings, database).router())
    with in_process.client(app, some_settings.web_url) as browser:
        yield browser


def leave(browser: httpx.Client, following: str = "/") -> str:
    """Follow the link on the sign-in page; the address at the provider."""
    answer = browser.get("/login/oidc", params={"next": following})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def agree(address: str) -> str:
    """What a person's browser does at the provider: agree, and be sent back."""
    return httpx.get(address, trust_env=False, timeout=120).headers["location"]


def sign_in(browser: httpx.Client, following: str = "/") -> httpx.Response:
    return browser.get(agree(leave(browser, following)))


def approve(database: Database, settings: Settings) -> None:
    (user,) = accounts.list(database, SHELL, "dora")
    assert user.standing is Standing.AWAITS_APPROVAL
    accounts.approve(database, settings, SHELL, user.id)


def test_a_newcomer_awaits_approval_and_then_gets_in(
    a_browser: httpx.Client, database: Database, some_settings: Settings
) -> None:
    assert "Sign in with Clinic account" in a_browser.get("/login").text
    first = sign_in(a_browser)
    assert first.status_code == 403 and "awaits approval" in first.text
    assert "adit" not in a_browser.cookies
    approve(database, some_settings)
    second = sign_in(a_browser, "/job?id=12")
    assert (second.status_code, second.headers["location"]) == (303, "/job?id=12")
    found = sessions.find(database, some_settings, a_browser.cookies["adit"])
    assert found is not None
    assert (found.user.username, found.user.full_name) == ("dora", "Dora Vogel")
    assert found.user.profile.email == "dora@example.org"


def test_the_person_is_known_by_the_subject_whatever_else_changes(
    a_browser: httpx.Client, database: Database, some_settings: Settings, a_provider: Provider
) -> None:
    sign_in(a_browser)
    approve(database, some_settings)
    a_provider.person |= {"email": "d.vogel@example.org", "preferred_username": "dvogel"}
    assert sign_in(a_browser).status_code == 303
    assert accounts.count(database, SHELL) == 1


def test_an_account_is_not_taken_over_by_an_address_that_nobody_verified(
    a_browser: httpx.Client, database: Database, a_provider: Provider
) -> None:
    accounts.create_admin(database, "alice", "alice@example.org", "correct-horse-7")
    a_provider.person |= {"email": "alice@example.org", "email_verified": False}
    answer = sign_in(a_browser)
    assert answer.status_code == 403 and "adit" not in a_browser.cookies


@pytest.mark.parametrize("odd", [["true"], {"is": True}, 1, "yes"])
def test_an_odd_word_about_an_address_does_not_verify_it(
    a_browser: httpx.Client, database: Database, a_provider: Provider, odd: object
) -> None:
    accounts.create_admin(database, "alice", "alice@example.org", "correct-horse-7")
    a_provider.person |= {"email": "alice@example.org", "email_verified": odd}
    answer = sign_in(a_browser)
    assert answer.status_code == 403 and "adit" not in a_browser.cookies


def test_a_mail_address_may_come_from_the_user_info(
    a_browser: httpx.Client, database: Database, a_provider: Provider
) -> None:
    a_provider.claims = {"email": None, "email_verified": None}
    a_provider.user_info = {"sub": "someone-else", "email": "dora@example.org", "email_verified": True}
    assert "not valid" in sign_in(a_browser).text
    a_provider.user_info["sub"] = "4711"
    assert "awaits approval" in sign_in(a_browser).text
    assert accounts.count(database, SHELL) == 1


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another-client"},
        {"aud": None},
        {"iss": "http://127.0.0.1:1"},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"sub": None},
        {"aud": [CLIENT, "another"], "azp": "another"},
    ],
    ids=str,
)
def test_an_id_token_for_somebody_else_is_not_believed(
    a_browser: httpx.Client, database: Database, a_provider: Provider, claims: dict[str, Any]
) -> None:
    a_provider.claims = claims
    answer = sign_in(a_browser)
    assert answer.status_code == 403 and "not valid" in answer.text
    assert accounts.count(database, SHELL) == 0


@pytest.mark.parametrize("algorithm", ["forged", "HS256", "none"])
def test_a_signature_that_is_not_the_providers_is_not_believed(
    a_browser: httpx.Client, database: Database, a_provider: Provider, algorithm: str
) -> None:
    if algorithm == "forged":
        a_provider.is_forged = True
    else:
        a_provider.algorithm = algorithm
    assert "not valid" in sign_in(a_browser).text
    assert accounts.count(database, SHELL) == 0


def test_the_provider_may_change_its_keys(a_browser: httpx.Client, a_provider: Provider) -> None:
    assert "awaits approval" in sign_in(a_browser).text
    a_provider.renew_key()
    assert "awaits approval" in sign_in(a_browser).text


def test_a_code_is_good_once_and_in_its_own_browser(
    a_browser: httpx.Client, database: Database, some_settings: Settings
) -> None:
    sign_in(a_browser)
    approve(database, some_settings)
    way_back = agree(leave(a_browser))
    note = a_browser.cookies["adit-oidc"]
    assert a_browser.get(way_back).status_code == 303
    assert "adit-oidc" not in a_browser.cookies
    a_browser.cookies.clear()
    assert a_browser.get(way_back).status_code == 403, "no note"
    a_browser.cookies.set("adit-oidc", note)
    assert a_browser.get(way_back).status_code == 403, "the code is used up"
    stolen = agree(leave(a_browser))
    a_browser.cookies.clear()
    leave(a_browser)
    answer = a_browser.get(stolen)
    assert answer.status_code == 403 and "not begun in this browser" in answer.text


def test_a_note_is_good_for_minutes(a_browser: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    way_back = agree(leave(a_browser))
    monkeypatch.setattr(ours, "_NOTE_S", -1)
    assert "took too long" in a_browser.get(way_back).text


@pytest.mark.parametrize("note", ["", "x", "gAAAAA", "\N{SNOWMAN}"])
def test_odd_notes_and_refusals_are_answered_with_the_form(a_browser: httpx.Client, note: str) -> None:
    headers = {"cookie": f"adit-oidc={note}".encode()} if note else {}
    for query in ("", "?error=access_denied&state=x", "?code=x&state=y"):
        answer = a_browser.get(f"/oidc/callback{query}", headers=headers)
        assert answer.status_code == 403 and "<form" in answer.text


def test_another_issuers_document_is_not_used(a_browser: httpx.Client, a_provider: Provider) -> None:
    a_provider.published = {"issuer": "http://127.0.0.1:1"}
    answer = a_browser.get("/login/oidc")
    assert answer.status_code == 403 and "Tell an administrator" in answer.text


def test_a_document_that_leads_away_from_tls_is_not_used(a_browser: httpx.Client, a_provider: Provider) -> None:
    a_provider.published = {"token_endpoint": a_provider.issuer.replace("http:", "ftp:") + "/token"}
    assert a_browser.get("/login/oidc").status_code == 403


def test_a_silent_provider_is_named_and_passwords_still_work(some_settings: Settings, database: Database) -> None:
    accounts.create_admin(database, "alice", "alice@example.org", "correct-horse-7")
    silent = some_settings.model_copy(update={"oidc_issuer": "http://127.0.0.1:9"})
    app = FastAPI(openapi_url=None)
    app.add_middleware(Gate, settings=silent, db=database)
    app.include_router(Account(silent, database).router())
    with in_process.client(app, silent.web_url) as browser:
        answer = browser.get("/login/oidc")
        assert answer.status_code == 503 and "does not answer" in answer.text


def test_under_maintenance_staff_may_come_by_the_provider(
    a_browser: httpx.Client, database: Database, some_settings: Settings
) -> None:
    sign_in(a_browser)
    approve(database, some_settings)
    project.update(database, SHELL, "", True, 1)
    assert sign_in(a_browser).status_code == 503
    (user,) = accounts.list(database, SHELL, "dora")
    accounts.update(database, SHELL, replace(user, is_staff=True))
    assert sign_in(a_browser).status_code == 303


def test_the_way_back_is_to_a_page_of_ours(
    a_browser: httpx.Client, database: Database, some_settings: Settings
) -> None:
    sign_in(a_browser)
    approve(database, some_settings)
    assert sign_in(a_browser, "https://evil.example/").headers["location"] == "/"
