"""People register, confirm their address and wait; strangers learn nothing, and no two get one address."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.db.engine import Database
from models.db.people import UserStore
from models.domain.audit import AuditAction
from models.domain.errors import AditError, BadRequest, NotPermitted, TooManyTries
from models.domain.people import Profile, Standing, User, operator
from models.settings import Settings
from services import audit
from services.people import account_rules, accounts, even_answers
from tests.databases import Clock
from tests.people import PASSWORD, a_profile, a_user, mails_to, token_in
from tests.samples import add_job, some_settings

HERE = "192.0.2.7"


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(even_answers, "TAKES_S", 0.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path, web_url="https://adit.example.org", admin_email="admin@example.org")


def registered(db: Database, settings: Settings, name: str = "ada", **fields: str) -> User:
    return accounts.register(db, settings, name, a_profile(name, **fields), PASSWORD, HERE)


def test_somebody_registers_confirms_is_approved_and_signs_in(database: Database, settings: Settings) -> None:
    root = operator("root")
    user = registered(database, settings)
    assert user.standing is Standing.UNCONFIRMED
    (mail,) = mails_to(database, "ada@example.org")
    assert "https://adit.example.org/confirm?token=" in mail.body
    assert "14 days" in mail.body

    confirmed = accounts.confirm_email(database, settings, token_in(mail), HERE)
    assert confirmed.standing is Standing.AWAITS_APPROVAL
    (mail,) = mails_to(database, "admin@example.org")
    assert f"https://adit.example.org/users?id={user.id}" in mail.body
    assert "Ada Example" in mail.body
    with pytest.raises(NotPermitted, match="approval"):
        accounts.sign_in(database, settings, "ada", PASSWORD, HERE, "")

    assert accounts.approve(database, settings, root, user.id).standing is Standing.ACTIVE
    assert mails_to(database, "ada@example.org")[-1].subject == "Your account is approved"
    assert accounts.sign_in(database, settings, "ada", PASSWORD, HERE, "")
    trail = [(line.actor, line.action, line.outcome) for line in audit.entries(database, root)]
    assert trail == [
        ("ada", AuditAction.SIGN_IN, "done"),
        ("root", AuditAction.APPROVE_USER, "done"),
        ("ada", AuditAction.SIGN_IN, "NotPermitted"),
        ("ada", AuditAction.CONFIRM_EMAIL, "done"),
        ("ada", AuditAction.REGISTER, "done"),
    ]


@pytest.mark.parametrize("field", ["username", "password", *(field.name for field in fields(Profile))])
def test_each_missing_field_is_named(database: Database, settings: Settings, field: str) -> None:
    given = {"username": "ada", "password": PASSWORD} | {
        known.name: getattr(a_profile(), known.name) for known in fields(Profile)
    }
    given[field] = "  "
    profile = Profile(**{known.name: given[known.name] for known in fields(Profile)})
    with pytest.raises(BadRequest) as raised:
        accounts.register(database, settings, given["username"], profile, given["password"].strip(), HERE)
    assert raised.value.problems == {field: "Needed."}


def test_all_that_is_wrong_is_named_at_once(database: Database, settings: Settings) -> None:
    profile = Profile("no address", "x" * 151, "Ad\u202ea", "", "x" * 129)
    with pytest.raises(BadRequest) as raised:
        accounts.register(database, settings, "two words", profile, "short", HERE)
    assert set(raised.value.problems) == {field.name for field in fields(Profile)} | {"username", "password"}
    assert UserStore(database).count("", None) == 0


@pytest.mark.parametrize("username", ["ä", "a b", "a/b", "a\nb", "<b>", "x" * 151, "a\u200bb", "a'b"])
def test_odd_usernames_are_refused(database: Database, settings: Settings, username: str) -> None:
    with pytest.raises(BadRequest) as raised:
        accounts.register(database, settings, username, a_profile(), PASSWORD, HERE)
    assert raised.value.problems.keys() == {"username"}


@pytest.mark.parametrize(
    "email", ["a", "@b", "a@", "a b@c.de", "a@b,c@d", "a@b\nBcc: c@d", "ä@b.de", "a@-b.de", "a@b..de"]
)
def test_odd_addresses_are_refused(database: Database, settings: Settings, email: str) -> None:
    with pytest.raises(BadRequest) as raised:
        registered(database, settings, email=email)
    assert raised.value.problems.keys() == {"email"}


def test_a_name_or_address_that_is_taken_is_refused_in_any_case(database: Database, settings: Settings) -> None:
    registered(database, settings)
    for name, email, field in (("ADA", "new@example.org", "username"), ("new", "ADA@Example.ORG", "email")):
        with pytest.raises(BadRequest) as raised:
            registered(database, settings, name, email=email)
        assert raised.value.problems.keys() == {field}


def test_nobody_can_register_as_the_owner_of_jobs_from_the_shell(database: Database, settings: Settings) -> None:
    add_job(database, owner="ada")
    with pytest.raises(BadRequest) as raised:
        registered(database, settings, "Ada")
    assert raised.value.problems.keys() == {"username"}


def test_only_addresses_of_the_domains_of_the_settings_can_register(database: Database, tmp_path: Path) -> None:
    settings = some_settings(tmp_path, registration_domains="example.org, clinic.example")
    for email in ("ada@elsewhere.org", "ada@sub.example.org", "ada@example.org.evil.net", "ada@notexample.org"):
        with pytest.raises(BadRequest) as raised:
            registered(database, settings, email=email)
        assert raised.value.problems == {"email": "Only addresses of clinic.example, example.org can be registered."}
    assert registered(database, settings, email="ada@CLINIC.example")


def test_nobody_registers_where_registration_is_closed(database: Database, tmp_path: Path) -> None:
    with pytest.raises(NotPermitted, match="closed"):
        registered(database, some_settings(tmp_path, registration_open=False))


def test_two_who_register_with_one_address_at_once_get_one_account(database: Database, settings: Settings) -> None:
    def attempt(number: int) -> AditError | User:
        try:
            return registered(database, settings, f"ada{number}", email="ada@example.org")
        except AditError as error:
            return error

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(attempt, range(6)))
    assert len([answer for answer in answers if isinstance(answer, User)]) == 1
    refused = [answer for answer in answers if isinstance(answer, BadRequest)]
    assert len(refused) == 5
    assert all(answer.problems.keys() == {"email"} for answer in refused)
    assert len(mails_to(database, "ada@example.org")) == 1


def test_two_who_register_one_name_at_once_get_one_account(database: Database, settings: Settings) -> None:
    def is_made(number: int) -> bool:
        try:
            return bool(registered(database, settings, "Ada" if number % 2 else "ada", email=f"a{number}@example.org"))
        except BadRequest as error:
            assert error.problems.keys() == {"username"}
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(is_made, range(4))) == 1


def test_registrations_from_one_address_are_limited(database: Database, settings: Settings, clock: Clock) -> None:
    registered(database, settings)
    for _ in range(29):
        with pytest.raises(BadRequest):
            registered(database, settings)
    with pytest.raises(TooManyTries):
        registered(database, settings)
    clock.pass_by(3601)
    registered(database, settings, "grace")


def test_a_link_confirms_once_and_in_time(database: Database, settings: Settings, clock: Clock) -> None:
    registered(database, settings)
    registered(database, settings, "grace")
    token = token_in(mails_to(database, "ada@example.org")[0])
    accounts.confirm_email(database, settings, token, HERE)
    clock.pass_by(14 * 86400)
    late = token_in(mails_to(database, "grace@example.org")[0])
    for bad in (token, late, "", "x", "x" * 10_000, "\udc80"):
        with pytest.raises(NotPermitted, match="link is not valid"):
            accounts.confirm_email(database, settings, bad, HERE)
    assert len(mails_to(database, "admin@example.org")) == 1


def test_links_are_kept_as_digests_only(database: Database, settings: Settings, tmp_path: Path) -> None:
    registered(database, settings)
    token = token_in(mails_to(database, "ada@example.org")[0])
    if database.empty_log():
        (file,) = tmp_path.glob("*.db")
        assert token.encode() not in file.read_bytes()


def test_guessing_links_is_limited(database: Database, settings: Settings) -> None:
    for _ in range(30):
        with pytest.raises(NotPermitted):
            accounts.confirm_email(database, settings, "guess", HERE)
    with pytest.raises(TooManyTries):
        accounts.confirm_email(database, settings, "guess", HERE)


def test_the_confirmation_is_sent_again_only_to_who_waits_for_it(database: Database, settings: Settings) -> None:
    registered(database, settings)
    a_user(database, "active")
    for email in ("ADA@example.org", "active@example.org", "nobody@example.org"):
        assert accounts.resend_confirmation(database, settings, email, HERE) is None
    first, second = (token_in(mail) for mail in mails_to(database, "ada@example.org"))
    assert first != second
    assert mails_to(database, "active@example.org") == mails_to(database, "nobody@example.org") == []
    accounts.confirm_email(database, settings, first, HERE)
    with pytest.raises(NotPermitted):
        accounts.confirm_email(database, settings, second, HERE)


def test_asking_for_mails_is_limited_the_same_for_everybody(database: Database, settings: Settings) -> None:
    registered(database, settings)
    for email in ("ada@example.org", "nobody@example.org"):
        for _ in range(3):
            accounts.resend_confirmation(database, settings, email, HERE)
        with pytest.raises(TooManyTries):
            accounts.resend_confirmation(database, settings, email.upper(), HERE)
    assert len(mails_to(database, "ada@example.org")) == 4


def test_without_an_admins_address_all_superusers_are_told(database: Database, tmp_path: Path) -> None:
    settings = some_settings(tmp_path)
    for name in ("root", "toor"):
        a_user(database, name, is_superuser=True)
    a_user(database, "staff", is_staff=True)
    registered(database, settings)
    accounts.confirm_email(database, settings, token_in(mails_to(database, "ada@example.org")[0]), HERE)
    told = [len(mails_to(database, f"{name}@example.org")) for name in ("root", "toor", "staff")]
    assert told == [1, 1, 0]


def test_a_name_that_was_not_confirmed_in_time_is_free_again(
    database: Database, settings: Settings, clock: Clock
) -> None:
    registered(database, settings)
    clock.pass_by(timedelta(days=14, seconds=1).total_seconds())
    assert registered(database, settings).standing is Standing.UNCONFIRMED


def test_known_and_unknown_addresses_take_the_same_time(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(database, settings)
    monkeypatch.setattr(even_answers, "TAKES_S", 0.2)
    for email in ("ada@example.org", "nobody@example.org"):
        begun = time.monotonic()
        accounts.resend_confirmation(database, settings, email, HERE)
        assert time.monotonic() - begun >= 0.2


@given(st.from_regex(r"[A-Za-z0-9_.@+-]{1,150}", fullmatch=True))
def test_every_name_of_the_allowed_characters_is_fine(name: str) -> None:
    assert account_rules.username_problems(name) == {}


@given(st.text())
def test_a_cleaned_profile_has_single_blanks_inside_only(text: str) -> None:
    cleaned = account_rules.cleaned(replace(a_profile(), department=text)).department
    assert cleaned == cleaned.strip()
    assert "  " not in cleaned
    assert account_rules.cleaned(replace(a_profile(), department=cleaned)).department == cleaned
