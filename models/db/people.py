"""Keeps accounts: who people are, how far they have come, their flags, and the hashes of their passwords."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from models.db.engine import Database, Lock, hold, in_parts
from models.db.tables import GroupRow, JobRow, LinkRow, MembershipRow, TrialUserRow, UserRow
from models.domain.errors import BadRequest, NotFound, Outdated
from models.domain.people import Profile, Standing, User

_TAKEN_NAME = "Somebody else has this name. Choose another."
_TAKEN_EMAIL = "Another account has this mail address."
_IS_AT_WORK = "Jobs or trials of somebody at the shell carry this name. Choose another."


@dataclass(frozen=True, slots=True)
class Credentials:
    """How somebody signs in: the hash of a password, empty where there is none, or the OpenID Connect provider."""

    user: User
    password_hash: str
    has_provider: bool


class UserStore:
    """Accounts by id. Usernames and mail addresses are unique without regard to case, and among one another."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # -- asking ---------------------------------------------------------------------------------------------------

    def get(self, user_id: int) -> User:
        """The account; raises NotFound."""
        with self._db.reading() as session:
            return _user(session, _row(session, user_id))

    def credentials(self, name: str) -> Credentials | None:
        """The account that a username or mail address names, in any case, if there is one."""
        key = spelling(name)
        return self._found(or_(UserRow.username_key == key, UserRow.email_key == key))

    def credentials_of(self, user_id: int) -> Credentials:
        """The account with this id; raises NotFound."""
        with self._db.reading() as session:
            return _credentials(session, _row(session, user_id))

    def by_email(self, email: str) -> User | None:
        """The account with this mail address, in any case, if there is one."""
        found = self._found(UserRow.email_key == spelling(email))
        return found.user if found else None

    def by_name(self, username: str) -> User:
        """The account with this username, in any case; raises NotFound."""
        found = self._found(UserRow.username_key == spelling(username))
        if found is None:
            raise NotFound("There is no such account.")
        return found.user

    def by_subject(self, subject: str) -> User | None:
        """The account that belongs to a subject of the OpenID Connect provider, if there is one."""
        found = self._found(UserRow.oidc_subject == subject)
        return found.user if found else None

    def list(self, search: str, standing: Standing | None, limit: int, offset: int) -> tuple[User, ...]:
        """Accounts by name in which each word of the search occurs somewhere; None means every standing."""
        wanted = _wanted(select(UserRow), search, standing).order_by(UserRow.username_key)
        with self._db.reading() as session:
            rows = session.scalars(wanted.limit(limit).offset(offset)).all()
            return tuple(_users(session, rows))

    def count(self, search: str, standing: Standing | None) -> int:
        """How many accounts ``list`` would find."""
        with self._db.reading() as session:
            return session.scalar(_wanted(select(func.count()).select_from(UserRow), search, standing)) or 0

    def names(self, ids: Iterable[int]) -> dict[int, str]:
        """The usernames of these accounts by their ids."""
        with self._db.reading() as session:
            wanted = select(UserRow.id, UserRow.username).where(UserRow.id.in_(ids))
            return dict(session.execute(wanted).all())

    def superusers(self) -> tuple[User, ...]:
        """The superusers who can sign in, by name."""
        with self._db.reading() as session:
            rows = session.scalars(
                select(UserRow).where(UserRow.is_superuser, _IS[Standing.ACTIVE]).order_by(UserRow.username_key)
            ).all()
            return tuple(_users(session, rows))

    def has_superuser(self) -> bool:
        """Whether any account is a superuser's, whatever its standing."""
        with self._db.reading() as session:
            return bool(session.scalar(select(exists().where(UserRow.is_superuser))))

    def is_free(self, username: str) -> bool:
        """Whether a new account could have this name."""
        with self._db.reading() as session:
            return not _name_problem(session, spelling(username))

    def preferences(self, user_id: int) -> dict[str, Any]:
        """What the pages remember for a person."""
        with self._db.reading() as session:
            return dict(_row(session, user_id).preferences)

    # -- changing -------------------------------------------------------------------------------------------------

    def add(self, username: str, profile: Profile, password_hash: str = "", oidc_subject: str | None = None) -> User:
        """A new account without any right, whose mail address is to be confirmed and which awaits approval.

        Raises BadRequest naming ``username`` when an account or a job without one has that name, and ``email`` when an
        account has that address.
        """
        with self._db.transaction() as session:
            hold(session.connection(), Lock.PEOPLE)
            row = UserRow(
                username=username,
                username_key=spelling(username),
                password_hash=password_hash,
                oidc_subject=oidc_subject,
                is_active=True,
                is_staff=False,
                is_superuser=False,
                preferences={},
                joined_at=self._db.clock(),
                approved_by="",
                version=1,
            )
            _fill(row, profile)
            _refuse_twins(session, row, user_id=0)
            session.add(row)
            session.flush()
            return _user(session, row)

    def update(self, user: User) -> User:
        """Replace profile, flags and groups. Superusers are staff.

        Raises NotFound, Outdated, and BadRequest for a mail address that is taken or a group that does not exist.
        """
        with self._db.transaction() as session:
            row = self._locked(session, user.id)
            if row.version != user.version:
                raise Outdated
            _fill(row, user.profile)
            row.is_active = user.is_active
            row.is_superuser = user.is_superuser
            row.is_staff = user.is_staff or user.is_superuser
            row.version += 1
            with session.no_autoflush:
                _refuse_twins(session, row, user.id)
            _join(session, user)
            session.flush()
            return _user(session, row)

    def change_active(self, user_id: int, is_active: bool) -> User:
        """Let the account be used, or not."""
        with self._db.transaction() as session:
            row = self._locked(session, user_id)
            row.is_active = is_active
            row.version += 1
            session.flush()
            return _user(session, row)

    def confirm_email(self, user_id: int) -> User:
        """The mail address has proven to be the person's; the first time counts."""
        with self._db.transaction() as session:
            row = self._locked(session, user_id)
            row.email_confirmed_at = row.email_confirmed_at or self._db.clock()
            row.version += 1
            session.flush()
            return _user(session, row)

    def approve(self, user_id: int, by: str) -> User:
        """From now on the account may be used."""
        with self._db.transaction() as session:
            row = self._locked(session, user_id)
            row.approved_at = self._db.clock()
            row.approved_by = by[:150]
            row.version += 1
            session.flush()
            return _user(session, row)

    def replace_password(self, user_id: int, old_hash: str, new_hash: str) -> bool:
        """Keep a new hash, unless somebody has replaced the old one in the meantime; then False."""
        return self._changes_with_hash(user_id, old_hash, {"password_hash": new_hash})

    def sign_in(self, user_id: int, password_hash: str) -> bool:
        """Note a sign-in with the password of this hash, unless it was replaced in the meantime; then False."""
        return self._changes_with_hash(user_id, password_hash, {"last_login_at": self._db.clock()})

    def link_subject(self, user_id: int, subject: str, keeps_password: bool) -> User:
        """From now on the account belongs to a subject of the OpenID Connect provider."""
        with self._db.transaction() as session:
            row = self._locked(session, user_id)
            row.oidc_subject = subject
            if not keeps_password:
                row.password_hash = ""
            row.version += 1
            session.flush()
            return _user(session, row)

    def remember(self, user_id: int, values: dict[str, Any]) -> dict[str, Any]:
        """Add to what the pages remember, and return all of it; None deletes."""
        with self._db.transaction() as session:
            row = self._locked(session, user_id)
            row.preferences = {key: value for key, value in (row.preferences | values).items() if value is not None}
            return dict(row.preferences)

    def remove_unconfirmed(self, joined_before: datetime) -> int:
        """Remove accounts that nobody confirmed and whose links are no longer good, and return how many."""
        open_link = exists().where(LinkRow.user_id == UserRow.id, LinkRow.expires_at > self._db.clock())
        stale = and_(_IS[Standing.UNCONFIRMED], UserRow.joined_at < joined_before, ~open_link)
        with self._db.transaction() as session:
            hold(session.connection(), Lock.PEOPLE)
            return len(session.execute(delete(UserRow).where(stale).returning(UserRow.id)).all())

    def _found(self, condition: ColumnElement[bool]) -> Credentials | None:
        with self._db.reading() as session:
            row = session.scalar(select(UserRow).where(condition))
            return _credentials(session, row) if row else None

    def _changes_with_hash(self, user_id: int, password_hash: str, values: dict[str, Any]) -> bool:
        mine = and_(UserRow.id == user_id, UserRow.password_hash == password_hash)
        with self._db.transaction() as session:
            return bool(session.execute(update(UserRow).where(mine).values(values).returning(UserRow.id)).all())

    def _locked(self, session: Session, user_id: int) -> UserRow:
        hold(session.connection(), Lock.PEOPLE)
        row = _row(session, user_id)
        session.refresh(row, with_for_update=True)
        return row


