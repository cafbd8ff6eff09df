"""How people get a new password: by the old one, or by a link in a mail. Either ends their other sessions."""

from models.db.engine import Database
from models.db.people import UserStore, spelling
from models.db.sessions import LinkStore, SessionStore
from models.domain.audit import DONE, AuditAction
from models.domain.errors import BadRequest, NotPermitted, Outdated, WrongState
from models.domain.people import Actor, LinkPurpose, Standing, User
from models.settings import Settings
from services import audit
from services.people import links, passwords, tries
from services.people.even_answers import even_answer
from services.post import mails

_MAY_RESET = frozenset({Standing.ACTIVE, Standing.AWAITS_APPROVAL})


def change_password(db: Database, settings: Settings, actor: Actor, old: str, new: str, session_id: int) -> None:
    """Replace the actor's password; of their sessions only ``session_id`` stays.

    Raises BadRequest naming ``old`` or ``new``, TooManyTries, WrongState for an account without a password.
    """
    if actor.user_id is None:
        raise NotPermitted("The shell has no account.")
    known = UserStore(db).credentials_of(actor.user_id)
    if not known.password_hash:
        raise WrongState("Your account has no password yet. Ask for a link to choose one.")
    attempt = tries.begin(db, tries.OLD_PASSWORD, f"account {actor.user_id}", actor.address)
    if not passwords.matches(old, known.password_hash):
        _record(db, actor, known.user, AuditAction.CHANGE_PASSWORD, BadRequest.__name__)
        raise BadRequest.of({"old": "This is not your password."})
    attempt.succeeded()
    new_hash = _hash_of(new, known.user, "new")
    with db.transaction():
        _replace(db, settings, known.user, known.password_hash, new_hash, session_id)
        _record(db, actor, known.user, AuditAction.CHANGE_PASSWORD)


def request_reset(db: Database, settings: Settings, email: str, address: str) -> None:
    """Mail a link to choose a new password, where there is an account that has one; raises TooManyTries.

    To the caller it is the same whether there is one. Those who only ever signed in by the OpenID Connect provider get
    none, since a password would go around whatever that provider demands.
    """
    tries.begin(db, tries.ASK_FOR_MAIL, spelling(email), address)
    with even_answer():
        user = UserStore(db).by_email(email)
        if user is not None and user.standing in _MAY_RESET:
            known = UserStore(db).credentials_of(user.id)
            if known.password_hash or not known.has_provider:
                with db.transaction():
                    send_link(db, settings, user, has_password=True)


def send_link(db: Database, settings: Settings, user: User, has_password: bool) -> None:
    """Mail a link to choose a password, which is good for two hours, or 14 days for somebody's first password."""
    template, within = ("reset_password", links.RESET_WITHIN) if has_password else ("welcome", links.ACCEPT_WITHIN)
    links.send(db, settings, user, LinkPurpose.RESET_PASSWORD, template, within)


def reset_password(db: Database, settings: Settings, token: str, new: str, address: str) -> None:
    """Replace the password of whom this link was mailed to, and end all their sessions.

    Raises NotPermitted for a link that is unknown, used or too old; BadRequest naming ``password``, after which the
    link is still good; TooManyTries.
    """
    attempt = tries.begin(db, tries.OPEN_LINK, "", address)
    known = UserStore(db).credentials_of(links.owner(db, token, LinkPurpose.RESET_PASSWORD))
    attempt.succeeded()
    new_hash = _hash_of(new, known.user, "password")
    with db.transaction():
        links.use(db, token, LinkPurpose.RESET_PASSWORD)
        _replace(db, settings, known.user, known.password_hash, new_hash, 0)
        _record(db, known.user.username, known.user, AuditAction.RESET_PASSWORD, address=address)


def _hash_of(new: str, user: User, field: str) -> str:
    if weakness := passwords.problem(new, user.profile, user.username):
        raise BadRequest.of({field: weakness})
    return passwords.hashed(new)


def _replace(db: Database, settings: Settings, user: User, old_hash: str, new_hash: str, session_id: int) -> None:
    """Keep the new hash, let nothing of the old one stay, and tell the person: it may not have been them."""
    if not UserStore(db).replace_password(user.id, old_hash, new_hash):
        raise Outdated
    SessionStore(db).end_all(user.id, but=session_id)
    LinkStore(db).void(user.id, LinkPurpose.RESET_PASSWORD)
    values = {"name": user.called, "username": user.username, "link": f"{settings.web_url}/forgot"}
    mails.queue(db, mails.render("password_changed", user.profile.email, **values))


def _record(
    db: Database, actor: Actor | str, user: User, action: AuditAction, outcome: str = DONE, address: str = ""
) -> None:
    audit.record(db, actor, action, f"account {user.username}", outcome, address=address)
