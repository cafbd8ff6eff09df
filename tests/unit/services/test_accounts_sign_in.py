"""Who knows the password gets in, if they may; all others learn nothing and are slowed down."""

import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from models.db.engine import Database
from models.db.people import UserStore
from models.db.project import ProjectStore
from models.db.tables import TryRow
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest, NotPermitted, TooManyTries, UnderMaintenance
from models.domain.people import Standing, operator
from models.domain.project import Project
from models.settings import Settings
from services import audit
from services.people import accounts, sessions, tries
from services.people.tries import Allowance
from tests.databases import Clock
from tests.people import PASSWORD, a_profile, a_user, mails_to
from tests.samples import add_job, some_settings

HERE, ELSEWHERE = "192.0.2.7", "198.51.100.9"
WRONG = "The username or password is not right."


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path, oidc_issuer="https://id.example.org")


def sign_in(db: Database, settings: Settings, name: str = "ada", password: str = PASSWORD, address: str = HERE) -> str:
    return accounts.sign_in(db, settings, name, password, address, "Browser/1.0\nX")


def test_a_name_or_address_in_any_case_signs_in(database: Database, settings: Settings, clock: Clock) -> None:
    user = a_user(database)
    tokens = {sign_in(database, settings, name) for name in ("ada", "ADA", " ada@Example.org ")}
    assert len(tokens) == 3
    assert all(len(token) >= 43 for token in tokens)
    found = sessions.find(database, settings, tokens.pop())
    assert found is not None
    assert found.user.id == user.id
    assert found.user.last_login_at == clock.now
    assert (found.session.address, found.session.agent) == (HERE, "Browser/1.0 X")


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ada", "wrong"),
        ("ada", ""),
        ("ada", PASSWORD.upper()),
        ("nobody", PASSWORD),
        ("", ""),
        ("x" * 9999, "y" * 9999),
    ],
)
def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(
    database: Database, settings: Settings, name: str, password: str
) -> None:
    a_user(database)
    with pytest.raises(NotPermitted) as raised:
        sign_in(database, settings, name, password)
    assert raised.value.message == WRONG


def test_an_account_without_a_password_takes_none(database: Database, settings: Settings) -> None:
    store = UserStore(database)
    user = store.add("ada", a_profile())
    store.confirm_email(user.id)
    store.approve(user.id, "x")
    for password in ("", PASSWORD):
        with pytest.raises(NotPermitted, match=WRONG):
            sign_in(database, settings, "ada", password)


def test_an_unknown_name_takes_as_long_as_a_wrong_password(database: Database, settings: Settings) -> None:
    """Both hash once; the bound is wide, since machines are busy."""
    a_user(database)
    waits = {}
    for name in ("ada", "nobody"):
        waits[name] = min(_seconds(database, settings, name, f"192.0.2.{number}") for number in range(6))
    assert 0.5 < waits["ada"] / waits["nobody"] < 2


def _seconds(db: Database, settings: Settings, name: str, address: str) -> float:
    begun = time.perf_counter()
    with pytest.raises(NotPermitted):
        sign_in(db, settings, name, "wrong", address)
    return time.perf_counter() - begun


@pytest.mark.parametrize(
    ("standing", "why"),
    [
        (Standing.UNCONFIRMED, "not confirmed"),
        (Standing.AWAITS_APPROVAL, "approval"),
        (Standing.DEACTIVATED, "deactivated"),
    ],
)
def test_only_who_knows_the_password_hears_why_they_may_not(
    database: Database, settings: Settings, standing: Standing, why: str
) -> None:
    store = UserStore(database)
    user = a_user(database, "other") if standing is Standing.DEACTIVATED else None
    known = store.credentials_of(a_user(database, "known").id).password_hash
    user = user or store.add("other", a_profile("other"), known)
    if standing is Standing.AWAITS_APPROVAL:
        store.confirm_email(user.id)
    if standing is Standing.DEACTIVATED:
        store.change_active(user.id, False)
    with pytest.raises(NotPermitted, match=why):
        sign_in(database, settings, "other")
    with pytest.raises(NotPermitted, match=WRONG):
        sign_in(database, settings, "other", "wrong")


def test_the_sixth_try_in_five_minutes_is_refused_even_with_the_right_password(
    database: Database, settings: Settings, clock: Clock
) -> None:
    a_user(database)
    for _ in range(5):
        with pytest.raises(NotPermitted):
            sign_in(database, settings, "ada", "wrong")
    for name in ("ada", "ADA", "ada@example.org"):
        with pytest.raises(TooManyTries):
            sign_in(database, settings, name)
    assert sign_in(database, settings, address=ELSEWHERE), "nobody can lock somebody else out"
    clock.pass_by(301)
    assert sign_in(database, settings)


