"""A session lasts as long as it should, tells the rights of this moment, and is its owner's alone."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from models.db.engine import Database
from models.db.people import UserStore
from models.db.sessions import SessionStore
from models.db.tables import WebSessionRow
from models.domain.audit import AuditAction
from models.domain.errors import NotFound, NotPermitted, PeerBusy
from models.domain.people import Actor, Group, NodeAccess, NodeRight, Permission, operator
from models.settings import Settings
from services import audit
from services.people import accounts, groups, sessions
from tests.databases import Clock
from tests.people import a_session, a_user, acting
from tests.samples import add_nodes, some_settings

SHELL = operator("shell")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path, session_idle_minutes=30, session_hours=2)


def is_alive(db: Database, settings: Settings, token: str, **options: bool) -> bool:
    return sessions.find(db, settings, token, **options) is not None  # type: ignore[arg-type]


def test_an_actor_has_what_the_groups_give_and_nothing_else(database: Database, settings: Settings) -> None:
    user = a_user(database)
    source, folder = add_nodes(database)
    for name, permission, right in (
        ("one", Permission.UPLOAD, NodeRight(source, source=True)),
        ("two", Permission.EXPLORE, NodeRight(folder, destination=True)),
    ):
        groups.add(database, SHELL, Group(name, frozenset({permission}), frozenset({user.id}), frozenset({right})))
    groups.add(database, SHELL, Group("not theirs", frozenset(Permission)))
    found = sessions.find(database, settings, a_session(database, settings, user), "2001:db8::1")
    assert found is not None
    assert found.user == UserStore(database).get(user.id)
    assert found.actor == Actor(
        name="ada",
        permissions=frozenset({Permission.UPLOAD, Permission.EXPLORE}),
        access=NodeAccess(frozenset({source}), frozenset({folder})),
        user_id=user.id,
        groups=found.user.groups,
        address="2001:db8::1",
    )


def test_superusers_have_every_right_but_no_node(database: Database, settings: Settings) -> None:
    add_nodes(database)
    actor = acting(database, settings, a_user(database, is_superuser=True))
    assert actor.permissions == frozenset(Permission)
    assert (actor.is_staff, actor.is_superuser) == (True, True)
    assert actor.access == NodeAccess()
    staff = acting(database, settings, a_user(database, "staff", is_staff=True))
    assert (staff.is_staff, staff.is_superuser, staff.permissions) == (True, False, frozenset())


def test_rights_change_within_a_session(database: Database, settings: Settings) -> None:
    user = a_user(database)
    token = a_session(database, settings, user)
    group = groups.add(database, SHELL, Group("x", frozenset({Permission.UPLOAD}), frozenset({user.id})))

    def rights() -> frozenset[Permission]:
        found = sessions.find(database, settings, token)
        assert found is not None
        return found.actor.permissions

    assert rights() == {Permission.UPLOAD}
    group = groups.update(database, SHELL, replace(group, permissions=frozenset({Permission.EXPLORE})))
    assert rights() == {Permission.EXPLORE}
    groups.delete(database, SHELL, group.id)
    assert rights() == frozenset()
    accounts.update(database, SHELL, replace(UserStore(database).get(user.id), is_superuser=True))
    assert rights() == frozenset(Permission)


def test_a_session_that_is_used_lives_until_its_last_hour(database: Database, settings: Settings, clock: Clock) -> None:
    token = a_session(database, settings, a_user(database))
    for _ in range(5):
        clock.pass_by(20 * 60)
        assert is_alive(database, settings, token)
    clock.pass_by(20 * 60)
    assert not is_alive(database, settings, token)


def test_an_idle_session_ends(database: Database, settings: Settings, clock: Clock) -> None:
    token = a_session(database, settings, a_user(database))
    clock.pass_by(29 * 60)
    assert is_alive(database, settings, token, is_active=False)
    clock.pass_by(60)
    assert not is_alive(database, settings, token)


def test_a_browser_is_marked_as_seen_once_a_minute(database: Database, settings: Settings, clock: Clock) -> None:
    user = a_user(database)
    token = a_session(database, settings, user)
    begun = clock.now
    clock.pass_by(59)
    is_alive(database, settings, token)
    assert SessionStore(database).of_user(user.id)[0].seen_at == begun
    clock.pass_by(1)
    is_alive(database, settings, token)
    assert SessionStore(database).of_user(user.id)[0].seen_at == clock.now


def test_a_database_that_takes_no_writes_signs_nobody_out(
    database: Database, settings: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = a_session(database, settings, a_user(database))

    def busy(*_: object) -> None:
        raise PeerBusy

    monkeypatch.setattr(SessionStore, "touch", busy)
    clock.pass_by(120)
    assert is_alive(database, settings, token)


@pytest.mark.parametrize("token", ["", "x", "x" * 5000, "\udc80", "../..", "' OR 1=1 --"])
def test_any_text_is_a_fine_token_that_nobody_has(database: Database, settings: Settings, token: str) -> None:
    a_session(database, settings, a_user(database))
    assert not is_alive(database, settings, token)
    sessions.sign_out(database, token)


def test_the_database_does_not_know_tokens(database: Database, settings: Settings) -> None:
    token = a_session(database, settings, a_user(database))
    with database.reading() as session:
        assert token not in session.scalars(select(WebSessionRow.token_digest)).one()


def test_signing_out_ends_this_session_only(database: Database, settings: Settings) -> None:
    user = a_user(database)
    here, there = a_session(database, settings, user), a_session(database, settings, user)
    sessions.sign_out(database, here)
    assert (is_alive(database, settings, here), is_alive(database, settings, there)) == (False, True)
    (line,) = audit.entries(database, SHELL)
    assert (line.actor, line.action) == ("ada", AuditAction.SIGN_OUT)


def test_people_end_their_own_sessions_and_no_others(database: Database, settings: Settings) -> None:
    ada, grace = a_user(database, "ada"), a_user(database, "grace")
    mine, other, hers = (a_session(database, settings, user) for user in (ada, ada, grace))
    found = sessions.find(database, settings, mine)
    assert found is not None
    (own,) = (known for known in sessions.list(database, found.actor) if known.id == found.session.id)
    assert own == found.session
    (foreign,) = SessionStore(database).of_user(grace.id)
    with pytest.raises(NotFound):
        sessions.end(database, found.actor, foreign.id)
    assert sessions.end_others(database, found.actor, own.id) == 1
    assert not is_alive(database, settings, other)
    sessions.end(database, found.actor, own.id)
    assert not is_alive(database, settings, mine)
    assert is_alive(database, settings, hers)


def test_the_shell_has_no_sessions(database: Database) -> None:
    for question in (
        lambda: sessions.list(database, SHELL),
        lambda: sessions.end(database, SHELL, 1),
        lambda: sessions.end_others(database, SHELL, 1),
    ):
        with pytest.raises(NotPermitted):
            question()


def test_sessions_that_are_over_are_removed_when_somebody_signs_in(
    database: Database, settings: Settings, clock: Clock
) -> None:
    user = a_user(database)
    a_session(database, settings, user)
    clock.pass_by(30 * 60)
    a_session(database, settings, user)
    assert len(SessionStore(database).of_user(user.id)) == 1
