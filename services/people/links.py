"""Links in mails that are good for one thing, once: to confirm an address, to choose a password."""

from datetime import timedelta

from models.db.engine import Database
from models.db.sessions import LinkStore
from models.domain.errors import NotPermitted
from models.domain.people import LinkPurpose, User
from models.settings import Settings
from services.people.secret_tokens import digest_of, new_token
from services.post import mails

CONFIRM_WITHIN = timedelta(days=14)
RESET_WITHIN = timedelta(hours=2)
ACCEPT_WITHIN = timedelta(days=14)
"""How long people whom an administrator has added may take to choose a password."""

_PATHS = {LinkPurpose.CONFIRM_EMAIL: "/confirm", LinkPurpose.RESET_PASSWORD: "/reset"}


def send(
    db: Database, settings: Settings, user: User, purpose: LinkPurpose, template: str, valid_for: timedelta
) -> None:
    """Mail a new link to a user. Earlier ones stay good: who asks in another's name must not void theirs."""
    token = new_token()
    LinkStore(db).add(digest_of(token), user.id, purpose, db.clock() + valid_for)
    values = {
        "name": user.called,
        "username": user.username,
        "link": f"{settings.web_url}{_PATHS[purpose]}?token={token}",
        "valid_for": _words(valid_for),
    }
    mails.queue(db, mails.render(template, user.profile.email, **values))


def owner(db: Database, token: str, purpose: LinkPurpose) -> int:
    """The id of the user whose link this is; raises NotPermitted for one that is not good, or no longer."""
    return _known(LinkStore(db).user_of(digest_of(token), purpose))


def use(db: Database, token: str, purpose: LinkPurpose) -> int:
    """The id of the user whose link this was, and for whom no link of this purpose is good from now on."""
    user_id = _known(LinkStore(db).use(digest_of(token), purpose))
    LinkStore(db).void(user_id, purpose)
    return user_id


def _known(user_id: int | None) -> int:
    if user_id is None:
        raise NotPermitted("This link is not valid, or no longer: it can be used once, and in time. Ask for a new one.")
    return user_id


def _words(valid_for: timedelta) -> str:
    return f"{valid_for.days} days" if valid_for.days else f"{valid_for.seconds // 3600} hours"
