"""Passwords are strong enough, are changed by who may, and a change shuts everybody else out."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from models.db.engine import Database
from models.db.people import UserStore
from models.domain.audit import AuditAction
from models.domain.errors import AditError, BadRequest, NotPermitted, TooManyTries, WrongState
from models.domain.people import Standing, operator
from models.settings import Settings
from services import audit
from services.people import accounts, even_answers, passwords, sessions
from tests.databases import Clock
from tests.people import ANOTHER_PASSWORD, PASSWORD, a_profile, a_session, a_user, acting, mails_to, token_in
from tests.samples import some_settings

HERE = "192.0.2.7"
ROOT = operator("root")


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(even_answers, "TAKES_S", 0.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path)


def signs_in(db: Database, settings: Settings, password: str, name: str = "ada") -> bool:
    try:
        return bool(accounts.sign_in(db, settings, name, password, "198.51.100.1", ""))
    except NotPermitted:
        return False


def reset_token(db: Database, settings: Settings, email: str = "ada@example.org") -> str:
    accounts.request_reset(db, settings, email, HERE)
    return token_in(mails_to(db, email.lower())[-1])


@pytest.mark.parametrize(
    "password",
    [
        *("", "short", "123456789", "x" * 257, "1234567890", "0987654321123", "٣٣٣٣٣٣٣٣٣٣"),
        *(
            "password12",
            "Password123!",
            "P@ssw0rd1234",
            "passwordpassword",
            "!!Passwort!!",
            "Sommer2026!!",
            "hello12345",
        ),
        *("aaaaaaaaaa", "abababababab", "abcdefghij", "zyxwvutsrq", "qwertzuiop", "1q2w3e4r5t", "1qaz2wsx3edc"),
        *("AdaLovelace", "lovelace-ada", "ada.lovelace1815", "ADA-lovelace!", "engine-7lovelace"),
    ],
)
def test_weak_passwords_are_refused_with_a_sentence(password: str) -> None:
    profile = a_profile("ada.lovelace", first_name="Ada", last_name="Lovelace")
    found = accounts.password_problem(password, profile, "engine")
    assert found.endswith(".")
    assert password not in found or not password


@pytest.mark.parametrize(
    "password",
    [
        *(PASSWORD, ANOTHER_PASSWORD, "correct horse battery staple", "x7Gh2kLp9q", "Grüße-vom-Neckar", "73#92$18!qwe"),
        *("lovelace-9f3kQz7", "ни-звука-больше", "k d w p z q 1 7 3"),
    ],
)
def test_good_passwords_are_taken(password: str) -> None:
    profile = a_profile("ada.lovelace", first_name="Ada", last_name="Lovelace")
    assert accounts.password_problem(password, profile, "ada") == ""


def test_somebody_without_names_can_have_a_password() -> None:
    assert accounts.password_problem(PASSWORD, a_profile(first_name="", last_name=""), "") == ""


@given(st.text())
def test_every_text_gets_a_verdict(password: str) -> None:
    assert accounts.password_problem(password, a_profile(), "ada") in {
        "",
        *("At least 10 characters.", "At most 256 characters.", "Digits alone are too easy to guess."),
        "Too many people use this password, or one that is nearly the same.",
        "It is too much like your name or mail address.",
    }


@given(st.text(min_size=1, max_size=40, alphabet=st.characters(exclude_categories=["Cs"])))
@examples(max_examples=15, deadline=None)
def test_a_hash_matches_its_password_only(password: str) -> None:
    kept = passwords.hashed(password)
    assert passwords.matches(password, kept)
    assert not passwords.matches(f"{password}x", kept)
    assert not passwords.matches(password, "")
    assert not passwords.matches(password, "no hash")
    assert not passwords.is_outdated(kept)


def test_letters_composed_in_another_way_are_the_same_password() -> None:
    assert passwords.matches("Gru\u0308\u00dfe", passwords.hashed("Gr\u00fc\u00dfe"))


def test_at_most_three_are_hashed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    at_work, most, lock = 0, 0, threading.Lock()
    real = passwords._HASHER.hash

    def counted(password: str) -> str:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        try:
            return real(password)
        finally:
            with lock:
                at_work -= 1

    class Counting:
        hash = staticmethod(counted)

    monkeypatch.setattr(passwords, "_HASHER", Counting)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(passwords.hashed, ["x"] * 12))
    assert 1 <= most <= 3


def test_a_changed_password_counts_and_ends_all_other_sessions(database: Database, settings: Settings) -> None:
    user = a_user(database)
    other, mine = a_session(database, settings, user), a_session(database, settings, user)
    found = sessions.find(database, settings, mine)
    assert found is not None
    accounts.request_reset(database, settings, "ada@example.org", HERE)
    link = token_in(mails_to(database, "ada@example.org")[-1])
    accounts.change_password(database, settings, found.actor, PASSWORD, ANOTHER_PASSWORD, found.session.id)
    assert sessions.find(database, settings, mine) is not None
    assert sessions.find(database, settings, other) is None
    assert not signs_in(database, settings, PASSWORD)
    assert signs_in(database, settings, ANOTHER_PASSWORD)
    assert mails_to(database, "ada@example.org")[-1].subject == "Your password was changed"
    with pytest.raises(NotPermitted):
        accounts.reset_password(database, settings, link, PASSWORD, HERE)


def test_the_old_password_is_needed_and_cannot_be_guessed(database: Database, settings: Settings, clock: Clock) -> None:
    actor = acting(database, settings, a_user(database))
    for _ in range(5):
        with pytest.raises(BadRequest) as raised:
            accounts.change_password(database, settings, actor, "wrong", ANOTHER_PASSWORD, 0)
        assert raised.value.problems.keys() == {"old"}
    with pytest.raises(TooManyTries):
        accounts.change_password(database, settings, actor, PASSWORD, ANOTHER_PASSWORD, 0)
    lines = audit.entries(database, ROOT)
    assert [(line.action, line.outcome) for line in lines] == [(AuditAction.CHANGE_PASSWORD, "BadRequest")] * 5


def test_a_weak_new_password_changes_nothing(database: Database, settings: Settings) -> None:
    actor = acting(database, settings, a_user(database))
    with pytest.raises(BadRequest) as raised:
        accounts.change_password(database, settings, actor, PASSWORD, "short", 0)
    assert raised.value.problems.keys() == {"new"}
    assert signs_in(database, settings, PASSWORD)


def test_two_changes_at_once_are_one(database: Database, settings: Settings) -> None:
    actor = acting(database, settings, a_user(database))
    news = [f"{ANOTHER_PASSWORD}-{number}" for number in range(3)]

    def is_changed(new: str) -> bool:
        try:
            accounts.change_password(database, settings, actor, PASSWORD, new, 0)
        except AditError as error:
            assert error.code in {"Outdated", "BadRequest"}
            return False
        return True

    with ThreadPoolExecutor(3) as pool:
        changed = list(pool.map(is_changed, news))
    assert changed.count(True) == 1
    assert [signs_in(database, settings, new) for new in news] == changed


def test_without_an_account_or_a_password_there_is_nothing_to_change(database: Database, settings: Settings) -> None:
    with pytest.raises(NotPermitted):
        accounts.change_password(database, settings, ROOT, PASSWORD, ANOTHER_PASSWORD, 0)
    user = a_user(database)
    UserStore(database).link_subject(user.id, "s", keeps_password=False)
    actor = acting(database, settings, user)
    with pytest.raises(WrongState):
        accounts.change_password(database, settings, actor, "", ANOTHER_PASSWORD, 0)


def test_a_link_from_a_mail_sets_a_new_password_once(database: Database, settings: Settings) -> None:
    user = a_user(database)
    session = a_session(database, settings, user)
    first, second = (reset_token(database, settings, "ADA@example.org".lower()) for _ in range(2))
    with pytest.raises(BadRequest) as raised:
        accounts.reset_password(database, settings, first, "ada-example", HERE)
    assert raised.value.problems.keys() == {"password"}
    accounts.reset_password(database, settings, first, ANOTHER_PASSWORD, HERE)
    assert sessions.find(database, settings, session) is None
    assert signs_in(database, settings, ANOTHER_PASSWORD)
    for used in (first, second):
        with pytest.raises(NotPermitted):
            accounts.reset_password(database, settings, used, PASSWORD, HERE)
    actions = [line.action for line in audit.entries(database, ROOT)]
    assert actions.count(AuditAction.RESET_PASSWORD) == 1


def test_a_link_for_a_password_is_good_for_two_hours(database: Database, settings: Settings, clock: Clock) -> None:
    a_user(database)
    token = reset_token(database, settings)
    assert "2 hours" in mails_to(database, "ada@example.org")[-1].body
    clock.pass_by(7200)
    with pytest.raises(NotPermitted):
        accounts.reset_password(database, settings, token, ANOTHER_PASSWORD, HERE)


def test_a_link_to_confirm_an_address_sets_no_password(database: Database, settings: Settings) -> None:
    accounts.register(database, settings, "ada", a_profile(), PASSWORD, HERE)
    token = token_in(mails_to(database, "ada@example.org")[-1])
    with pytest.raises(NotPermitted):
        accounts.reset_password(database, settings, token, ANOTHER_PASSWORD, HERE)


@pytest.mark.parametrize("standing", [Standing.UNCONFIRMED, Standing.DEACTIVATED, None])
def test_who_cannot_reset_gets_the_same_answer_and_no_mail(
    database: Database, settings: Settings, standing: Standing | None
) -> None:
    if standing is Standing.UNCONFIRMED:
        UserStore(database).add("ada", a_profile())
    if standing is Standing.DEACTIVATED:
        UserStore(database).change_active(a_user(database).id, False)
    assert accounts.request_reset(database, settings, "ada@example.org", HERE) is None
    assert mails_to(database, "ada@example.org") == []


def test_who_only_comes_by_the_provider_gets_no_way_around_it(database: Database, settings: Settings) -> None:
    UserStore(database).link_subject(a_user(database).id, "s", keeps_password=False)
    accounts.request_reset(database, settings, "ada@example.org", HERE)
    assert mails_to(database, "ada@example.org") == []


def test_resets_are_limited(database: Database, settings: Settings) -> None:
    a_user(database)
    for email in ("ada@example.org", "nobody@example.org"):
        for _ in range(3):
            accounts.request_reset(database, settings, email, HERE)
        with pytest.raises(TooManyTries):
            accounts.request_reset(database, settings, email, HERE)
    for number in range(3):
        accounts.request_reset(database, settings, "ada@example.org", f"198.51.100.{number}")
    with pytest.raises(TooManyTries):
        accounts.request_reset(database, settings, "ada@example.org", "198.51.100.9")
