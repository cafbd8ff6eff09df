"""Keeps groups: the rights they give, their members, and the nodes these may use."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from models.db.engine import Database, Lock, hold
from models.db.tables import (
    GroupPermissionRow,
    GroupRow,
    MembershipRow,
    NodeAccessRow,
    NodeRow,
    UserRow,
)
from models.domain.errors import BadRequest, NotFound, Outdated
from models.domain.people import Group, NodeAccess, NodeRight, Permission


@dataclass(frozen=True, slots=True)
class Rights:
    """What somebody may do as a member of groups: the union of what these give."""

    groups: frozenset[int]
    permissions: frozenset[Permission]
    access: NodeAccess


class GroupStore:
    """Groups by id. A change of its members is a change of the group and of the members, whose versions grow too."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def list(self) -> tuple[Group, ...]:
        """All groups with all they give, by name."""
        with self._db.reading() as session:
            rows = session.scalars(select(GroupRow).order_by(func.lower(GroupRow.name))).all()
            return tuple(_groups(session, rows))

    def get(self, group_id: int) -> Group:
        """The group; raises NotFound."""
        with self._db.reading() as session:
            (group,) = _groups(session, [_row(session, group_id)])
            return group

    def names(self) -> dict[int, str]:
        """The name of each group by its id, in the order of the names."""
        with self._db.reading() as session:
            wanted = select(GroupRow.id, GroupRow.name).order_by(func.lower(GroupRow.name))
            return dict(session.execute(wanted).all())

    def rights(self, user_id: int) -> Rights:
        """What a user has by groups."""
        with self._db.reading() as session:
            return rights_of(session, user_id)

    def add(self, group: Group) -> Group:
        """The group with its new id; raises BadRequest as ``update`` does."""
        with self._db.transaction() as session:
            hold(session.connection(), Lock.PEOPLE)
            row = GroupRow(name=group.name, version=1)
            _refuse_problems(session, group)
            session.add(row)
            session.flush()
            return self._filled(session, row, replace(group, id=row.id))

    def update(self, group: Group) -> Group:
        """Replace all that the group is.

        Raises NotFound, Outdated, or BadRequest for a name that is taken and for members and nodes that do not exist
        or cannot be what they should: a folder is no source.
        """
        with self._db.transaction() as session:
            hold(session.connection(), Lock.PEOPLE)
            row = _row(session, group.id)
            session.refresh(row)
            if row.version != group.version:
                raise Outdated
            _refuse_problems(session, group)
            row.name = group.name
            row.version += 1
            return self._filled(session, row, group)

    def delete(self, group_id: int) -> Group:
        """Remove a group, and with it what its members had by it, and return what it was; raises NotFound."""
        with self._db.transaction() as session:
            hold(session.connection(), Lock.PEOPLE)
            row = _row(session, group_id)
            (group,) = _groups(session, [row])
            _grow_versions(session, group.members)
            session.delete(row)
            return group

    def access(self, node_id: int) -> dict[int, NodeRight]:
        """What groups may do with one node, by the group's id; those that may nothing are left out."""
        with self._db.reading() as session:
            rows = session.scalars(select(NodeAccessRow).where(NodeAccessRow.node_id == node_id))
            return {row.group_id: _right(row) for row in rows}

    def update_access(self, node_id: int, rights: Mapping[int, NodeRight]) -> None:
        """Replace what these groups may do with one node; other groups keep what they have.

        Raises NotFound for a group that does not exist, BadRequest as ``update`` does.
        """
        with self._db.transaction() as session:
            hold(session.connection(), Lock.PEOPLE)
            _refuse(_node_problems(session, rights.values()))
            for group_id, right in rights.items():
                row = _row(session, group_id)
                of_both = NodeAccessRow.group_id == group_id, NodeAccessRow.node_id == node_id
                session.execute(delete(NodeAccessRow).where(*of_both))
                _give_nodes(session, group_id, [right])
                row.version += 1

    def _filled(self, session: Session, row: GroupRow, group: Group) -> Group:
        session.execute(delete(GroupPermissionRow).where(GroupPermissionRow.group_id == row.id))
        session.execute(delete(NodeAccessRow).where(NodeAccessRow.group_id == row.id))
        session.add_all(GroupPermissionRow(group_id=row.id, permission=right) for right in sorted(group.permissions))
        _give_nodes(session, row.id, group.nodes)
        before = _members(session, [row.id]).get(row.id, frozenset())
        gone, new = before - group.members, group.members - before
        in_group = MembershipRow.group_id == row.id
        session.execute(delete(MembershipRow).where(in_group, MembershipRow.user_id.in_(gone)))
        session.add_all(MembershipRow(group_id=row.id, user_id=user_id) for user_id in sorted(new))
        _grow_versions(session, gone | new)
        session.flush()
        return replace(group, version=row.version, nodes=frozenset(_useful(group.nodes)))


