"""How an installation comes to its first superuser: from the settings, or at the shell."""

from dataclasses import replace

from models.db.engine import Database
from models.db.people import UserStore
from models.db.sessions import LinkStore, SessionStore
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest
from models.domain.people import Profile, User
from models.settings import Settings
from services import audit
from services.people import passwords, tokens
from services.people.account_rules import cleaned, profile_problems, refuse, username_problems

_SHELL, _SETTINGS = "(shell)", "(settings)"
"""Who made it, in words that are no username."""


def create_admin(db: Database, username: str, email: str, password: str, renews: bool = False) -> User:
    """A new superuser, who can sign in at once; for whoever has the shell of the machine.

    With ``renews`` an account of this name becomes one, with this mail address and password. Raises BadRequest naming
    ``username``, ``email`` or ``password``.
    """
    return _create(db, username.strip(), Profile(email, "", ""), password, renews, _SHELL)


def ensure_admin(db: Database, settings: Settings) -> None:
    """Make the superuser that the settings name, unless there is any, and the token that they give them.

    Raises BadRequest when that cannot be.
    """
    if not settings.admin_username or UserStore(db).has_superuser():
        return
    profile = Profile(settings.admin_user_email, "", "")
    try:
        with db.transaction():
            user = _create(
                db, settings.admin_username, profile, settings.admin_password.get_secret_value(), False, _SETTINGS
            )
            if token := settings.admin_token.get_secret_value():
                tokens.add_first(db, user, token, _SETTINGS)
    except BadRequest as error:
        if not UserStore(db).has_superuser():  # else another process that starts now was faster
            raise BadRequest(f"The administrator that ADIT_ADMIN_... name cannot be made: {error.message}") from error


def _create(db: Database, username: str, profile: Profile, password: str, renews: bool, by: str) -> User:
    profile = cleaned(profile)
    weakness = passwords.problem(password, profile, username)
    refuse(
        username_problems(username)
        | profile_problems(profile, needed=("email",))
        | ({"password": weakness} if weakness else {})
    )
    password_hash = passwords.hashed(password)
    with db.transaction():
        store = UserStore(db)
        known = store.credentials(username) if renews else None
        user = known.user if known else store.add(username, profile)
        if not store.replace_password(user.id, known.password_hash if known else "", password_hash):
            raise BadRequest("Somebody else changes this account at the moment. Try again.")
        SessionStore(db).end_all(user.id)
        LinkStore(db).void(user.id)
        profile = replace(user.profile, email=profile.email)
        store.update(replace(user, profile=profile, is_active=True, is_superuser=True))
        store.confirm_email(user.id)
        after = store.approve(user.id, by)
        audit.record(db, by, AuditAction.ADD_USER, f"account {user.username}: superuser")
        return after
