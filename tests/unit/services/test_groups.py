"""Staff shapes groups; what reaches behind pseudonyms is for superusers alone; every change is written down."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from models.db.engine import Database
from models.db.groups import GroupStore
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest, NotFound, NotPermitted, Outdated
from models.domain.people import GUARDED, Actor, Group, NodeRight, Permission, operator
from services import audit
from services.people import groups
from tests.people import a_user
from tests.samples import add_nodes

ROOT = operator("root")
STAFF = Actor("staff", is_staff=True)
USER = Actor("ada", permissions=frozenset(Permission))


def subjects(database: Database) -> list[str]:
    return [line.subject for line in audit.entries(database, ROOT)]


def test_staff_makes_changes_and_deletes_a_group(database: Database) -> None:
    source, folder = add_nodes(database)
    ada, grace = a_user(database, "ada"), a_user(database, "grace")
    group = groups.add(
        database,
        STAFF,
        Group(
            " Radio  logists ",
            frozenset({Permission.UPLOAD}),
            frozenset({ada.id}),
            frozenset({NodeRight(source, source=True)}),
            id=4711,
        ),
    )
    assert groups.get(database, STAFF, group.id) == group
    assert group.name == "Radio logists"
    changed = replace(
        group,
        name="Radiologists",
        permissions=frozenset({Permission.EXPLORE}),
        members=frozenset({grace.id}),
        nodes=frozenset({NodeRight(source, True, True), NodeRight(folder, destination=True)}),
    )
    after = groups.update(database, STAFF, changed)
    assert after == replace(changed, version=2)
    assert groups.list(database, STAFF) == (after,)
    with pytest.raises(Outdated):
        groups.update(database, STAFF, changed)
    groups.delete(database, STAFF, group.id)
    assert groups.list(database, STAFF) == ()
    assert subjects(database) == [
        "group Radiologists",
        "group Radio logists: now Radiologists; rights +dicom_explorer.query_dicom_server -upload.can_upload_data; "
        f"members +grace -ada; nodes +{source}(source,destination) +{folder}(destination) -{source}(source)",
        f"group Radio logists: added; rights +upload.can_upload_data; members +ada; nodes +{source}(source)",
    ]


def test_a_change_of_nothing_leaves_no_line(database: Database) -> None:
    group = groups.add(database, STAFF, Group("x"))
    groups.update(database, STAFF, group)
    assert subjects(database) == ["group x: added"]


@pytest.mark.parametrize("name", ["", "  ", "x" * 151, "a\x00b", "a\u202eb"])
def test_odd_names_are_refused(database: Database, name: str) -> None:
    with pytest.raises(BadRequest) as raised:
        groups.add(database, STAFF, Group(name))
    assert raised.value.problems.keys() == {"name"}


@pytest.mark.parametrize("permission", sorted(GUARDED))
def test_staff_cannot_touch_guarded_rights_and_groups_that_hold_them(
    database: Database, permission: Permission
) -> None:
    plain = groups.add(database, STAFF, Group("plain"))
    guarded = groups.add(database, ROOT, Group("guarded", frozenset({permission, Permission.UPLOAD})))
    user = a_user(database)
    source, _ = add_nodes(database)
    tries: list[Callable[[], object]] = [
        lambda: groups.add(database, STAFF, Group("new", frozenset({permission}))),
        lambda: groups.update(database, STAFF, replace(plain, permissions=frozenset({permission}))),
        lambda: groups.update(database, STAFF, replace(guarded, members=frozenset({user.id}))),
        lambda: groups.update(database, STAFF, replace(guarded, permissions=frozenset())),
        lambda: groups.update_access(database, STAFF, source, {guarded.id: NodeRight(source, source=True)}),
        lambda: groups.delete(database, STAFF, guarded.id),
    ]
    for act in tries:
        with pytest.raises(NotPermitted, match="superusers"):
            act()
        assert audit.entries(database, ROOT)[0].outcome == "NotPermitted"
    assert {group.name: group for group in GroupStore(database).list()} == {"plain": plain, "guarded": guarded}
    assert groups.update(database, ROOT, replace(guarded, members=frozenset({user.id}))).members == {user.id}


def test_others_see_and_change_nothing(database: Database) -> None:
    group = groups.add(database, STAFF, Group("x"))
    for act in (
        lambda: groups.list(database, USER),
        lambda: groups.get(database, USER, group.id),
        lambda: groups.add(database, USER, Group("y")),
        lambda: groups.update(database, USER, group),
        lambda: groups.delete(database, USER, group.id),
        lambda: groups.access(database, USER, 1),
        lambda: groups.update_access(database, USER, 1, {}),
    ):
        with pytest.raises(NotPermitted):
            act()
    assert groups.names(database, USER) == {}
    assert groups.names(database, replace(USER, groups=frozenset({group.id}))) == {group.id: "x"}
    assert groups.names(database, STAFF) == {group.id: "x"}


def test_to_others_unknown_groups_are_refused_like_any_and_that_is_written_down(database: Database) -> None:
    for act in (
        lambda: groups.update(database, USER, Group("x", id=4711)),
        lambda: groups.delete(database, USER, 4711),
        lambda: groups.check_may_update_access(database, USER, 1, [4711]),
        lambda: groups.update_access(database, USER, 1, {4711: NodeRight(1)}),
    ):
        with pytest.raises(NotPermitted):
            act()
    assert subjects(database) == [*["groups of node 1"] * 2, *["unknown group"] * 2]


def test_the_page_of_a_node_gives_it_to_groups(database: Database) -> None:
    source, folder = add_nodes(database)
    one, two = (groups.add(database, STAFF, Group(name)) for name in ("one", "two"))
    groups.update_access(
        database, STAFF, source, {one.id: NodeRight(0, source=True), two.id: NodeRight(source, destination=True)}
    )
    assert groups.access(database, STAFF, source) == {
        one.id: NodeRight(source, source=True),
        two.id: NodeRight(source, destination=True),
    }
    groups.update_access(database, STAFF, source, {one.id: NodeRight(source)})
    assert groups.access(database, STAFF, source) == {two.id: NodeRight(source, destination=True)}
    assert subjects(database)[:2] == [f"group one: nodes -{source}(source)", f"group two: nodes +{source}(destination)"]
    with pytest.raises(BadRequest) as raised:
        groups.update_access(database, STAFF, folder, {one.id: NodeRight(folder, source=True)})
    assert raised.value.problems.keys() == {"nodes"}


def test_unknown_groups_are_not_found(database: Database) -> None:
    for act in (
        lambda: groups.get(database, STAFF, 1),
        lambda: groups.update(database, STAFF, Group("x", id=1)),
        lambda: groups.delete(database, STAFF, 1),
        lambda: groups.update_access(database, STAFF, 1, {1: NodeRight(1)}),
    ):
        with pytest.raises(NotFound):
            act()


def test_what_is_written_down_names_the_action(database: Database) -> None:
    group = groups.add(database, STAFF, Group("x"))
    groups.delete(database, STAFF, group.id)
    actions = [line.action for line in audit.entries(database, ROOT)]
    assert actions == [AuditAction.DELETE_GROUP, AuditAction.CHANGE_GROUP]