def rights_of(session: Session, user_id: int) -> Rights:
    """What a user has by groups, in two questions. Group and side come from the same row, so nothing leaks between."""
    mine = MembershipRow.user_id == user_id
    given = (
        select(MembershipRow.group_id, GroupPermissionRow.permission)
        .join(GroupPermissionRow, GroupPermissionRow.group_id == MembershipRow.group_id, isouter=True)
        .where(mine)
    )
    found = session.execute(given).all()
    nodes = (
        select(NodeAccessRow.node_id, NodeAccessRow.source, NodeAccessRow.destination)
        .join(MembershipRow, MembershipRow.group_id == NodeAccessRow.group_id)
        .where(mine)
    )
    usable = session.execute(nodes).all()
    return Rights(
        groups=frozenset(group_id for group_id, _ in found),
        permissions=frozenset(permission for _, permission in found if permission),
        access=NodeAccess(
            sources=frozenset(node_id for node_id, source, _ in usable if source),
            destinations=frozenset(node_id for node_id, _, destination in usable if destination),
        ),
    )


def _row(session: Session, group_id: int) -> GroupRow:
    row = session.get(GroupRow, group_id)
    if row is None:
        raise NotFound("There is no such group.")
    return row


def _groups(session: Session, rows: Iterable[GroupRow]) -> Iterable[Group]:
    rows = list(rows)
    ids = [row.id for row in rows]
    members = _members(session, ids)
    permissions = _permissions(session, ids)
    nodes = _nodes(session, ids)
    nothing: frozenset[int] = frozenset()
    return [
        Group(
            name=row.name,
            permissions=permissions.get(row.id, frozenset()),
            members=members.get(row.id, nothing),
            nodes=nodes.get(row.id, frozenset()),
            id=row.id,
            version=row.version,
        )
        for row in rows
    ]


def _members(session: Session, ids: Iterable[int]) -> dict[int, frozenset[int]]:
    found: dict[int, set[int]] = {}
    for row in session.scalars(select(MembershipRow).where(MembershipRow.group_id.in_(ids))):
        found.setdefault(row.group_id, set()).add(row.user_id)
    return {group_id: frozenset(users) for group_id, users in found.items()}


def _permissions(session: Session, ids: Iterable[int]) -> dict[int, frozenset[Permission]]:
    found: dict[int, set[Permission]] = {}
    for row in session.scalars(select(GroupPermissionRow).where(GroupPermissionRow.group_id.in_(ids))):
        found.setdefault(row.group_id, set()).add(row.permission)
    return {group_id: frozenset(rights) for group_id, rights in found.items()}


def _nodes(session: Session, ids: Iterable[int]) -> dict[int, frozenset[NodeRight]]:
    found: dict[int, set[NodeRight]] = {}
    for row in session.scalars(select(NodeAccessRow).where(NodeAccessRow.group_id.in_(ids))):
        found.setdefault(row.group_id, set()).add(_right(row))
    return {group_id: frozenset(rights) for group_id, rights in found.items()}


def _right(row: NodeAccessRow) -> NodeRight:
    return NodeRight(row.node_id, row.source, row.destination)


def _useful(rights: Iterable[NodeRight]) -> Iterable[NodeRight]:
    return [right for right in rights if right.source or right.destination]


def _give_nodes(session: Session, group_id: int, rights: Iterable[NodeRight]) -> None:
    session.add_all(
        NodeAccessRow(group_id=group_id, node_id=right.node_id, source=right.source, destination=right.destination)
        for right in _useful(rights)
    )
    session.flush()


def _grow_versions(session: Session, users: Iterable[int]) -> None:
    """Make open forms of these users outdated: what they say about groups is."""
    session.execute(update(UserRow).where(UserRow.id.in_(users)).values(version=UserRow.version + 1))


def _refuse_problems(session: Session, group: Group) -> None:
    problems: dict[str, str] = {}
    same_name = func.lower(GroupRow.name) == func.lower(group.name)
    if session.scalar(select(GroupRow.id).where(same_name, GroupRow.id != group.id)):
        problems["name"] = "Another group has this name."
    known = set(session.scalars(select(UserRow.id).where(UserRow.id.in_(group.members))))
    if group.members - known:
        problems["members"] = "One of the members does not exist."
    problems |= _node_problems(session, group.nodes)
    if len({right.node_id for right in group.nodes}) < len(group.nodes):
        problems["nodes"] = "A node stands there twice."
    _refuse(problems)


def _node_problems(session: Session, rights: Iterable[NodeRight]) -> dict[str, str]:
    rights = list(_useful(rights))
    wanted = select(NodeRow.id, NodeRow.kind).where(NodeRow.id.in_([right.node_id for right in rights]))
    kinds = dict(session.execute(wanted).all())
    if any(right.node_id not in kinds for right in rights):
        return {"nodes": "One of the nodes does not exist."}
    if any(right.source and kinds[right.node_id] == "folder" for right in rights):
        return {"nodes": "A folder cannot be a source."}
    return {}


def _refuse(problems: Mapping[str, str]) -> None:
    if problems:
        raise BadRequest.of(problems)
