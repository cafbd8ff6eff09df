"""Which groups may use a node, on the node's own page."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from models.db.engine import Database
from models.domain.nodes import Folder, Node, Server
from models.domain.people import GUARDED, Actor, NodeRight
from models.settings import Settings
from services import nodes
from services.people import groups
from ui.parts import drawers, pickers
from ui.parts.forms import Form


def pick(
    db: Database, actor: Actor, form: Form[Any], node: Node, given: Mapping[int, NodeRight]
) -> dict[int, NodeRight]:
    """Draw the table of groups with what each may do with a node, and return the rights that differ from ``given``."""
    drawers.section("Configure Group Access")
    sides = "source or destination" if isinstance(node, Server) else "destination"
    st.caption(f"DICOM node group accesses: which groups may use it as {sides}.")
    known = groups.list(db, actor)
    if not known:
        st.caption("There are no groups yet. Add them, and give them nodes there or here.")
        return {}
    rows = [
        pickers.Row(
            group.id,
            group.name,
            given.get(group.id, NodeRight(0)).source,
            given.get(group.id, NodeRight(0)).destination,
            can_be_source=isinstance(node, Server),
            is_fixed=bool(group.permissions & GUARDED) and not actor.is_superuser,
        )
        for group in known
    ]
    ticks = pickers.pick_sides(form, "nodes", rows, "Group")
    rights = {group_id: NodeRight(node.id, tick.source, tick.destination) for group_id, tick in ticks.items()}
    return {group_id: right for group_id, right in rights.items() if _differs(right, given.get(group_id))}


def save(db: Database, settings: Settings, actor: Actor, node: Node, rights: Mapping[int, NodeRight]) -> None:
    """Keep a node as entered, new or not, and what groups may do with it; all or nothing."""
    groups.check_may_update_access(db, actor, node.id, rights)
    with db.transaction():
        if node.id:
            kept: Node = nodes.update(db, settings, actor, node)
        elif isinstance(node, Folder):
            kept = nodes.add_folder(db, settings, actor, node)
        else:
            kept = nodes.add_server(db, actor, node)
        if rights:
            groups.update_access(db, actor, kept.id, rights)


def _differs(right: NodeRight, before: NodeRight | None) -> bool:
    old = before or NodeRight(right.node_id)
    return (right.source, right.destination) != (old.source, old.destination)
