"""The web process from outside: who gets in, who is put out, and what a socket may do when rights have ended."""

import http.client
import json
import time
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from models.domain.people import operator
from services import project
from services.people import accounts, sessions
from tests.web import PASSWORD, WITHOUT_LOOKS, Browser, Web, web

SHELL = operator("tester")


@pytest.fixture(scope="module")
def a_web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("web")) as running:
        yield running


@pytest.fixture(scope="module")
def a_web_without_looks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Closes the sockets of a session that it has ended itself, and of no other."""
    with web(tmp_path_factory.mktemp("without-looks"), WITHOUT_LOOKS) as running:
        yield running


@pytest.fixture
def somebody(a_web: Web) -> str:
    """The name of a new account."""
    name = f"user{time.monotonic_ns()}"
    a_web.user(name)
    return name


@pytest.fixture
def a_maintenance(a_web: Web) -> Iterator[None]:
    project.update(a_web.db, SHELL, "", True, project.get(a_web.db).version)
    yield
    project.update(a_web.db, SHELL, "", False, project.get(a_web.db).version)


def session_cookie(browser: Browser) -> str:
    return browser.cookies["adit"]


def end_in_database(a_web: Web, browser: Browser) -> None:
    """End a session as another process would: this one is not told."""
    sessions.sign_out(a_web.db, session_cookie(browser))


# -- who gets in -----------------------------------------------------------------------------------


def test_health_is_open_and_says_nothing_else(a_web: Web) -> None:
    answer = a_web.browser().get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    "path",
    [
        "/account/alive",
        "/_stcore/metrics",
        "/_stcore/host-config",
        "/_stcore/agent/state",
        "/media/0123",
        "/component/x",
        "/files/receipts/1.json",
    ],
)
def test_programs_without_a_session_get_401(a_web: Web, path: str) -> None:
    assert a_web.browser(accept="*/*").get(path).status_code == 401


def test_a_page_without_a_session_leads_to_the_sign_in_and_back(a_web: Web) -> None:
    browser = a_web.browser()
    answer = browser.get("/job?id=12")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fjob%3Fid%3D12")
    assert browser.sign_in("bob", following="/job?id=12").headers["location"] == "/job?id=12"
    assert browser.get("/job?id=12").status_code == 200


@pytest.mark.parametrize(
    "following",
    ["//evil.example", "/\\evil.example", "https://evil.example/", "javascript:alert(1)", "/login", "\t//e"],
)
def test_signing_in_leads_to_no_other_site(a_web: Web, following: str) -> None:
    assert a_web.browser().sign_in("bob", following=following).headers["location"] == "/"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/job/12", "/job?id=12"),
        ("/jobs/12/", "/job?id=12"),
        ("/django-admin/auth/group/", "/administration"),
        ("/admin", "/administration"),
        ("/admin-section/", "/administration"),
    ],
)
def test_old_addresses_lead_to_the_page(a_web: Web, old: str, new: str) -> None:
    answer = a_web.browser().get(old)
    assert (answer.status_code, answer.headers["location"]) == (303, new)


def test_a_page_that_would_stay_white_is_not_sent(a_web: Web) -> None:
    answer = a_web.signed_in("bob").get("/jobs/12/items")
    assert answer.status_code == 404 and "no page at this address" in answer.text


def test_the_pages_forbid_inline_script_frames_and_keeping(a_web: Web) -> None:
    for path in ("/login", "/"):
        headers = a_web.signed_in("bob").get(path, follow_redirects=True).headers
        policy = headers["content-security-policy"]
        assert "script-src 'self';" in policy or "default-src 'none';" in policy
        assert "'unsafe-eval'" not in policy and "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "/static/../_stcore/metrics",
        "/static/..%2f_stcore/metrics",
        "/static/%2e%2e/_stcore/metrics",
        "/app/static/../app.py",
        "/app/static/..%2fapp.py",
        "/app/static/%2e%2e/.streamlit/config.toml",
        "/app/static//etc/passwd",
        "/login/../_stcore/metrics",
        "/register/../../",
    ],
)
def test_an_open_path_is_no_way_round(a_web: Web, path: str) -> None:
    """Sent as it stands: browsers and httpx would resolve it before."""
    port = a_web.settings.web_port
    connection = http.client.HTTPConnection("localhost", port, timeout=120)
    connection.request("GET", path, headers={"accept": "*/*"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status in {400, 401, 403, 404}, body
    assert b"active_sessions" not in body and b"import" not in body and b"root:" not in body


def test_another_name_of_the_machine_is_not_served(a_web: Web) -> None:
    assert a_web.browser(host="evil.example").get("/login").status_code == 400


# -- cookies and forms -----------------------------------------------------------------------------


def test_the_session_cookie_is_kept_from_scripts_and_other_sites(a_web: Web) -> None:
    answer = a_web.browser().sign_in("bob")
    (cookie,) = (line for line in answer.headers.get_list("set-cookie") if line.startswith("adit="))
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
    assert "Max-Age" not in cookie and "Domain" not in cookie


def test_a_planted_session_is_replaced_and_dead(a_web: Web) -> None:
    browser = a_web.browser()
    planted = "planted" * 6
    browser.plant("adit", planted)
    browser.sign_in("bob")
    assert session_cookie(browser) != planted
    stranger = a_web.browser(cookie=f"adit={planted}")
    assert stranger.get("/").status_code == 303


def test_signing_in_again_ends_the_session_before(a_web_without_looks: Web) -> None:
    a_web = a_web_without_looks
    browser = a_web.signed_in("bob")
    before = session_cookie(browser)
    with a_web.page(browser) as page:
        page.run()
        second = a_web.browser(cookie=f"adit={before}")
        shown = second.get("/login")
        assert shown.headers["location"] == "/", "who is signed in needs no form"
        other = a_web.browser()
        other.get("/login")
        other.plant("adit", before)
        answer = other.post("/login", data={**_form(a_web, other), "identity": "alice", "password": PASSWORD})
        assert answer.status_code == 303
        assert page.close_code() == 4401
    assert a_web.browser(cookie=f"adit={before}").get("/").status_code == 303


def _form(a_web: Web, browser: Browser) -> dict[str, str]:
    """The hidden values of the sign-in form for a browser that is not shown it any more."""
    from ui.account.forms import TOKEN, token_for

    return {TOKEN: token_for(a_web.settings, browser.cookies["adit-form"]), "next": "/"}


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=str,
)
def test_a_form_from_another_site_is_refused(a_web: Web, headers: dict[str, str]) -> None:
    browser = a_web.browser()
    browser.get("/login")
    data = {**_form(a_web, browser), "identity": "bob", "password": PASSWORD}
    answer = browser.post("/login", data=data, headers=headers)
    assert answer.status_code == 403
    assert "adit" not in browser.cookies


def test_a_form_without_its_token_is_refused(a_web: Web) -> None:
    browser = a_web.browser()
    browser.get("/login")
    right = {**_form(a_web, browser), "identity": "bob", "password": PASSWORD}
    for wrong in ({"form_token": ""}, {"form_token": "0" * 64}):
        assert browser.post("/login", data={**right, **wrong}).status_code == 403
    browser.cookies.clear()
    assert browser.post("/login", data=right).status_code == 403
    assert "adit" not in browser.cookies


def test_too_many_wrong_passwords_stop_the_right_one_too(a_web: Web, somebody: str) -> None:
    browser = a_web.browser(**{"x-forwarded-for": "192.0.2.7"})
    statuses = [browser.sign_in(somebody, "wrong-password").status_code for _ in range(6)]
    assert statuses == [403] * 5 + [429]
    assert browser.sign_in(somebody).status_code == 429
    assert a_web.browser().sign_in(somebody).status_code == 303, "elsewhere nobody is locked out"


def test_the_address_of_a_browser_is_what_our_own_proxy_says(a_web: Web, somebody: str) -> None:
    browser = a_web.browser(**{"x-forwarded-for": "192.0.2.99"})
    browser.sign_in(somebody)
    found = sessions.find(a_web.db, a_web.settings, session_cookie(browser))
    assert found is not None and found.session.address == "192.0.2.99"


def test_reading_never_signs_out(a_web: Web) -> None:
    browser = a_web.signed_in("bob")
    assert browser.get("/logout").status_code == 200
    assert browser.get("/account/alive").status_code == 204
    assert browser.send_form("/logout").headers["location"] == "/login"
    assert browser.get("/account/alive", headers={"accept": "*/*"}).status_code == 401


def test_uploads_need_a_session_and_our_own_page(a_web: Web) -> None:
    path = "/_stcore/upload_file/0123/4567"
    assert a_web.browser(accept="*/*").put(path, content=b"x").status_code == 401
    foreign = a_web.signed_in("bob").put(path, content=b"x", headers={"origin": "https://evil.example"})
    assert foreign.status_code == 403
    without_token = a_web.signed_in("bob").put(path, content=b"x")
    assert without_token.status_code == 403, "Streamlit's own token"


# -- sockets ---------------------------------------------------------------------------------------


def refused(a_web: Web, browser: Browser, **headers: str) -> int:
    """The status by which a socket is refused before anything is drawn."""
    with pytest.raises(InvalidStatus) as refusal, a_web.page(browser, **headers):
        pass
    return refusal.value.response.status_code


def test_a_socket_needs_a_session(a_web: Web) -> None:
    assert refused(a_web, a_web.browser()) == 403
    stranger = a_web.browser()
    stranger.plant("adit", "A" * 43)
    assert refused(a_web, stranger) == 403


def test_a_socket_is_opened_by_our_own_page_only(a_web: Web) -> None:
    browser = a_web.signed_in("bob")
    assert refused(a_web, browser, Origin="https://evil.example") == 403
    handshake = {
        "host": "evil.example",
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
    }
    assert browser.get("/_stcore/stream", headers=handshake).status_code == 403


def test_a_page_knows_who_is_there_whatever_the_browser_says(a_web: Web) -> None:
    alice = str(accounts.list(a_web.db, SHELL, "alice")[0].id)
    browser = a_web.signed_in("bob")
    with a_web.page(browser, **{"X-App-User": alice, "X-App-Sid": "1"}) as page:
        shown = page.run()
    assert "Bob Tester" in shown
    assert "alice" not in shown and "/administration" not in shown


def test_the_state_of_a_page_is_given_to_its_own_session_only(a_web: Web) -> None:
    """A tab that is still open while somebody else signs in asks for the old state by its ID."""
    alice = a_web.signed_in("alice")
    with a_web.page(alice) as page:
        page.run()
        hers = page.session
    with a_web.page(alice, hers) as again:
        again.run()
        assert again.session == hers, "a cut connection gets its state back"
        with a_web.page(a_web.signed_in("bob"), hers) as taken:
            assert "Bob Tester" in taken.run()
            assert taken.session != hers
    with a_web.page(a_web.signed_in("bob"), hers) as taken:
        taken.run()
        assert taken.session != hers
    with a_web.page(a_web.signed_in("alice"), hers) as later:
        later.run()
        assert later.session != hers, "nor does another session of the same person"


def test_signing_out_closes_every_tab_at_once(a_web_without_looks: Web) -> None:
    a_web = a_web_without_looks
    browser = a_web.signed_in("bob")
    with a_web.page(browser) as first, a_web.page(browser) as second:
        first.run()
        second.run()
        other = a_web.browser()
        other.plant("adit", session_cookie(browser))
        assert other.send_form("/logout").status_code == 303
        assert first.close_code() == 4401
        assert second.close_code() == 4401
    assert refused(a_web, browser) == 403


def test_a_new_password_closes_all_other_sessions_at_once(a_web_without_looks: Web) -> None:
    a_web, somebody = a_web_without_looks, "somebody"
    a_web.user(somebody)
    here, elsewhere = a_web.signed_in(somebody), a_web.signed_in(somebody)
    new = "another-horse-8"
    with a_web.page(elsewhere) as page, a_web.page(here) as own:
        page.run()
        own.run()
        assert here.send_form("/account/password", old=PASSWORD, new=new, again=new).status_code == 200
        assert page.close_code() == 4401
        assert "Tester" in own.run()
    assert a_web.browser().sign_in(somebody, new).status_code == 303


@pytest.mark.parametrize("is_automatic", [False, True])
def test_a_message_of_an_ended_session_runs_nothing(a_web: Web, is_automatic: bool) -> None:
    """Callbacks and fragments begin with a message too, and never see the top of the script."""
    browser = a_web.signed_in("bob")
    with a_web.page(browser) as page:
        page.run()
        end_in_database(a_web, browser)
        with pytest.raises(ConnectionClosed) as closed:
            page.run(is_automatic=is_automatic)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401
        assert page.shown == ""


def test_an_idle_socket_of_an_ended_session_is_closed(a_web: Web) -> None:
    browser = a_web.signed_in("bob")
    with a_web.page(browser) as page:
        page.run()
        end_in_database(a_web, browser)
        assert page.close_code() == 4401


def test_a_deactivated_user_is_out_in_all_tabs(a_web: Web, somebody: str) -> None:
    browsers = [a_web.signed_in(somebody), a_web.signed_in(somebody)]
    (user,) = accounts.list(a_web.db, SHELL, somebody)
    with a_web.page(browsers[0]) as first, a_web.page(browsers[1]) as second:
        first.run()
        second.run()
        accounts.deactivate(a_web.db, SHELL, user.id)
        assert first.close_code() == 4401
        assert second.close_code() == 4401
    assert browsers[0].get("/").status_code == 303
    assert a_web.browser().sign_in(somebody).status_code == 403


def test_what_a_page_does_by_itself_keeps_no_session_alive(a_web: Web, somebody: str) -> None:
    browser = a_web.signed_in(somebody)
    token = session_cookie(browser)

    def seen_at() -> str:
        found = sessions.find(a_web.db, a_web.settings, token, is_active=False)
        assert found is not None
        return found.session.seen_at.isoformat()

    with a_web.page(browser) as page:
        page.run()
        _let_it_look_old(a_web, token)
        before = seen_at()
        browser.get("/account/alive")
        page.run(is_automatic=True)
        assert seen_at() == before
        page.run()
        assert seen_at() > before


def _let_it_look_old(a_web: Web, token: str) -> None:
    from datetime import timedelta

    from sqlalchemy import update

    from models.db.tables import WebSessionRow
    from services.people.secret_tokens import digest_of

    then = a_web.db.clock() - timedelta(minutes=5)
    with a_web.db.transaction() as session:
        chosen = update(WebSessionRow).where(WebSessionRow.token_digest == digest_of(token))
        session.execute(chosen.values(seen_at=then))


# -- maintenance -----------------------------------------------------------------------------------


def test_under_maintenance_only_staff_get_in(a_web: Web, a_maintenance: None) -> None:
    anybody = a_web.browser()
    assert anybody.get("/health").status_code == 200
    assert anybody.get("/login").status_code == 200
    assert anybody.get("/register").status_code == 503
    answer = anybody.sign_in("bob")
    assert answer.status_code == 503 and "under maintenance" in answer.text
    staff = a_web.signed_in("alice")
    assert staff.get("/").status_code == 200
    assert staff.get("/api/anything").status_code == 503
    assert anybody.get("/api/anything").status_code == 503
    with a_web.page(staff) as page:
        assert "Maintenance mode is on" in page.run()


def test_maintenance_puts_out_who_is_in(a_web: Web) -> None:
    browser, staff = a_web.signed_in("bob"), a_web.signed_in("alice")
    with a_web.page(browser) as page, a_web.page(staff) as theirs:
        page.run()
        theirs.run()
        project.update(a_web.db, SHELL, "", True, project.get(a_web.db).version)
        try:
            assert page.close_code() == 4503
            answer = browser.get("/")
            assert answer.status_code == 503 and "maintenance" in answer.text
            assert refused(a_web, browser) == 403
            assert "Welcome" in theirs.run()
        finally:
            project.update(a_web.db, SHELL, "", False, project.get(a_web.db).version)
    assert browser.get("/").status_code == 200, "the session has lived on"


def test_the_api_does_not_ask_for_a_session_and_is_not_the_page(a_web: Web) -> None:
    answer = a_web.browser().get("/api/v1/anything")
    assert (answer.status_code, answer.json()["code"]) == (404, "NotFound")
    answer = a_web.browser().get("/api/v1/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "Unauthenticated")


# -- what must not be ------------------------------------------------------------------------------


def test_the_log_holds_no_addresses_of_pages_and_no_line_twice(a_web: Web) -> None:
    a_web.browser().get("/confirm?token=very-secret-token")
    a_web.signed_in("bob").get("/job?id=987654321")
    lines = a_web.log.read_text().splitlines()
    assert not [line for line in lines if "very-secret-token" in line or "987654321" in line]
    assert len([line for line in lines if "pages at" in line]) == 1
    assert not [line for line in lines if "ERROR" in line], lines


def test_a_broken_message_closes_the_socket_and_shows_nothing_of_ours(a_web: Web) -> None:
    with a_web.page(a_web.signed_in("bob")) as page:
        page.run()
        page.connection.send(b"\xff\xff\xff")
        assert page.close_code() == 1002


def test_a_form_that_is_too_long_is_refused(a_web: Web) -> None:
    browser = a_web.browser()
    browser.get("/login")
    answer = browser.post("/login", data={**_form(a_web, browser), "identity": "x" * 40_000})
    assert answer.status_code == 422
    odd = browser.post("/login", content=json.dumps({}), headers={"content-type": "application/json"})
    assert odd.status_code == 422


def test_the_process_ends_when_asked_although_sockets_are_open(tmp_path_factory: pytest.TempPathFactory) -> None:
    with web(tmp_path_factory.mktemp("ending")) as running, running.page(running.signed_in("bob")) as page:
        page.run()
        running.process.terminate()
        assert running.process.wait(240) in {0, -15}