def spelling(name: str) -> str:
    """The same for names and mail addresses that people take for one."""
    return name.strip().casefold()


_IS: dict[Standing, ColumnElement[bool]] = {
    Standing.DEACTIVATED: ~UserRow.is_active,
    Standing.UNCONFIRMED: and_(UserRow.is_active, UserRow.email_confirmed_at.is_(None)),
    Standing.AWAITS_APPROVAL: and_(
        UserRow.is_active, UserRow.email_confirmed_at.is_not(None), UserRow.approved_at.is_(None)
    ),
    Standing.ACTIVE: and_(UserRow.is_active, UserRow.email_confirmed_at.is_not(None), UserRow.approved_at.is_not(None)),
}
"""The rule of ``User.standing``, for the database."""


def is_of_standing(standing: Standing) -> ColumnElement[bool]:
    """Whether a user has come so far."""
    return _IS[standing]


_SEARCHED = (UserRow.username, UserRow.email, UserRow.first_name, UserRow.last_name, UserRow.department)


def _wanted(wanted: Select[Any], search: str, standing: Standing | None) -> Select[Any]:
    if standing is not None:
        wanted = wanted.where(_IS[standing])
    for word in search.split():
        wanted = wanted.where(or_(*(column.icontains(word, autoescape=True) for column in _SEARCHED)))
    return wanted