def test_the_right_password_makes_the_wrong_ones_before_it_forgotten(database: Database, settings: Settings) -> None:
    a_user(database)
    for _ in range(4):
        for _ in range(4):
            with pytest.raises(NotPermitted):
                sign_in(database, settings, "ada", "wrong")
        assert sign_in(database, settings)


def test_an_unknown_name_is_limited_like_a_known_one(database: Database, settings: Settings) -> None:
    for _ in range(5):
        with pytest.raises(NotPermitted):
            sign_in(database, settings, "nobody")
    with pytest.raises(TooManyTries):
        sign_in(database, settings, "Nobody")


@pytest.fixture
def tight_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shape of the real limits, reached within fewer tries; and passwords that cost nothing and are wrong."""
    assert (
        Allowance(
            "sign in",
            by_both=(5, timedelta(minutes=5)),
            by_who=(100, timedelta(hours=1)),
            by_address=(100, timedelta(minutes=15)),
        )
        == tries.SIGN_IN
    )
    minute = timedelta(minutes=1)
    monkeypatch.setattr(tries, "SIGN_IN", Allowance("sign in", (2, minute), (4, minute), (6, minute)))
    monkeypatch.setattr("services.people.passwords.matches", lambda password, _: password == PASSWORD)


def test_one_account_is_limited_over_all_addresses(database: Database, settings: Settings, tight_limits: None) -> None:
    a_user(database)
    for number in range(4):
        with pytest.raises(NotPermitted):
            sign_in(database, settings, "ada", "wrong", address=f"192.0.2.{number}")
    with pytest.raises(TooManyTries):
        sign_in(database, settings, address=ELSEWHERE)


def test_one_address_is_limited_over_all_names(database: Database, settings: Settings, tight_limits: None) -> None:
    """Of IPv6 a network counts as one address: whoever has one address there has them all."""
    for number in range(6):
        with pytest.raises(NotPermitted):
            sign_in(database, settings, f"name{number}", "wrong", address=f"2001:db8:0:1::{number:x}")
    with pytest.raises(TooManyTries):
        sign_in(database, settings, "another", address="2001:db8:0:1:ffff::1")
    with pytest.raises(NotPermitted):
        sign_in(database, settings, "another", address="2001:db8:0:2::1")


def test_many_who_sign_in_from_one_address_are_not_slowed_down(
    database: Database, settings: Settings, tight_limits: None
) -> None:
    a_user(database)
    for _ in range(10):
        sign_in(database, settings)


def test_tries_are_kept_without_names_and_addresses(database: Database, settings: Settings) -> None:
    with pytest.raises(NotPermitted):
        sign_in(database, settings, "nobody")
    with database.reading() as session:
        subjects = session.scalars(select(TryRow.subject)).all()
    assert len(set(subjects)) == 3
    assert all(len(subject) == 64 and int(subject, 16) for subject in subjects)


def test_a_hash_with_old_parameters_is_renewed(database: Database, settings: Settings) -> None:
    store, user = UserStore(database), a_user(database)
    weak = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    store.replace_password(user.id, store.credentials_of(user.id).password_hash, weak)
    assert sign_in(database, settings)
    renewed = store.credentials_of(user.id).password_hash
    assert renewed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert sign_in(database, settings)
    assert store.credentials_of(user.id).password_hash == renewed


def test_under_maintenance_only_staff_gets_in(database: Database, settings: Settings) -> None:
    a_user(database, "ada")
    a_user(database, "staff", is_staff=True)
    ProjectStore(database).update(Project(maintenance=True))
    with pytest.raises(UnderMaintenance):
        sign_in(database, settings)
    with pytest.raises(NotPermitted, match=WRONG):
        sign_in(database, settings, password="wrong")
    assert sign_in(database, settings, "staff")


def test_what_was_typed_as_a_name_is_not_in_the_trail(database: Database, settings: Settings) -> None:
    a_user(database)
    for name in ("my secret typed in the wrong field", "ada"):
        with pytest.raises(NotPermitted):
            sign_in(database, settings, name, "wrong")
    lines = audit.entries(database, operator("x"))
    assert [(line.actor, line.action, line.subject, line.outcome, line.address) for line in lines] == [
        ("(unknown)", AuditAction.SIGN_IN, "account ada", "NotPermitted", HERE),
        ("(unknown)", AuditAction.SIGN_IN, "unknown account", "NotPermitted", HERE),
    ]


def by_provider(db: Database, settings: Settings, subject: str = "4711", name: str = "ada", **options: object) -> str:
    values = {"username": name, "email_is_verified": True} | options
    return accounts.sign_in_with_provider(
        db,
        settings,
        subject,
        values.get("profile", a_profile(name)),  # type: ignore[arg-type]
        str(values["username"]),
        bool(values["email_is_verified"]),
        HERE,
        "Browser/1.0",
    )


def test_a_newcomer_of_the_provider_awaits_approval_and_gets_in_after_it(
    database: Database, settings: Settings
) -> None:
    a_user(database, "root", is_superuser=True)
    for _ in range(2):
        with pytest.raises(NotPermitted, match="approval"):
            by_provider(database, settings)
    user = UserStore(database).by_email("ada@example.org")
    assert user is not None
    assert user.standing is Standing.AWAITS_APPROVAL
    assert len(mails_to(database, "root@example.org")) == 1
    accounts.approve(database, settings, operator("root"), user.id)
    found = sessions.find(database, settings, by_provider(database, settings, profile=a_profile("renamed")))
    assert found is not None
    assert found.user.username == "ada"


def test_a_newcomer_whose_address_is_not_verified_has_to_confirm_it(database: Database, settings: Settings) -> None:
    with pytest.raises(NotPermitted, match="not confirmed"):
        by_provider(database, settings, email_is_verified=False)
    assert len(mails_to(database, "ada@example.org")) == 1


def test_a_verified_address_links_the_account_that_has_it(database: Database, settings: Settings) -> None:
    user = a_user(database)
    found = sessions.find(database, settings, by_provider(database, settings, username="other"))
    assert found is not None
    assert found.user.id == user.id
    assert sign_in(database, settings)
    with pytest.raises(NotPermitted, match="Another account"):
        by_provider(database, settings, "another subject")


def test_an_address_that_is_not_verified_links_nothing(database: Database, settings: Settings) -> None:
    a_user(database)
    with pytest.raises(NotPermitted, match="Another account"):
        by_provider(database, settings, email_is_verified=False)


def test_who_took_an_address_before_its_owner_came_has_no_password_any_more(
    database: Database, settings: Settings
) -> None:
    """Else they would wait until the owner's account is approved."""
    known = UserStore(database).credentials_of(a_user(database, "known").id).password_hash
    squatted = UserStore(database).add("squatter", a_profile("ada"), known)
    with pytest.raises(NotPermitted, match="approval"):
        by_provider(database, settings)
    accounts.approve(database, settings, operator("root"), squatted.id)
    with pytest.raises(NotPermitted, match=WRONG):
        sign_in(database, settings, "squatter")
    assert by_provider(database, settings)


