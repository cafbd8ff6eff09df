"""Accounts come back as they were kept; names and addresses stay unique, also against one another."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from models.db.engine import Database
from models.db.groups import GroupStore
from models.db.people import UserStore, spelling
from models.db.sessions import LinkStore
from models.domain.errors import BadRequest, NotFound, Outdated
from models.domain.people import Group, LinkPurpose, Standing
from tests.databases import Clock
from tests.people import a_profile, a_user
from tests.samples import add_job


def test_a_new_account_has_no_right_and_waits_for_its_mail(database: Database, clock: Clock) -> None:
    user = UserStore(database).add("ada", a_profile(), "hash")
    assert UserStore(database).get(user.id) == user
    assert user.standing is Standing.UNCONFIRMED
    assert not (user.is_staff or user.is_superuser or user.groups)
    assert user.joined_at == clock.now
    assert UserStore(database).credentials_of(user.id).password_hash == "hash"


def test_an_account_is_found_by_name_and_address_in_any_case(database: Database) -> None:
    user = UserStore(database).add("Ada", a_profile("Ada.L"))
    for name in ("ada", "ADA", " Ada ", "ada.l@example.org", "ADA.L@EXAMPLE.ORG"):
        found = UserStore(database).credentials(name)
        assert found is not None
        assert found.user == user
    assert UserStore(database).credentials("nobody") is None
    assert UserStore(database).by_email("Ada.l@Example.org") == user
    assert UserStore(database).by_email("ada") is None


@pytest.mark.parametrize(
    ("username", "email", "fields"),
    [
        ("ADA", "new@example.org", {"username"}),
        ("new", "ADA@example.org", {"email"}),
        ("ada", "ada@EXAMPLE.org", {"username", "email"}),
        ("Ada@example.org", "new@example.org", {"username"}),
        ("new", "Grace@example.com", {"email"}),
    ],
)
def test_what_names_one_account_cannot_name_another(
    database: Database, username: str, email: str, fields: set[str]
) -> None:
    store = UserStore(database)
    store.add("ada", a_profile("ada"))
    store.add("grace@example.com", a_profile("grace"))
    with pytest.raises(BadRequest) as raised:
        store.add(username, a_profile(email=email))
    assert raised.value.problems.keys() == fields
    assert store.count("", None) == 2


def test_nobody_inherits_the_jobs_of_somebody_at_the_shell(database: Database) -> None:
    add_job(database, owner="Root")
    assert not UserStore(database).is_free("root")
    with pytest.raises(BadRequest) as raised:
        UserStore(database).add("rOOT", a_profile())
    assert "shell" in raised.value.problems["username"]


def test_an_update_replaces_flags_groups_and_profile(database: Database) -> None:
    store = UserStore(database)
    one, two = (GroupStore(database).add(Group(name)) for name in ("one", "two"))
    user = a_user(database, groups=frozenset({one.id}))
    wanted = replace(user, profile=a_profile("ada", email="new@example.org"), groups=frozenset({two.id}))
    after = store.update(replace(wanted, is_superuser=True))
    assert after == replace(wanted, is_superuser=True, is_staff=True, version=user.version + 1) == store.get(user.id)
    assert GroupStore(database).get(one.id).members == frozenset()
    with pytest.raises(Outdated):
        store.update(wanted)
    with pytest.raises(BadRequest, match="groups: "):
        store.update(replace(after, groups=frozenset({4711})))
    with pytest.raises(NotFound):
        store.update(replace(after, id=4711))
    assert store.get(user.id) == after


def test_an_update_keeps_ones_own_address_and_takes_no_other(database: Database) -> None:
    store = UserStore(database)
    ada, grace = a_user(database, "ada"), a_user(database, "grace")
    assert store.update(replace(ada, profile=a_profile(email="ADA@example.org"))).profile.email == "ADA@example.org"
    with pytest.raises(BadRequest) as raised:
        store.update(replace(grace, profile=a_profile(email="ada@example.org")))
    assert raised.value.problems.keys() == {"email"}


def test_who_joins_a_group_makes_its_open_forms_outdated(database: Database) -> None:
    groups = GroupStore(database)
    group, other = groups.add(Group("one")), groups.add(Group("other"))
    user = a_user(database)
    UserStore(database).update(replace(user, groups=frozenset({group.id})))
    with pytest.raises(Outdated):
        groups.update(group)
    assert groups.update(other).version == other.version + 1


def test_every_standing_is_found_by_its_rule(database: Database) -> None:
    store = UserStore(database)
    fresh = store.add("fresh", a_profile("fresh"))
    waiting = store.confirm_email(store.add("waiting", a_profile("waiting")).id)
    active = a_user(database, "active")
    gone = store.change_active(a_user(database, "gone").id, False)
    rejected = store.change_active(store.add("rejected", a_profile("rejected")).id, False)
    by_standing = {
        Standing.UNCONFIRMED: [fresh],
        Standing.AWAITS_APPROVAL: [waiting],
        Standing.ACTIVE: [active],
        Standing.DEACTIVATED: [gone, rejected],
    }
    for standing, users in by_standing.items():
        assert list(store.list("", standing, 50, 0)) == users
        assert {user.standing for user in users} == {standing}
        assert store.count("", standing) == len(users)
    assert store.count("", None) == 5


def test_each_word_of_a_search_has_to_occur(database: Database) -> None:
    store = UserStore(database)
    for name in ("ada", "grace", "a_b"):
        a_user(database, name)
    assert [user.username for user in store.list("EXAMPLE radiology ada", None, 50, 0)] == ["ada"]
    assert [user.username for user in store.list("_", None, 50, 0)] == ["a_b"]
    assert [user.username for user in store.list("%", None, 50, 0)] == []
    assert [user.username for user in store.list("", None, 2, 1)] == ["ada", "grace"]
    assert store.count("grace", None) == 1


def test_a_password_that_was_replaced_meanwhile_is_not_replaced_again(database: Database, clock: Clock) -> None:
    store = UserStore(database)
    user = store.add("ada", a_profile(), "one")
    assert store.replace_password(user.id, "one", "two")
    assert not store.replace_password(user.id, "one", "three")
    assert not store.sign_in(user.id, "one")
    assert store.get(user.id).last_login_at is None
    assert store.sign_in(user.id, "two")
    assert store.get(user.id).last_login_at == clock.now


def test_the_first_confirmation_counts(database: Database, clock: Clock) -> None:
    store = UserStore(database)
    user = store.confirm_email(store.add("ada", a_profile()).id)
    clock.pass_by(60)
    assert store.confirm_email(user.id).email_confirmed_at == user.email_confirmed_at


def test_a_linked_subject_finds_its_account(database: Database) -> None:
    store = UserStore(database)
    user = a_user(database)
    assert store.by_subject("s") is None
    store.link_subject(user.id, "s", keeps_password=True)
    found = store.by_subject("s")
    assert found is not None
    assert found.id == user.id
    assert store.credentials_of(user.id).password_hash
    store.link_subject(user.id, "s", keeps_password=False)
    assert store.credentials_of(user.id).password_hash == ""
    assert store.credentials_of(user.id).has_provider


def test_preferences_are_added_to_and_forgotten(database: Database) -> None:
    store = UserStore(database)
    user = a_user(database)
    assert store.remember(user.id, {"theme": "dark", "source": 3}) == {"theme": "dark", "source": 3}
    assert store.remember(user.id, {"theme": None, "size": 50}) == {"source": 3, "size": 50}
    assert store.preferences(user.id) == {"source": 3, "size": 50}
    assert store.get(user.id).version == user.version


def test_accounts_nobody_confirmed_in_time_are_removed(database: Database, clock: Clock) -> None:
    store = UserStore(database)
    stale, asked_again = (store.add(name, a_profile(name)) for name in ("stale", "again"))
    blocked = store.change_active(store.add("blocked", a_profile("blocked")).id, False)
    active = a_user(database, "active")
    clock.pass_by(15 * 86400)
    LinkStore(database).add("d", asked_again.id, LinkPurpose.CONFIRM_EMAIL, clock.now + timedelta(days=1))
    young = store.add("young", a_profile("young"))
    assert store.remove_unconfirmed(clock.now - timedelta(days=14)) == 1
    assert {user.id for user in store.list("", None, 50, 0)} == {asked_again.id, blocked.id, active.id, young.id}
    assert store.is_free(stale.username)


def test_superusers_who_can_sign_in_are_listed(database: Database) -> None:
    store = UserStore(database)
    assert not store.has_superuser()
    root = a_user(database, "root", is_superuser=True)
    a_user(database, "staff", is_staff=True)
    gone = a_user(database, "gone", is_superuser=True)
    store.change_active(gone.id, False)
    assert store.superusers() == (root,)
    assert store.has_superuser()


def test_unknown_accounts_are_not_found(database: Database) -> None:
    store = UserStore(database)
    for question in (store.get, store.credentials_of, store.confirm_email, store.preferences):
        with pytest.raises(NotFound):
            question(1)


def test_no_password_stands_in_the_database(database: Database) -> None:
    user = a_user(database)
    with database.reading() as session:
        kept = session.execute(text("SELECT password_hash FROM users")).scalar_one()
    assert kept.startswith("$argon2id$")
    assert user.username not in kept


@given(st.emails())
def test_spellings_of_one_address_are_the_same(email: str) -> None:
    assert spelling(email.upper()) == spelling(f" {email.lower()} ")
