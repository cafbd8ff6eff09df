"""How people sign in: by a password, or by an OpenID Connect provider that says who they are."""

import hashlib
import re

from models.db.engine import Database
from models.db.people import Credentials, UserStore, spelling
from models.domain.audit import AuditAction
from models.domain.errors import NotPermitted, UnderMaintenance
from models.domain.people import Profile, Standing, User
from models.settings import Settings
from services import audit, project
from services.people import passwords, registration, sessions, tries
from services.people.account_rules import cleaned, domain_problems, profile_problems, refuse, username_problems

_WRONG = "The username or password is not right."
_WHY_NOT = {
    Standing.UNCONFIRMED: "Your mail address is not confirmed yet. Open the link in the mail that we sent you.",
    Standing.AWAITS_APPROVAL: "Your account awaits approval by an administrator. You get a mail when it is approved.",
    Standing.DEACTIVATED: "Your account is deactivated. Ask an administrator.",
}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.@+-]+")
_MOST_TWINS = 100
_SOMEBODY = "(unknown)"
"""Who did not prove to be anybody; no account can have such a name."""


def sign_in(db: Database, settings: Settings, username_or_email: str, password: str, address: str, agent: str) -> str:
    """The token of a new session.

    Raises NotPermitted, with the reason only for who knows the password; TooManyTries; UnderMaintenance for all but
    staff. What it says, and how long it takes, is the same for a wrong password and for an unknown name.
    """
    known = UserStore(db).credentials(username_or_email)
    who = f"account {known.user.id}" if known else f"name {spelling(username_or_email)}"
    attempt = tries.begin(db, tries.SIGN_IN, who, address)
    if not passwords.matches(password, known.password_hash if known else "") or known is None:
        about = _subject(known.user) if known else "unknown account"
        _record_refusal(db, _SOMEBODY, about, NotPermitted.__name__, address)
        raise NotPermitted(_WRONG)
    token = _begin(db, settings, _rehashed(db, known, password), address, agent)
    attempt.succeeded()
    return token


def sign_in_with_provider(
    db: Database,
    settings: Settings,
    subject: str,
    profile: Profile,
    username: str,
    email_is_verified: bool,
    address: str,
    agent: str,
) -> str:
    """The token of a new session for whom the OpenID Connect provider calls ``subject``.

    At first sight the account with the same mail address becomes theirs, if the provider has verified the address;
    its password stays only if the address had been confirmed here too. Where there is no such account, one is made,
    which awaits approval. Raises NotPermitted, also then, UnderMaintenance, and BadRequest for an unusable profile.
    """
    users = UserStore(db)
    key = hashlib.sha256(f"{settings.oidc_issuer}\n{subject}".encode()).hexdigest()
    profile = cleaned(profile)
    user = users.by_subject(key) or _adopted(db, key, profile.email, email_is_verified, address)
    if user is None:
        user = _newcomer(db, settings, key, profile, username, email_is_verified, address)
    return _begin(db, settings, users.credentials_of(user.id), address, agent)


def _begin(db: Database, settings: Settings, known: Credentials, address: str, agent: str) -> str:
    """Begin a session for somebody who is who they say; the line about it, either way, is written here."""
    try:
        _check_may_enter(db, known.user)
        with db.transaction():
            if not UserStore(db).sign_in(known.user.id, known.password_hash):
                raise NotPermitted(_WRONG)
            token = sessions.begin(db, settings, known.user, address, agent)
            audit.record(db, known.user.username, AuditAction.SIGN_IN, _subject(known.user), address=address)
            return token
    except (NotPermitted, UnderMaintenance) as error:
        _record_refusal(db, known.user.username, _subject(known.user), error.code, address)
        raise


def _check_may_enter(db: Database, user: User) -> None:
    if user.standing is not Standing.ACTIVE:
        raise NotPermitted(_WHY_NOT[user.standing])
    if not (user.is_staff or user.is_superuser) and project.get(db).maintenance:
        raise UnderMaintenance


def _rehashed(db: Database, known: Credentials, password: str) -> Credentials:
    """The same, with a hash that has today's parameters."""
    if not passwords.is_outdated(known.password_hash):
        return known
    renewed = passwords.hashed(password)
    if UserStore(db).replace_password(known.user.id, known.password_hash, renewed):
        return Credentials(known.user, renewed, known.has_provider)
    return known


def _record_refusal(db: Database, name: str, subject: str, code: str, address: str) -> None:
    """What was typed as a name is not written down: it may be a password, or a patient."""
    audit.record(db, name, AuditAction.SIGN_IN, subject, code, address=address)


def _subject(user: User) -> str:
    return f"account {user.username}"


def _adopted(db: Database, key: str, email: str, email_is_verified: bool, address: str) -> User | None:
    """The account with this mail address, from now on linked to the provider's subject; None if there is none.

    Whoever registered an address without confirming it may not be its owner, so their password ends here.
    """
    users = UserStore(db)
    user = users.by_email(email)
    if user is None:
        return None
    if not email_is_verified or users.credentials_of(user.id).has_provider:
        _record_refusal(db, _SOMEBODY, _subject(user), NotPermitted.__name__, address)
        raise NotPermitted("Another account has your mail address. Ask an administrator.")
    with db.transaction():
        is_confirmed = user.email_confirmed_at is not None
        linked = users.link_subject(user.id, key, keeps_password=is_confirmed)
        if not is_confirmed:
            linked = users.confirm_email(user.id)
        audit.record(db, user.username, AuditAction.CHANGE_USER, f"{_subject(user)}: linked", address=address)
        return linked


def _newcomer(
    db: Database,
    settings: Settings,
    key: str,
    profile: Profile,
    username: str,
    email_is_verified: bool,
    address: str,
) -> User:
    registration.check_is_open(settings)
    refuse(domain_problems(profile.email, settings.registration_domains) | profile_problems(profile, needed=("email",)))
    with db.transaction():
        users = UserStore(db)
        user = users.add(_free_name(db, username, profile), profile, oidc_subject=key)
        if email_is_verified:
            user = users.confirm_email(user.id)
        registration.admit(db, settings, user, address)
        return user


def _free_name(db: Database, wish: str, profile: Profile) -> str:
    """A username that nobody has, as near to the provider's as can be."""
    for text in (wish, profile.email.partition("@")[0]):
        name = _NOT_IN_NAMES.sub("", text)[:140]
        for username in (name, *(f"{name}-{twin}" for twin in range(2, _MOST_TWINS))) if name else ():
            if not username_problems(username) and UserStore(db).is_free(username):
                return username
    raise NotPermitted("No username is free for you. Ask an administrator for an account.")
