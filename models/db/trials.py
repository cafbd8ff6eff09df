"""Keeps who uses which trial: whose jobs may bind patients under its linkage key, and learn the pseudonyms by that."""

from collections.abc import Collection, Iterable

from sqlalchemy import delete, exists, func, select
from sqlalchemy.orm import Session

from models.db.engine import Database
from models.db.people import is_of_standing
from models.db.scopes import usable
from models.db.tables import JobRow, MembershipRow, ScopeRow, TrialUserRow, UserRow
from models.domain.errors import NotFound
from models.domain.people import Standing
from models.domain.trials import Trial, TrialUser


class TrialStore:
    """The users of trials, by the number of the trial's scope. ``ScopeStore.for_trial`` enters the first one."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def list(self) -> tuple[Trial, ...]:
        """All trials with their users, by protocol ID."""
        with self._db.reading() as session:
            wanted = select(ScopeRow).where(ScopeRow.name.is_not(None)).order_by(func.lower(ScopeRow.name))
            return tuple(_trials(session, session.scalars(wanted).all()))

    def get(self, scope_id: int) -> Trial:
        """One trial; raises NotFound, also for the scope of a job without one."""
        with self._db.reading() as session:
            row = session.get(ScopeRow, scope_id)
            if row is None or row.name is None:
                raise NotFound("There is no such trial.")
            (trial,) = _trials(session, [row])
            return trial

    def has_user(self, scope_id: int, username: str) -> bool:
        """Whether somebody uses the trial."""
        with self._db.reading() as session:
            return session.get(TrialUserRow, (scope_id, username)) is not None

    def has_user_in(self, scope_id: int, groups: Collection[int]) -> bool:
        """Whether a user of the trial is in one of these groups, with an account that may be used."""
        uses = (
            exists()
            .where(TrialUserRow.scope_id == scope_id, TrialUserRow.username == UserRow.username)
            .where(is_of_standing(Standing.ACTIVE), MembershipRow.user_id == UserRow.id)
            .where(MembershipRow.group_id.in_(groups))
        )
        with self._db.reading() as session:
            return bool(session.scalar(select(uses)))

    def enter(self, scope_id: int, username: str, by: str) -> bool:
        """Somebody uses the trial from now on; False when they did already.

        Raises WrongState for a trial that was forgotten.
        """
        with self._db.transaction() as session:
            usable(session.get(ScopeRow, scope_id, with_for_update=True, populate_existing=True))
            if session.get(TrialUserRow, (scope_id, username)) is not None:
                return False
            session.add(TrialUserRow(scope_id=scope_id, username=username, since_at=self._db.clock(), let_in_by=by))
            session.flush()
            return True

    def remove(self, scope_id: int, username: str) -> bool:
        """Somebody uses the trial no more; False when they did not."""
        theirs = TrialUserRow.scope_id == scope_id, TrialUserRow.username == username
        with self._db.transaction() as session:
            return bool(session.execute(delete(TrialUserRow).where(*theirs).returning(TrialUserRow.username)).all())


def _trials(session: Session, rows: Iterable[ScopeRow]) -> Iterable[Trial]:
    rows = list(rows)
    ids = [row.id for row in rows] if len(rows) == 1 else None  # many are read whole
    users, jobs = _users(session, ids), _job_counts(session, ids)
    for row in rows:
        assert row.name is not None
        yield Trial(
            row.id,
            row.name,
            row.created_at,
            row.forgotten_at is not None,
            jobs.get(row.id, 0),
            tuple(users.get(row.id, [])),
        )


def _users(session: Session, ids: Collection[int] | None) -> dict[int, list[TrialUser]]:
    wanted = select(TrialUserRow).order_by(func.lower(TrialUserRow.username))
    found: dict[int, list[TrialUser]] = {}
    for row in session.scalars(wanted if ids is None else wanted.where(TrialUserRow.scope_id.in_(ids))):
        found.setdefault(row.scope_id, []).append(TrialUser(row.username, row.since_at, row.let_in_by))
    return found


def _job_counts(session: Session, ids: Collection[int] | None) -> dict[int, int]:
    scope_id = JobRow.linkage_scope_id
    wanted = select(scope_id, func.count()).where(scope_id.is_not(None)).group_by(scope_id)
    counted = session.execute(wanted if ids is None else wanted.where(scope_id.in_(ids)))
    return {number: count for number, count in counted if number is not None}
