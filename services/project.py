"""What administrators set for everybody: the announcement, maintenance, and which applications are locked or suspended.

Maintenance lets only staff in. Under it, and in an application that is suspended, items at work go on to their end and
no other begins. A locked application takes nothing new, except from superusers.
"""

from dataclasses import replace

import nh3

from models.db.engine import Database
from models.db.project import ProjectStore
from models.domain.audit import AuditAction
from models.domain.errors import AppLocked, BadRequest, NotPermitted, UnderMaintenance
from models.domain.people import Actor
from models.domain.project import App, AppState, Project
from services import audit

ANNOUNCEMENT_LENGTH = 10_000

_TAGS = {
    *("p", "br", "hr", "strong", "em", "b", "i", "u", "s", "a", "h3", "h4", "blockquote", "code", "pre"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan", "scope"}}


def get(db: Database) -> Project:
    """What is set now, the announcement as it may be shown."""
    project = ProjectStore(db).get()
    return replace(project, announcement=cleaned(project.announcement))


def announcement(db: Database) -> str:
    """The announcement as HTML that may be shown to everybody who is signed in; empty when there is none."""
    return get(db).announcement


def cleaned(html: str) -> str:
    """What of an announcement is shown: a few harmless tags and links, without scripts, styles, forms and images."""
    return nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        clean_content_tags={"script", "style"},
    ).strip()


def update(db: Database, actor: Actor, announcement: str, maintenance: bool, version: int) -> Project:
    """Set the announcement (HTML, which is cleaned) and maintenance, and return what is set now.

    Raises NotPermitted for anybody but staff, BadRequest for an announcement that is too long, Outdated when somebody
    else was faster.
    """
    with audit.refusals_recorded(db, actor, AuditAction.CHANGE_SETTINGS, "project"):
        _check(actor.is_staff, "Only staff may change the project settings.")
    wanted = Project(cleaned(announcement), maintenance, version)
    if max(len(announcement), len(wanted.announcement)) > ANNOUNCEMENT_LENGTH:
        raise BadRequest.of({"announcement": f"at most {ANNOUNCEMENT_LENGTH:,} characters."})
    with db.transaction():
        store = ProjectStore(db)
        before, after = store.get(), store.update(wanted)
        if changes := _changes(before, after):
            audit.record(db, actor, AuditAction.CHANGE_SETTINGS, f"project: {changes}")
        return after


def apps(db: Database) -> dict[App, AppState]:
    """How every application stands."""
    return ProjectStore(db).apps()


def set_app(db: Database, actor: Actor, state: AppState) -> AppState:
    """Lock or suspend an application, or take it back; raises NotPermitted for anybody but superusers."""
    with audit.refusals_recorded(db, actor, AuditAction.CHANGE_SETTINGS, state.app.value):
        _check(actor.is_superuser, "Only superusers may lock or suspend an application.")
    with db.transaction():
        if ProjectStore(db).set_app(state) != state:
            audit.record(db, actor, AuditAction.CHANGE_SETTINGS, f"{state.app.value}: {_words(state)}")
        return state


def check_open(db: Database, actor: Actor, app: App) -> None:
    """Raise UnderMaintenance unless the actor is staff, AppLocked in a locked application unless a superuser."""
    if not actor.is_staff and ProjectStore(db).get().maintenance:
        raise UnderMaintenance
    if not actor.is_superuser and ProjectStore(db).app(app).locked:
        raise AppLocked


def _check(is_allowed: bool, sentence: str) -> None:
    if not is_allowed:
        raise NotPermitted(sentence)


def _changes(before: Project, after: Project) -> str:
    found: list[str] = []
    if before.announcement != after.announcement:
        found.append("announcement changed" if after.announcement else "announcement removed")
    if before.maintenance is not after.maintenance:
        found.append("maintenance on" if after.maintenance else "maintenance off")
    return ", ".join(found)


def _words(state: AppState) -> str:
    words = [word for word, is_so in (("locked", state.locked), ("suspended", state.suspended)) if is_so]
    return ", ".join(words) or "open"
