"""Groups: the rights they give, their members, and the nodes that these may use as source or destination."""

import streamlit as st

from models.domain.nodes import Folder
from models.domain.people import GUARDED, Group, NodeRight
from services import nodes
from services.people import accounts, groups
from ui import context, session
from ui.parts import drawers, pickers, tables
from ui.parts.forms import Form
from ui.parts.listings import heading, removal, search
from ui.parts.refusals import asked
from ui.parts.tables import Column, Look

_EVERYBODY = 100_000
_LOOK = Look[Group](
    [
        Column("Name", lambda group: group.name),
        Column("Users", lambda group: len(group.members), st.column_config.NumberColumn(width="small")),
        Column("Permissions", lambda group: len(group.permissions), st.column_config.NumberColumn(width="small")),
        Column("Sources", lambda group: sum(right.source for right in group.nodes)),
        Column("Destinations", lambda group: sum(right.destination for right in group.nodes)),
    ],
    alt="Groups",
    identity=lambda group: group.id,
    noun="group",
    button="Edit",
    empty="There is no group that matches. Without a group nobody may do anything: add one, and put users into it.",
)

db = context.database()


def edit() -> None:
    """The drawer with all that a group is."""
    actor, opened = session.actor(), drawers.subject_id()

    def load() -> Group:
        return asked(lambda: groups.get(db, actor, opened)) if opened else Group("")

    form = Form("group", opened, load, drawers.close_drawer)
    group = form.subject
    is_fixed = bool(group.permissions & GUARDED) and not actor.is_superuser
    if is_fixed:
        st.info("This group gives rights that reach behind pseudonyms. Only superusers may change it.")
    hint = "For example Radiologists, or Research Team"
    name = form.text("name", "Name", group.name, placeholder=hint, max_chars=150, disabled=is_fixed)
    drawers.section("Permissions")
    permissions = pickers.pick_permissions(
        form, "permissions", group.permissions, actor.is_superuser or is_fixed, disabled=is_fixed
    )
    drawers.section("Users")
    people = accounts.list(db, actor, limit=_EVERYBODY)
    hint = "Available users: type to filter them"
    members = pickers.pick_users(
        form, "members", "Chosen users", people, group.members, placeholder=hint, disabled=is_fixed
    )
    drawers.section("DICOM nodes")
    rights = node_rights(form, group, is_fixed)
    wanted = Group(name, permissions, members, rights, id=group.id, version=group.version)
    with form.buttons():
        is_saved = form.save_button() if not is_fixed else False
        if opened and not is_fixed:
            lost = "Its users lose what only this group gives them. Users, nodes and jobs stay."
            done = f"The group {group.name} was deleted."
            removal(form, "Delete group", group.name, lost, lambda: groups.delete(db, actor, group.id), done)
    if is_saved:
        act = groups.update if opened else groups.add
        form.save(lambda: act(db, actor, wanted), f"The group {name} was saved.")


def node_rights(form: Form[Group], group: Group, is_fixed: bool) -> frozenset[NodeRight]:
    """The table of all nodes with what the group may do with each."""
    given = {right.node_id: right for right in group.nodes}
    rows = [
        pickers.Row(
            node.id,
            f"{node.name} (DICOM {'folder' if isinstance(node, Folder) else 'server'})",
            given.get(node.id, NodeRight(node.id)).source,
            given.get(node.id, NodeRight(node.id)).destination,
            can_be_source=not isinstance(node, Folder),
            is_fixed=is_fixed,
        )
        for node in nodes.listed(db, session.actor())
    ]
    if not rows:
        st.caption("There are no DICOM servers and folders yet. Add them first; then give them to groups.")
    ticks = pickers.pick_sides(form, "nodes", rows, "DICOM node") if rows else {}
    return frozenset(
        NodeRight(node_id, tick.source, tick.destination)
        for node_id, tick in ticks.items()
        if tick.source or tick.destination
    )


heading("Groups", "Add group")
st.caption("Groups give their users permissions, and say which nodes these may use as source and as destination.")
wanted = search("groups-q", hint="Name of a group").casefold()
found = [group for group in asked(lambda: groups.list(db, session.actor())) if wanted in group.name.casefold()]
if picked := tables.paged_table(len(found), lambda limit, skip: found[skip : skip + limit], _LOOK, "groups").opened:
    drawers.open_drawer(picked.id)
if drawers.is_open():
    drawers.show_drawer("Edit group" if drawers.subject_id() else "Add group", edit)
