"""DICOM folders: paths, quotas, when to inform the administrators, how full they are, and rights."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import streamlit as st

from models.domain.errors import NotFound
from models.domain.holding import FolderHold
from models.domain.nodes import Folder
from models.domain.people import NodeRight
from models.domain.quotas import Usage
from services import folder_holds, nodes, quotas
from services.people import groups
from ui import context, session
from ui.parts import connection_test, drawers, folder_hold, folder_usage, node_access, tables
from ui.parts.forms import Form
from ui.parts.listings import heading, removal, search
from ui.parts.refusals import asked
from ui.parts.tables import Column, Look

Loaded = tuple[Folder, Mapping[int, NodeRight]]
"""A folder, and what groups may do with it."""

db, settings = context.database(), context.settings()
NEVER, PERCENT, ABSOLUTE, BOTH = "Never", "At a percentage of the quota", "At an absolute value in GB", "At both"


def load() -> Loaded:
    """The folder that the drawer is about; an empty one for something new."""
    actor, folder_id = session.actor(), drawers.subject_id()
    if not folder_id:
        return Folder("", Path()), {}
    folder = nodes.shown(db, actor, folder_id)
    if not isinstance(folder, Folder):
        raise NotFound("There is no such folder.")
    return folder, groups.access(db, actor, folder_id)


def edit() -> None:
    """The drawer with all that a folder is."""
    actor = session.actor()
    form: Form[Loaded] = Form("folder", drawers.subject_id(), lambda: asked(load), drawers.close_drawer)
    folder, given = form.subject
    if folder.id:
        folder_hold.show(form, folder)
        folder_usage.draw(form, quotas.usage(db, actor, folder.id))
    entered = fields(form, folder)
    rights = node_access.pick(db, actor, form, folder, given)
    with form.buttons():
        is_saved = form.save_button()
        is_tested = form.button("test", "Test path", icon=":material/folder_check:")
        if folder.id:
            lost = "Groups lose it as destination. Files stay. A folder that jobs have used cannot be deleted."
            done = f"The folder {folder.name} was deleted."
            removal(form, "Delete folder", folder.name, lost, lambda: nodes.delete(db, actor, folder.id), done)
    if is_tested:
        connection_test.begin(form, entered)
    connection_test.show(form)
    if is_saved:
        form.save(
            lambda: node_access.save(db, settings, actor, entered, rights), f"The folder {entered.name} was saved."
        )


def fields(form: Form[Loaded], folder: Folder) -> Folder:
    """Draw the fields of a folder, and return it as entered."""
    hint = "For example Research Uploads, or Clinical Archive"
    name = form.text("name", "Name", folder.name, max_chars=64, placeholder=hint)
    hint = "The directory, on the machines of the workers, in which DICOM files are stored"
    shown = str(folder.path) if folder.id else ""
    path = form.text("path", "Path", shown, help=hint, placeholder="/mnt/research")
    hint = "The disk quota of this folder; a GB is 10^9 bytes. Jobs that would need more are refused. Empty: no limit"
    quota = form.number("quota_gb", "Quota (GB)", folder.quota_gb, help=hint, icon=":material/hard_drive:")
    return replace(folder, name=name, path=Path(path), quota_gb=quota, **threshold(form, folder))


def threshold(form: Form[Loaded], folder: Folder) -> dict[str, float | None]:
    """Draw when administrators want to be told, as a percentage or as an absolute value."""
    before = (folder.warn_at_percent is not None, folder.warn_at_gb is not None)
    kinds = {(False, False): NEVER, (True, False): PERCENT, (False, True): ABSOLUTE, (True, True): BOTH}
    options = [NEVER, PERCENT, ABSOLUTE, *([BOTH] if all(before) else [])]
    kind = form.field(
        st.radio, "warn", "When to inform admin", kinds[before], options=options, horizontal=True, on_change="rerun"
    )
    found: dict[str, float | None] = {"warn_at_percent": None, "warn_at_gb": None}
    if kind in {PERCENT, BOTH}:
        found["warn_at_percent"] = form.number("warn_at_percent", "Percentage", folder.warn_at_percent or 80.0)
    if kind in {ABSOLUTE, BOTH}:
        found["warn_at_gb"] = form.number("warn_at_gb", "Absolute value in GB", folder.warn_at_gb)
    return found


def look(usages: Mapping[int, Usage], holds: Mapping[int, FolderHold]) -> Look[Folder]:
    """The list of folders."""

    def fullness(folder: Folder) -> float | None:
        usage = usages.get(folder.id)
        return usage.percent if usage else None

    def told(folder: Folder) -> str:
        return usages[folder.id].sentence if folder.id in usages else "not known"

    bar = st.column_config.ProgressColumn(format="%d%%", min_value=0, max_value=100)
    return Look[Folder](
        [
            Column("Name", lambda folder: folder.name),
            Column("Path", lambda folder: str(folder.path)),
            Column("Full", fullness, bar),
            Column("Usage", told),
            Column("State", lambda folder: folder_hold.words(holds.get(folder.id))),
            Column("Inform admin", lambda folder: folder_usage.threshold(folder)),
        ],
        alt="DICOM folders",
        identity=lambda folder: folder.id,
        noun="DICOM folder",
        button="Edit",
        empty="No DICOM folder matches. Add one to let people transfer studies as files.",
    )


heading("DICOM folders", "Add folder")
wanted = search("folders-q", hint="Name or path").casefold()
found = [
    node
    for node in asked(lambda: nodes.listed(db, session.actor()))
    if isinstance(node, Folder) and wanted in f"{node.name} {node.path}".casefold()
]
usages = {usage.folder_id: usage for usage in quotas.usages(db, session.actor())}
holds = folder_holds.all_now(db)
folder_usage.warn(usages.values())
opened = tables.paged_table(
    len(found), lambda limit, skip: found[skip : skip + limit], look(usages, holds), "folders"
).opened
if opened:
    drawers.open_drawer(opened.id)
if drawers.is_open():
    drawers.show_drawer("Edit folder" if drawers.subject_id() else "Add folder", edit)