def _row(session: Session, user_id: int) -> UserRow:
    row = session.get(UserRow, user_id)
    if row is None:
        raise NotFound("There is no such account.")
    return row


def _fill(row: UserRow, profile: Profile) -> None:
    row.email = profile.email
    row.email_key = spelling(profile.email)
    row.first_name = profile.first_name
    row.last_name = profile.last_name
    row.phone_number = profile.phone_number
    row.department = profile.department


def _refuse_twins(session: Session, row: UserRow, user_id: int) -> None:
    """An account must not be named by what names another: neither its username nor its mail address. A new one is 0."""
    problems: dict[str, str] = {}
    if not user_id and (problem := _name_problem(session, row.username_key)):
        problems["username"] = problem
    same_email = or_(UserRow.email_key == row.email_key, UserRow.username_key == row.email_key)
    if session.scalar(select(UserRow.id).where(same_email, UserRow.id != user_id).limit(1)):
        problems["email"] = _TAKEN_EMAIL
    if problems:
        raise BadRequest.of(problems)


def _name_problem(session: Session, key: str) -> str:
    if session.scalar(select(UserRow.id).where(or_(UserRow.username_key == key, UserRow.email_key == key)).limit(1)):
        return _TAKEN_NAME
    jobs = select(JobRow.id).where(func.lower(JobRow.owner) == key)
    trials = select(TrialUserRow.scope_id).where(func.lower(TrialUserRow.username) == key)
    if any(session.scalar(each.limit(1)) is not None for each in (jobs, trials)):
        return _IS_AT_WORK
    return ""


def _join(session: Session, user: User) -> None:
    """Change the groups of a user; those that gain or lose a member are changed too, and their open forms outdated."""
    known = set(session.scalars(select(GroupRow.id).where(GroupRow.id.in_(user.groups))))
    if user.groups - known:
        raise BadRequest.of({"groups": "One of the groups does not exist."})
    before = _groups(session, [user.id]).get(user.id, frozenset())
    gone, new = before - user.groups, user.groups - before
    mine = MembershipRow.user_id == user.id
    session.execute(delete(MembershipRow).where(mine, MembershipRow.group_id.in_(gone)))
    session.add_all(MembershipRow(user_id=user.id, group_id=group_id) for group_id in sorted(new))
    session.execute(update(GroupRow).where(GroupRow.id.in_(gone | new)).values(version=GroupRow.version + 1))


def _credentials(session: Session, row: UserRow) -> Credentials:
    return Credentials(_user(session, row), row.password_hash, row.oidc_subject is not None)


def _user(session: Session, row: UserRow) -> User:
    (user,) = _users(session, [row])
    return user


def _users(session: Session, rows: Sequence[UserRow]) -> Iterable[User]:
    groups = _groups(session, [row.id for row in rows])
    return [replace(account(row), groups=groups.get(row.id, frozenset())) for row in rows]


def _groups(session: Session, ids: Iterable[int]) -> dict[int, frozenset[int]]:
    found: dict[int, set[int]] = {}
    for some in in_parts(ids):
        for row in session.scalars(select(MembershipRow).where(MembershipRow.user_id.in_(some))):
            found.setdefault(row.user_id, set()).add(row.group_id)
    return {user_id: frozenset(groups) for user_id, groups in found.items()}


def account(row: UserRow) -> User:
    """The user of a row, as if in no group."""
    return User(
        id=row.id,
        username=row.username,
        profile=Profile(row.email, row.first_name, row.last_name, row.phone_number, row.department),
        is_active=row.is_active,
        is_staff=row.is_staff,
        is_superuser=row.is_superuser,
        groups=frozenset(),
        joined_at=row.joined_at,
        email_confirmed_at=row.email_confirmed_at,
        approved_at=row.approved_at,
        last_login_at=row.last_login_at,
        version=row.version,
    )
