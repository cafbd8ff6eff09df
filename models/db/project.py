"""Keeps what is set for everybody: the announcement, maintenance, and the state of each application."""

from sqlalchemy import ColumnElement, String, and_, case, cast, exists, or_, select
from sqlalchemy.orm import Session

from models.db.engine import Database
from models.db.tables import AppRow, JobRow, ProjectRow
from models.domain.errors import Outdated
from models.domain.jobs import JobKind
from models.domain.project import App, AppState, Project

_ONLY = 1
"""The id of the one row."""


class ProjectStore:
    """The one row of settings, and a row for each application that was ever locked or suspended."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self) -> Project:
        """What is set now."""
        with self._db.reading() as session:
            return _project(session.get_one(ProjectRow, _ONLY))

    def update(self, project: Project) -> Project:
        """Replace all of it, and return it with its new version; raises Outdated when the version is not the last."""
        with self._db.transaction() as session:
            row = _locked(session)
            if row.version != project.version:
                raise Outdated
            row.announcement, row.maintenance = project.announcement, project.maintenance
            row.version += 1
            return _project(row)

    def app(self, app: App) -> AppState:
        """How one application stands."""
        with self._db.reading() as session:
            return _state(app, session.get(AppRow, app))

    def apps(self) -> dict[App, AppState]:
        """How every application stands, in the order of the enumeration."""
        with self._db.reading() as session:
            rows = {row.app: row for row in session.scalars(select(AppRow))}
            return {app: _state(app, rows.get(app)) for app in App}

    def set_app(self, state: AppState) -> AppState:
        """Lock, unlock, suspend or let go on; returns how the application stood before."""
        with self._db.transaction() as session:
            _locked(session)  # two who set the same application for the first time wait for one another
            row = session.get(AppRow, state.app, populate_existing=True)
            before = _state(state.app, row)
            if row is None:
                session.add(row := AppRow(app=state.app))
            row.locked, row.suspended = state.locked, state.suspended
            session.flush()
            return before


def has_to_wait() -> ColumnElement[bool]:
    """Whether the job of a statement's ``JobRow`` has to wait: under maintenance, or since its kind is suspended."""
    of_kind = case({kind.value: App.of(kind).value for kind in JobKind}, value=cast(JobRow.kind, String))
    suspended = and_(cast(AppRow.app, String) == of_kind, AppRow.suspended.is_(True))
    return or_(exists().where(ProjectRow.maintenance.is_(True)), exists().where(suspended))


def _locked(session: Session) -> ProjectRow:
    return session.get_one(ProjectRow, _ONLY, with_for_update=True, populate_existing=True)


def _project(row: ProjectRow) -> Project:
    return Project(row.announcement, row.maintenance, row.version)


def _state(app: App, row: AppRow | None) -> AppState:
    return AppState(app) if row is None else AppState(app, row.locked, row.suspended)