def test_a_subject_of_another_issuer_is_somebody_else(database: Database, settings: Settings, tmp_path: Path) -> None:
    a_user(database)
    by_provider(database, settings)
    other = some_settings(tmp_path, oidc_issuer="https://evil.example.org")
    with pytest.raises(NotPermitted, match="Another account"):
        by_provider(database, other)


@pytest.mark.parametrize(
    ("wish", "username"),
    [("Grace Hopper", "GraceHopper"), ("ada", "ada-2"), ("", "new"), ("äöü", "new"), ("root", "root-2")],
)
def test_a_username_is_made_from_what_the_provider_says(
    database: Database, settings: Settings, wish: str, username: str
) -> None:
    a_user(database, "ada")
    add_job(database, owner="root")
    with pytest.raises(NotPermitted, match="approval"):
        by_provider(database, settings, name="new", username=wish)
    user = UserStore(database).by_email("new@example.org")
    assert user is not None
    assert user.username == username


def test_registration_rules_hold_for_newcomers_of_the_provider(database: Database, tmp_path: Path) -> None:
    with pytest.raises(NotPermitted, match="closed"):
        by_provider(database, some_settings(tmp_path, registration_open=False))
    with pytest.raises(BadRequest):
        by_provider(database, some_settings(tmp_path, registration_domains="clinic.example"))
    with pytest.raises(BadRequest):
        by_provider(database, some_settings(tmp_path), profile=replace(a_profile(), email=""))
    assert UserStore(database).count("", None) == 0


def test_the_provider_lets_nobody_in_who_is_deactivated_or_under_maintenance(
    database: Database, settings: Settings
) -> None:
    user = a_user(database)
    by_provider(database, settings)
    ProjectStore(database).update(Project(maintenance=True))
    with pytest.raises(UnderMaintenance):
        by_provider(database, settings)
    UserStore(database).change_active(user.id, False)
    with pytest.raises(NotPermitted, match="deactivated"):
        by_provider(database, settings)
