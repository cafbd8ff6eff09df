"""Settings for everybody, applications, the overview of jobs, the audit trail, scheduled work and broadcasts."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from api.access import Caller
from api.context import Here
from api.routes.admin import Admin
from api.routing import Route
from api.schemas.operation import (
    AlarmShown,
    AppChanged,
    AppShown,
    AuditShown,
    BroadcastShown,
    BroadcastWished,
    ChoreListed,
    ChoreStarted,
    DeliveryShown,
    Details,
    Overview,
    ProjectChanged,
    ProjectShown,
    Reason,
)
from api.schemas.shapes import Listed, Moment, Number, Page, Part, Text
from api.streams import Stream
from models.domain.audit import AuditAction, AuditFilter
from models.domain.errors import NotPermitted
from models.domain.project import App, AppState
from services import audit, jobs, project
from services.alarms import standing
from services.chores import overview
from services.people import tokens
from services.post import broadcasts

router = APIRouter(prefix="/v1/admin", tags=["admin: operation"], route_class=Route)

BroadcastId = Annotated[Number, Path()]


@router.get("/settings")
def show_settings(here: Here, admin: Admin) -> ProjectShown:
    """What is set for everybody: the announcement and maintenance."""
    _check_is_staff(admin)
    return ProjectShown.model_validate(project.get(here.db))


@router.put("/settings")
def change_settings(here: Here, admin: Admin, changed: ProjectChanged) -> ProjectShown:
    """Set the announcement and maintenance. Under maintenance the API answers nobody, so it is ended on the pages."""
    after = project.update(here.db, admin.actor, changed.announcement, changed.maintenance, changed.version)
    return ProjectShown.model_validate(after)


@router.get("/apps")
def list_apps(here: Here, admin: Admin) -> Listed[AppShown]:
    """How every application stands."""
    _check_is_staff(admin)
    return Listed(results=[AppShown.model_validate(state) for state in project.apps(here.db).values()])


@router.put("/apps/{app}")
def change_app(here: Here, admin: Admin, app: App, changed: AppChanged) -> AppShown:
    """Lock or suspend an application, or take it back; for superusers."""
    state = project.set_app(here.db, admin.actor, AppState(app, changed.locked, changed.suspended))
    return AppShown.model_validate(state)


@router.get("/alarms")
def list_alarms(here: Here, admin: Admin) -> Listed[AlarmShown]:
    """What is wrong with the whole now, the oldest first."""
    found = standing.list(here.db, here.settings, admin.actor)
    return Listed(results=[AlarmShown.model_validate(alarm) for alarm in found])


@router.get("/overview")
def show_overview(here: Here, admin: Admin) -> Overview:
    """How many jobs of everybody there are of each kind in each state."""
    found = jobs.overview(here.db, admin.actor)
    by_kind = {kind: {state: count for state, count in counts.items() if count} for kind, counts in found.items()}
    return Overview(jobs=by_kind, at_work=jobs.at_work(here.db, admin.actor))


def _wanted(
    since: Annotated[Moment | None, Query(description="This moment is included.")] = None,
    until: Annotated[Moment | None, Query(description="This moment is not.")] = None,
    who: Annotated[Text, Query(description="A part of a name.")] = "",
    action: Annotated[AuditAction | None, Query()] = None,
    text: Annotated[Text, Query(description="A part of subject, reason or address.")] = "",
) -> AuditFilter:
    return AuditFilter(since, until, who, action, text)


Wanted = Annotated[AuditFilter, Depends(_wanted)]


@router.get("/audit")
def list_entries(here: Here, admin: Admin, part: Part, wanted: Wanted) -> Page[AuditShown]:
    """The audit trail, newest first; needs the right to read it."""
    found = audit.entries(here.db, admin.actor, wanted, part.limit, part.offset)
    total = audit.count(here.db, admin.actor, wanted)
    return Page(results=[AuditShown.model_validate(entry) for entry in found], total=total)


@router.get("/audit.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
def export_entries(here: Here, admin: Admin, wanted: Wanted) -> Stream:
    """The entries that match as a CSV file, oldest first; the export is itself recorded."""
    lines = audit.export(here.db, admin.actor, wanted)

    def may_go_on() -> bool:
        now = tokens.actor_now(here.db, admin.actor)
        return now is not None and audit.may_read(now)

    return Stream(
        (line.encode() for line in lines),
        "text/csv",
        headers={"content-disposition": 'attachment; filename="audit-trail.csv"'},
        is_alive=may_go_on,
    )


@router.get("/audit/{entry_id}")
def show_entry(here: Here, admin: Admin, entry_id: Annotated[Number, Path()]) -> AuditShown:
    """One entry of the audit trail."""
    return AuditShown.model_validate(audit.get(here.db, admin.actor, entry_id))


@router.post("/audit/{entry_id}/details")
def read_details(here: Here, admin: Admin, entry_id: Annotated[Number, Path()], why: Reason) -> Details:
    """What an entry keeps encrypted, such as the keys of a search; looking is itself recorded."""
    return Details(details=dict(audit.details(here.db, admin.actor, entry_id, why.reason)))


@router.get("/chores")
def list_chores(here: Here, admin: Admin) -> Listed[ChoreListed]:
    """Scheduled work: what is done by itself, when, and how it went."""
    found = overview.listed(here.db, here.settings, admin.actor)
    return Listed(results=[ChoreListed.model_validate(one) for one in found])


@router.post("/chores/{name}/run", status_code=202)
def run_chore(here: Here, admin: Admin, name: Annotated[Text, Path()]) -> ChoreStarted:
    """Have a chore done now; it begins as soon as a worker takes it up."""
    return ChoreStarted(flow_run_id=overview.run_now(here.db, here.settings, admin.actor, name))


@router.get("/broadcasts")
def list_broadcasts(here: Here, admin: Admin, part: Part) -> Page[BroadcastShown]:
    """Broadcasts, newest first."""
    found = broadcasts.list(here.db, admin.actor, part.limit, part.offset)
    results = [BroadcastShown.of(one) for one in found]
    return Page(results=results, total=broadcasts.count(here.db, admin.actor))


@router.post("/broadcasts", status_code=201)
def send_broadcast(here: Here, admin: Admin, wished: BroadcastWished) -> BroadcastShown:
    """Write a mail to users, one for each."""
    sent = broadcasts.send(here.db, admin.actor, wished.subject, wished.message, wished.user_ids)
    return BroadcastShown.of(sent)


@router.get("/broadcasts/{broadcast_id}")
def show_broadcast(here: Here, admin: Admin, broadcast_id: BroadcastId) -> BroadcastShown:
    """One broadcast, and how far it is."""
    return BroadcastShown.of(broadcasts.get(here.db, admin.actor, broadcast_id))


@router.get("/broadcasts/{broadcast_id}/deliveries")
def list_deliveries(here: Here, admin: Admin, broadcast_id: BroadcastId, part: Part) -> Page[DeliveryShown]:
    """What became of each mail of a broadcast, by recipient."""
    known = broadcasts.get(here.db, admin.actor, broadcast_id)
    found = broadcasts.deliveries(here.db, admin.actor, broadcast_id, part.limit, part.offset)
    total = known.waiting + known.sent + known.failed
    return Page(results=[DeliveryShown.model_validate(one) for one in found], total=total)


def _check_is_staff(admin: Caller) -> None:
    """Others see parts of it on the pages, and have no business with the whole."""
    if not admin.actor.is_staff:
        raise NotPermitted("Only staff may see this.")
