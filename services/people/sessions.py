"""Sessions of browsers: who is signed in, with the rights they have at this very moment, and how it ends."""

import logging
from dataclasses import dataclass
from datetime import timedelta

from models.db.engine import Database
from models.db.sessions import LinkStore, SessionStore
from models.domain.audit import AuditAction
from models.domain.errors import AditError, NotPermitted
from models.domain.people import Actor, Standing, User, WebSession
from models.settings import Settings
from services import audit
from services.people import actors
from services.people.secret_tokens import digest_of, new_token

log = logging.getLogger(__name__)

_TOUCHED_EVERY = timedelta(minutes=1)
_LONGEST_TOKEN = 100


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A browser's session, whose it is, and what they may do now: use it for one request, then look again."""

    session: WebSession
    user: User
    actor: Actor


def begin(db: Database, settings: Settings, user: User, address: str, agent: str) -> str:
    """The token of a new session of a user whose identity is certain; sessions that are over are removed.

    Only ``services.people.sign_in`` calls it.
    """
    token, store = new_token(), SessionStore(db)
    _sweep_sessions(db, settings)
    store.add(digest_of(token), user.id, address, " ".join(agent.split()))
    return token


def sweep(db: Database, settings: Settings) -> None:
    """Remove sessions that have ended by themselves, and links in mails that have expired."""
    _sweep_sessions(db, settings)
    LinkStore(db).sweep()


def _sweep_sessions(db: Database, settings: Settings) -> None:
    now = db.clock()
    SessionStore(db).sweep(now - _idle(settings), now - timedelta(hours=settings.session_hours))


def find(db: Database, settings: Settings, token: str, address: str = "", is_active: bool = True) -> SignedIn | None:
    """Who is signed in with this token; None when nobody is, or no longer may be.

    Costs three small questions, and once a minute an update. A session ends when it was idle or lasted too long, and
    when its user is deactivated. Cookies hold what anybody may have put there, so any text is a fine token. Without
    ``is_active`` it is only looked up: what a page does by itself does not keep a session from being idle.
    """
    if not 0 < len(token) <= _LONGEST_TOKEN:
        return None
    now = db.clock()
    found = SessionStore(db).find(
        digest_of(token), now - _idle(settings), now - timedelta(hours=settings.session_hours)
    )
    if found is None or found.user.standing is not Standing.ACTIVE:
        return None
    if is_active and now - found.session.seen_at >= min(_TOUCHED_EVERY, _idle(settings) / 2):
        _touch(db, found.session)
    return SignedIn(found.session, found.user, actors.of_user(found.user, found.rights, address))


def sign_out(db: Database, token: str) -> None:
    """End the session of this token; nothing happens when there is none."""
    with db.transaction():
        if name := SessionStore(db).end(digest_of(token)):
            audit.record(db, name, AuditAction.SIGN_OUT, f"account {name}")


def list(db: Database, actor: Actor) -> tuple[WebSession, ...]:
    """The actor's own sessions, the last seen first. One that has just run out may still be among them."""
    return SessionStore(db).of_user(_id(actor))


def count(db: Database, actor: Actor, user_id: int) -> int:
    """In how many browsers somebody is signed in, for staff; one that has just run out may still be counted."""
    if not actor.is_staff:
        raise NotPermitted("Only staff may see where others are signed in.")
    return len(SessionStore(db).of_user(user_id))


def end(db: Database, actor: Actor, session_id: int) -> None:
    """End one of the actor's own sessions; raises NotFound for any other."""
    with db.transaction():
        SessionStore(db).end_one(_id(actor), session_id)
        audit.record(db, actor, AuditAction.END_SESSIONS, f"account {actor.name}: 1")


def end_others(db: Database, actor: Actor, session_id: int) -> int:
    """Sign the actor out everywhere else, and return how many sessions that ended."""
    with db.transaction():
        ended = SessionStore(db).end_all(_id(actor), but=session_id)
        audit.record(db, actor, AuditAction.END_SESSIONS, f"account {actor.name}: {ended}")
        return ended


def _touch(db: Database, session: WebSession) -> None:
    """A database that takes no writes for the moment signs nobody out."""
    try:
        SessionStore(db).touch(session.id)
    except AditError as error:
        log.warning("session %s could not be marked as seen: %s", session.id, error.code)


def _idle(settings: Settings) -> timedelta:
    return timedelta(minutes=settings.session_idle_minutes)


def _id(actor: Actor) -> int:
    if actor.user_id is None:
        raise NotPermitted("The shell has no account. Sign in in a browser.")
    return actor.user_id
