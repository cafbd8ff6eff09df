"""Groups come back as they were kept, and rights never leak from one group or side to another."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.db.engine import Database
from models.db.groups import GroupStore, rights_of
from models.db.nodes import NodeStore
from models.db.people import UserStore
from models.domain.errors import BadRequest, NotFound, Outdated
from models.domain.people import Group, NodeAccess, NodeRight, Permission
from tests.databases import MASTER_KEY, new_url
from tests.people import a_user
from tests.samples import a_server, add_nodes


def a_full_group(database: Database, name: str = "Radiologists") -> Group:
    source, folder = add_nodes(database)
    user = a_user(database, f"member-of-{name.lower()}")
    rights = frozenset({NodeRight(source, source=True), NodeRight(folder, destination=True)})
    permissions = frozenset({Permission.UPLOAD, Permission.ADD_SELECTIVE_TRANSFER})
    return GroupStore(database).add(Group(name, permissions, frozenset({user.id}), rights))


def test_every_field_of_a_group_comes_back(database: Database) -> None:
    group = a_full_group(database)
    store = GroupStore(database)
    assert store.get(group.id) == group
    other = store.add(Group("a"))
    assert store.list() == (other, group)
    assert list(store.names().items()) == [(other.id, "a"), (group.id, "Radiologists")]


def test_an_update_replaces_all_and_refuses_an_outdated_form(database: Database) -> None:
    store = GroupStore(database)
    group = a_full_group(database)
    other = a_user(database, "other")
    wanted = Group("New", frozenset({Permission.EXPLORE}), frozenset({other.id}), id=group.id, version=group.version)
    after = store.update(wanted)
    assert after == replace(wanted, version=2) == store.get(group.id)
    with pytest.raises(Outdated):
        store.update(wanted)


def test_a_right_to_neither_side_is_none(database: Database) -> None:
    source, _ = add_nodes(database)
    group = GroupStore(database).add(Group("x", nodes=frozenset({NodeRight(source)})))
    assert group.nodes == frozenset() == GroupStore(database).get(group.id).nodes
    assert GroupStore(database).access(source) == {}


def test_wrong_names_members_and_nodes_are_named(database: Database) -> None:
    store = GroupStore(database)
    source, folder = add_nodes(database)
    store.add(Group("Taken"))
    wrong = Group("TAKEN", members=frozenset({4711}), nodes=frozenset({NodeRight(4711, source=True)}))
    with pytest.raises(BadRequest) as raised:
        store.add(wrong)
    assert raised.value.problems.keys() == {"name", "members", "nodes"}
    for rights in (
        {NodeRight(folder, source=True)},
        {NodeRight(source, source=True), NodeRight(source, destination=True)},
    ):
        with pytest.raises(BadRequest, match="nodes: "):
            store.add(Group("x", nodes=frozenset(rights)))
    assert len(store.list()) == 1


def test_a_deleted_group_takes_its_rights_along(database: Database) -> None:
    store = GroupStore(database)
    group = a_full_group(database)
    (member,) = group.members
    before = UserStore(database).get(member)
    store.delete(group.id)
    with database.reading() as session:
        assert rights_of(session, member).permissions == frozenset()
    after = UserStore(database).get(member)
    assert after == replace(before, groups=frozenset(), version=before.version + 1)
    for question in (store.get, store.delete):
        with pytest.raises(NotFound):
            question(group.id)
    with pytest.raises(NotFound):
        store.update(group)


def test_who_becomes_a_member_has_outdated_forms(database: Database) -> None:
    user = a_user(database)
    group = GroupStore(database).add(Group("x"))
    GroupStore(database).update(replace(group, members=frozenset({user.id})))
    with pytest.raises(Outdated):
        UserStore(database).update(user)


def test_the_page_of_a_node_changes_only_the_groups_it_names(database: Database) -> None:
    store = GroupStore(database)
    group, other = a_full_group(database), store.add(Group("other"))
    source = next(right.node_id for right in group.nodes if right.source)
    second = NodeStore(database).add(a_server("SECOND")).id
    store.update_access(second, {group.id: NodeRight(second, source=True, destination=True)})
    assert store.access(second) == {group.id: NodeRight(second, True, True)}
    assert store.access(source) == {group.id: NodeRight(source, source=True)}
    store.update_access(source, {group.id: NodeRight(source), other.id: NodeRight(source, destination=True)})
    assert store.access(source) == {other.id: NodeRight(source, destination=True)}
    with pytest.raises(Outdated):
        store.update(group)
    with pytest.raises(NotFound):
        store.update_access(source, {4711: NodeRight(source, source=True)})


def test_somebody_without_groups_has_nothing(database: Database) -> None:
    with database.reading() as session:
        rights = rights_of(session, a_user(database).id)
    assert (rights.groups, rights.permissions, rights.access) == (frozenset(), frozenset(), NodeAccess())


@st.composite
def some_groups(draw: st.DrawFn) -> list[tuple[bool, frozenset[Permission], dict[int, tuple[bool, bool]]]]:
    """Whether the user is in it, what it gives, and the sides of up to three servers."""
    sides = st.tuples(st.booleans(), st.booleans())
    group = st.tuples(
        st.booleans(),
        st.frozensets(st.sampled_from(sorted(Permission)), max_size=3),
        st.dictionaries(st.integers(0, 2), sides, max_size=3),
    )
    return draw(st.lists(group, max_size=4))


@pytest.fixture(scope="module")
def a_database_with_servers(tmp_path_factory: pytest.TempPathFactory):
    with new_url("sqlite", tmp_path_factory.mktemp("rights")) as url:
        db = Database(url, MASTER_KEY)
        db.migrate()
        servers = [NodeStore(db).add(a_server(f"PACS{number}")).id for number in range(3)]
        yield db, servers, a_user(db)
        db.close()


@given(wanted=some_groups())
@settings(max_examples=40, deadline=None)
def test_rights_are_the_union_over_groups_side_by_side(a_database_with_servers, wanted) -> None:
    db, servers, user = a_database_with_servers
    store = GroupStore(db)
    for group in store.list():
        store.delete(group.id)
    for number, (is_in, permissions, sides) in enumerate(wanted):
        rights = frozenset(NodeRight(servers[node], *which) for node, which in sides.items())
        store.add(Group(str(number), permissions, frozenset({user.id} if is_in else ()), rights))
    mine = [(permissions, sides) for is_in, permissions, sides in wanted if is_in]
    with db.reading() as session:
        found = rights_of(session, user.id)
    assert found.permissions == frozenset().union(*(permissions for permissions, _ in mine))
    assert found.access.sources == {servers[node] for _, sides in mine for node, (source, _) in sides.items() if source}
    assert found.access.destinations == {servers[node] for _, sides in mine for node, (_, to) in sides.items() if to}
    assert len(found.groups) == len(mine)
