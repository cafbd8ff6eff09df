"""What administrators do with groups, which give their members rights and nodes.

Staff may do everything, but for the guarded rights: only superusers give those, and change groups that have them.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from models.db.engine import Database
from models.db.groups import GroupStore
from models.db.people import UserStore
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest, NotFound, NotPermitted
from models.domain.people import GUARDED, Actor, Group, NodeRight
from services import audit

_NAME_LENGTH = 150
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def list(db: Database, actor: Actor) -> tuple[Group, ...]:
    """All groups by name, for staff; raises NotPermitted."""
    _check_is_staff(actor)
    return GroupStore(db).list()


def get(db: Database, actor: Actor, group_id: int) -> Group:
    """One group, for staff; raises NotPermitted or NotFound."""
    _check_is_staff(actor)
    return GroupStore(db).get(group_id)


def names(db: Database, actor: Actor) -> dict[int, str]:
    """The names of groups by their ids: of all for staff, for others of those they are in."""
    known = GroupStore(db).names()
    return {group_id: name for group_id, name in known.items() if actor.is_staff or group_id in actor.groups}


def add(db: Database, actor: Actor, group: Group) -> Group:
    """The group with its new id. Raises NotPermitted, or BadRequest naming ``name``, ``members`` or ``nodes``."""
    with audit.refusals_recorded(db, actor, AuditAction.CHANGE_GROUP, "new group"):
        _check_may_change(actor, group)
    group = _checked(group)
    with db.transaction():
        added = GroupStore(db).add(replace(group, id=0))
        _record(db, actor, Group(added.name), added, "added")
        return added


def update(db: Database, actor: Actor, group: Group) -> Group:
    """Replace all that the group is; its members have what it gives from their next click on.

    Raises NotPermitted, NotFound, Outdated, or BadRequest naming ``name``, ``members`` or ``nodes``.
    """
    before = _known(db, actor, AuditAction.CHANGE_GROUP, group.id)
    with audit.refusals_recorded(db, actor, AuditAction.CHANGE_GROUP, f"group {before.name}"):
        _check_may_change(actor, before, group)
    group = _checked(group)
    with db.transaction():
        after = GroupStore(db).update(group)
        _record(db, actor, before, after, f"now {after.name}" if after.name != before.name else "")
        return after


def delete(db: Database, actor: Actor, group_id: int) -> None:
    """Remove a group, whose members lose what it gave; raises NotPermitted or NotFound."""
    subject = f"group {_known(db, actor, AuditAction.DELETE_GROUP, group_id).name}"
    with audit.refusals_recorded(db, actor, AuditAction.DELETE_GROUP, subject), db.transaction():
        _check_may_change(actor, GroupStore(db).delete(group_id))  # what it was at its end, and not before
        audit.record(db, actor, AuditAction.DELETE_GROUP, subject)


def access(db: Database, actor: Actor, node_id: int) -> dict[int, NodeRight]:
    """What groups may do with one node, by the group's id, for the node's page; raises NotPermitted."""
    _check_is_staff(actor)
    return GroupStore(db).access(node_id)


def check_may_update_access(db: Database, actor: Actor, node_id: int, group_ids: Iterable[int]) -> None:
    """Raise NotPermitted, written down, unless the actor may change what these groups may do with a node.

    For who does that in a larger transaction, with which a line about the refusal would be undone.
    """
    store = GroupStore(db)
    with audit.refusals_recorded(db, actor, AuditAction.CHANGE_GROUP, f"groups of node {node_id}"):
        _check_is_staff(actor)
        _check_may_change(actor, *(store.get(group_id) for group_id in group_ids))


def update_access(db: Database, actor: Actor, node_id: int, rights: Mapping[int, NodeRight]) -> None:
    """Replace what these groups may do with one node; other groups keep what they have.

    Raises NotPermitted, NotFound for an unknown group, or BadRequest naming ``nodes``.
    """
    store = GroupStore(db)
    changed = {group_id: replace(right, node_id=node_id) for group_id, right in rights.items()}
    with audit.refusals_recorded(db, actor, AuditAction.CHANGE_GROUP, f"groups of node {node_id}"), db.transaction():
        _check_is_staff(actor)
        before = [store.get(group_id) for group_id in changed]
        _check_may_change(actor, *before)
        store.update_access(node_id, changed)
        after = [store.get(group_id) for group_id in changed]
        _check_may_change(actor, *after)  # nobody can make them guarded any more until this is done
        for old, new in zip(before, after, strict=True):
            _record(db, actor, old, new, "")


def _known(db: Database, actor: Actor, action: AuditAction, group_id: int) -> Group:
    """The group; raises NotFound, or NotPermitted for others than staff, who shall not learn which groups there are."""
    try:
        return GroupStore(db).get(group_id)
    except NotFound:
        with audit.refusals_recorded(db, actor, action, "unknown group"):
            _check_is_staff(actor)
        raise


def _check_is_staff(actor: Actor) -> None:
    if not actor.is_staff:
        raise NotPermitted("Only staff may see and change groups.")


def _check_may_change(actor: Actor, *groups: Group) -> None:
    """Look at a group as it is and as it should be: neither may be guarded."""
    _check_is_staff(actor)
    if not actor.is_superuser and any(group.permissions & GUARDED for group in groups):
        raise NotPermitted("Only superusers may change groups with rights that reach behind pseudonyms.")


def _checked(group: Group) -> Group:
    name = " ".join(group.name.split())
    if not name or len(name) > _NAME_LENGTH or _CONTROL.search(name):
        raise BadRequest.of({"name": f"Needed, of at most {_NAME_LENGTH} characters."})
    return replace(group, name=name)


def _record(db: Database, actor: Actor, before: Group, after: Group, what: str) -> None:
    people = UserStore(db).names(before.members ^ after.members)
    changes = (
        what,
        _difference("rights", before.permissions, after.permissions),
        _difference(
            "members",
            [people.get(user_id, "") for user_id in before.members - after.members],
            [people.get(user_id, "") for user_id in after.members - before.members],
        ),
        _difference("nodes", map(_words, before.nodes), map(_words, after.nodes)),
    )
    if any(changes):
        text = "; ".join(filter(None, changes))
        audit.record(db, actor, AuditAction.CHANGE_GROUP, f"group {before.name}: {text}")


def _difference(what: str, before: Iterable[str], after: Iterable[str]) -> str:
    old, new = set(before), set(after)
    words = [*(f"+{word}" for word in sorted(new - old)), *(f"-{word}" for word in sorted(old - new))]
    return f"{what} {' '.join(words)}" if words else ""


def _words(right: NodeRight) -> str:
    sides = [side for side, is_so in (("source", right.source), ("destination", right.destination)) if is_so]
    return f"{right.node_id}({','.join(sides)})"
