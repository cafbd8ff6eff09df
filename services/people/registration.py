"""How people come to an account by themselves: they register, confirm their mail address, and await approval."""

from models.db.engine import Database
from models.db.people import UserStore, spelling
from models.domain.audit import AuditAction
from models.domain.errors import NotPermitted
from models.domain.people import LinkPurpose, Profile, Standing, User
from models.settings import Settings
from services import audit
from services.people import links, passwords, tries
from services.people.account_rules import cleaned, domain_problems, profile_problems, refuse, username_problems
from services.people.even_answers import even_answer
from services.post import mails, notifications


def register(db: Database, settings: Settings, username: str, profile: Profile, password: str, address: str) -> User:
    """A new account, to whose mail address a link goes. It can be used once that is opened and a superuser approves it.

    Every field of the profile is needed. Raises BadRequest naming ``username``, ``password`` and fields of the profile,
    NotPermitted while registration is closed, TooManyTries.
    """
    username, profile = username.strip(), cleaned(profile)
    check_is_open(settings)
    weakness = passwords.problem(password, profile, username) if password else "Needed."
    refuse(
        domain_problems(profile.email, settings.registration_domains)
        | profile_problems(profile)
        | username_problems(username)
        | ({"password": weakness} if weakness else {})
    )
    tries.begin(db, tries.REGISTER, "", address)
    password_hash = passwords.hashed(password)
    with db.transaction():
        _remove_unconfirmed(db)
        user = UserStore(db).add(username, profile, password_hash)
        admit(db, settings, user, address)
        return user


def check_is_open(settings: Settings) -> None:
    """Raise NotPermitted while nobody may register."""
    if not settings.registration_open:
        raise NotPermitted("Registration is closed. Ask an administrator for an account.")


def admit(db: Database, settings: Settings, user: User, address: str) -> None:
    """Write a registration down and send what comes next: a link to confirm the address, or a word to who approves."""
    if user.standing is Standing.UNCONFIRMED:
        _send_link(db, settings, user)
    else:
        _tell_approvers(db, settings, user)
    audit.record(db, user.username, AuditAction.REGISTER, f"account {user.username}", address=address)


def resend_confirmation(db: Database, settings: Settings, email: str, address: str) -> None:
    """Mail a new link to confirm the address, where there is an account that waits for it; raises TooManyTries.

    To the caller it is the same whether there is one.
    """
    tries.begin(db, tries.ASK_FOR_MAIL, spelling(email), address)
    with even_answer():
        user = UserStore(db).by_email(email)
        if user is not None and user.standing is Standing.UNCONFIRMED:
            with db.transaction():
                _send_link(db, settings, user)


def confirm_email(db: Database, settings: Settings, token: str, address: str) -> User:
    """The account whose mail address is confirmed by this link; those who approve accounts get a mail.

    Raises NotPermitted for a link that is unknown, used, or older than 14 days, and TooManyTries.
    """
    attempt = tries.begin(db, tries.OPEN_LINK, "", address)
    with db.transaction():
        user = UserStore(db).confirm_email(links.use(db, token, LinkPurpose.CONFIRM_EMAIL))
        if user.standing is Standing.AWAITS_APPROVAL:
            _tell_approvers(db, settings, user)
        audit.record(db, user.username, AuditAction.CONFIRM_EMAIL, f"account {user.username}", address=address)
    attempt.succeeded()
    return user


def _remove_unconfirmed(db: Database) -> None:
    """Free the names and addresses that somebody took and did not confirm in time; they may be another's."""
    UserStore(db).remove_unconfirmed(db.clock() - links.CONFIRM_WITHIN)


def _send_link(db: Database, settings: Settings, user: User) -> None:
    links.send(db, settings, user, LinkPurpose.CONFIRM_EMAIL, "confirm_email", links.CONFIRM_WITHIN)


def _tell_approvers(db: Database, settings: Settings, user: User) -> None:
    for recipient in notifications.administrators(db, settings):
        link = f"{settings.web_url}/users?id={user.id}"
        mails.queue(db, mails.render("approval_needed", recipient, user=user, profile=user.profile, link=link))
