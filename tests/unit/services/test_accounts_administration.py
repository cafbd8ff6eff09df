"""Superusers rule over accounts; nobody can leave the installation without one, and who is out is out at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from models.db.engine import Database
from models.db.people import UserStore
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest, NotFound, NotPermitted, Outdated, WrongState
from models.domain.people import Actor, Group, Profile, Standing, User, operator
from models.settings import Settings
from services import audit
from services.people import accounts, groups, sessions
from tests.databases import Clock
from tests.people import ANOTHER_PASSWORD, PASSWORD, a_profile, a_session, a_user, acting, mails_to, token_in
from tests.samples import some_settings

HERE = "192.0.2.7"
SHELL = operator("shell")
STAFF = Actor("staff", is_staff=True)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path, smtp_url="smtp://localhost:25")


@pytest.fixture
def root(database: Database, settings: Settings) -> Actor:
    return acting(database, settings, a_user(database, "root", is_superuser=True))


def subjects(database: Database) -> list[str]:
    return [line.subject for line in audit.entries(database, SHELL)]


def test_an_added_account_chooses_its_password_by_a_link(
    database: Database, settings: Settings, root: Actor, clock: Clock
) -> None:
    group = groups.add(database, root, Group("Radiologists"))
    profile = Profile(" ada@example.org ", "Ada", "")
    user = accounts.add(database, settings, root, "ada", profile, [group.id], is_staff=True)
    assert user.standing is Standing.ACTIVE
    assert (user.groups, user.is_staff, user.is_superuser) == ({group.id}, True, False)
    assert user.profile.email == "ada@example.org"
    clock.pass_by(13 * 86400)
    (mail,) = mails_to(database, "ada@example.org")
    assert "username is ada" in mail.body
    accounts.reset_password(database, settings, token_in(mail), PASSWORD, HERE)
    assert accounts.sign_in(database, settings, "ada", PASSWORD, HERE, "")
    assert "account ada: staff on, +group Radiologists" in subjects(database)


def test_an_account_that_cannot_be_added_leaves_nothing(database: Database, settings: Settings, root: Actor) -> None:
    for username, profile, wanted, field in (
        ("a b", a_profile(), [], "username"),
        ("ada", a_profile(email=""), [], "email"),
        ("ada", a_profile(), [4711], "groups"),
        ("ROOT", a_profile(), [], "username"),
    ):
        with pytest.raises(BadRequest) as raised:
            accounts.add(database, settings, root, username, profile, wanted)
        assert raised.value.problems.keys() == {field}
    assert accounts.count(database, root) == 1
    assert mails_to(database, "ada@example.org") == []


def test_changes_are_kept_written_down_and_refused_when_outdated(
    database: Database, settings: Settings, root: Actor
) -> None:
    user = a_user(database)
    after = accounts.update(database, root, replace(user, is_staff=True, profile=a_profile(last_name="Byron")))
    assert (after.is_staff, after.profile.last_name) == (True, "Byron")
    assert subjects(database)[0] == "account ada: staff on; changed last_name"
    with pytest.raises(Outdated):
        accounts.update(database, root, user)
    with pytest.raises(BadRequest) as raised:
        accounts.update(database, root, replace(after, username="other"))
    assert raised.value.problems.keys() == {"username"}
    with pytest.raises(NotFound):
        accounts.update(database, root, replace(after, id=4711))


def test_a_superuser_is_staff(database: Database, root: Actor) -> None:
    after = accounts.update(database, root, replace(a_user(database), is_superuser=True))
    assert after.is_staff


def test_a_changed_address_is_told_to_the_old_one_whose_links_end(
    database: Database, settings: Settings, root: Actor
) -> None:
    user = a_user(database)
    accounts.request_reset(database, settings, "ada@example.org", HERE)
    link = token_in(mails_to(database, "ada@example.org")[-1])
    accounts.update(database, root, replace(user, profile=a_profile(email="new@example.org")))
    assert mails_to(database, "ada@example.org")[-1].subject == "Your mail address was changed"
    with pytest.raises(NotPermitted):
        accounts.reset_password(database, settings, link, ANOTHER_PASSWORD, HERE)


@pytest.mark.parametrize("way", ["deactivate", "update"])
def test_a_deactivated_account_is_out_everywhere_at_once(
    database: Database, settings: Settings, root: Actor, way: str
) -> None:
    user = a_user(database)
    tokens = [a_session(database, settings, user) for _ in range(2)]
    accounts.request_reset(database, settings, "ada@example.org", HERE)
    link = token_in(mails_to(database, "ada@example.org")[-1])
    if way == "deactivate":
        accounts.deactivate(database, root, user.id)
    else:
        accounts.update(database, root, replace(user, is_active=False))
    assert [sessions.find(database, settings, token) for token in tokens] == [None, None]
    with pytest.raises(NotPermitted):
        accounts.reset_password(database, settings, link, ANOTHER_PASSWORD, HERE)
    accounts.activate(database, root, user.id)
    assert [sessions.find(database, settings, token) for token in tokens] == [None, None]
    assert accounts.sign_in(database, settings, "ada", PASSWORD, HERE, "")


def test_nobody_deactivates_themselves(database: Database, settings: Settings, root: Actor) -> None:
    a_user(database, "another", is_superuser=True)
    myself = accounts.me(database, root)
    for way in (
        lambda: accounts.deactivate(database, root, myself.id),
        lambda: accounts.update(database, root, replace(myself, is_active=False)),
    ):
        with pytest.raises(WrongState, match="yourself"):
            way()
    assert accounts.me(database, root).is_active


@pytest.mark.parametrize("who", ["root", "shell"])
def test_the_last_superuser_stays_one(database: Database, root: Actor, who: str) -> None:
    actor = root if who == "root" else SHELL
    gone = a_user(database, "gone", is_superuser=True)
    accounts.deactivate(database, root, gone.id)
    myself = accounts.me(database, root)
    with pytest.raises(WrongState, match="last superuser"):
        accounts.update(database, actor, replace(myself, is_superuser=False))
    with pytest.raises(WrongState):
        accounts.deactivate(database, actor, myself.id)
    assert accounts.me(database, root) == myself
    accounts.activate(database, root, gone.id)
    assert not accounts.update(database, root, replace(myself, is_superuser=False)).is_superuser


def test_two_superusers_who_deactivate_one_another_at_once_leave_one(database: Database, settings: Settings) -> None:
    users = [a_user(database, name, is_superuser=True) for name in ("one", "two")]
    actors = [acting(database, settings, user) for user in users]

    def is_gone(number: int) -> bool:
        try:
            return bool(accounts.deactivate(database, actors[number], users[1 - number].id))
        except WrongState:
            return False

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(is_gone, (0, 1))) == [False, True]
    assert len(UserStore(database).superusers()) == 1


def test_only_who_waits_for_it_is_approved(database: Database, settings: Settings, root: Actor) -> None:
    store = UserStore(database)
    user = store.add("ada", a_profile())
    with pytest.raises(WrongState, match="not confirmed"):
        accounts.approve(database, settings, root, user.id)
    store.confirm_email(user.id)
    assert accounts.approve(database, settings, root, user.id).approved_at is not None
    with pytest.raises(WrongState, match="does not wait"):
        accounts.approve(database, settings, root, user.id)
    rejected = store.confirm_email(store.add("eve", a_profile("eve")).id)
    accounts.deactivate(database, root, rejected.id)
    with pytest.raises(WrongState):
        accounts.approve(database, settings, root, rejected.id)


def test_without_a_mail_server_approval_vouches_for_the_address(database: Database, tmp_path: Path) -> None:
    user = UserStore(database).add("ada", a_profile())
    assert accounts.approve(database, some_settings(tmp_path), SHELL, user.id).standing is Standing.ACTIVE


def test_a_link_for_a_password_is_sent_on_demand(
    database: Database, settings: Settings, root: Actor, clock: Clock
) -> None:
    user = a_user(database)
    accounts.send_reset(database, settings, root, user.id)
    assert "2 hours" in mails_to(database, "ada@example.org")[-1].body
    added = accounts.add(database, settings, root, "new", a_profile("new"))
    accounts.send_reset(database, settings, root, added.id)
    assert "14 days" in mails_to(database, "new@example.org")[-1].body
    accounts.deactivate(database, root, user.id)
    fresh = UserStore(database).add("fresh", a_profile("fresh"))
    for wrong in (user, fresh):
        with pytest.raises(WrongState):
            accounts.send_reset(database, settings, root, wrong.id)


def test_the_list_is_for_staff_and_can_be_searched(database: Database, root: Actor) -> None:
    for name in ("ada", "grace"):
        a_user(database, name)
    assert [user.username for user in accounts.list(database, STAFF)] == ["ada", "grace", "root"]
    assert [user.username for user in accounts.list(database, STAFF, "grace", Standing.ACTIVE)] == ["grace"]
    assert accounts.count(database, STAFF) == 3
    with pytest.raises(NotPermitted):
        accounts.list(database, Actor("x"))


@pytest.mark.parametrize("actor", [Actor("x"), STAFF])
def test_what_staff_tries_with_accounts_is_refused_and_written_down(
    database: Database, settings: Settings, actor: Actor
) -> None:
    user = a_user(database)
    tries: list[tuple[AuditAction, str, Callable[[], User | None]]] = [
        (AuditAction.ADD_USER, "new account", lambda: accounts.add(database, settings, actor, "b", a_profile("b"))),
        (AuditAction.CHANGE_USER, "account ada", lambda: accounts.update(database, actor, user)),
        (AuditAction.APPROVE_USER, "account ada", lambda: accounts.approve(database, settings, actor, user.id)),
        (AuditAction.DEACTIVATE_USER, "account ada", lambda: accounts.deactivate(database, actor, user.id)),
        (AuditAction.CHANGE_USER, "account ada", lambda: accounts.activate(database, actor, user.id)),
        (AuditAction.CHANGE_USER, "account ada", lambda: accounts.send_reset(database, settings, actor, user.id)),
    ]
    for action, subject, act in tries:
        with pytest.raises(NotPermitted):
            act()
        line = audit.entries(database, SHELL)[0]
        assert (line.actor, line.action, line.subject, line.outcome) == (actor.name, action, subject, "NotPermitted")
    assert UserStore(database).get(user.id) == user


def test_to_others_unknown_accounts_are_refused_like_any_and_that_is_written_down(
    database: Database, settings: Settings, root: Actor
) -> None:
    nobody = replace(a_user(database), id=4711)
    acts: list[Callable[[Actor], object]] = [
        lambda actor: accounts.update(database, actor, nobody),
        lambda actor: accounts.approve(database, settings, actor, 4711),
        lambda actor: accounts.deactivate(database, actor, 4711),
        lambda actor: accounts.activate(database, actor, 4711),
        lambda actor: accounts.send_reset(database, settings, actor, 4711),
    ]
    for act in acts:
        with pytest.raises(NotPermitted):
            act(Actor("x"))
        assert subjects(database)[0] == "unknown account"
        with pytest.raises(NotFound):
            act(root)
