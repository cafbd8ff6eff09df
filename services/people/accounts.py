"""Accounts: what administrators do with those of everybody. Staff may see them; only superusers may change them.

What people do with their own account, signed in or not, lives in modules of its own and is to be had here too.
"""

from collections.abc import Collection
from dataclasses import replace

from models.db.engine import Database
from models.db.groups import GroupStore
from models.db.people import UserStore
from models.db.sessions import LinkStore, SessionStore
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest, NotFound, NotPermitted, WrongState
from models.domain.people import Actor, Profile, Standing, User
from models.settings import Settings
from services import audit
from services.people import password_changes
from services.people.account_rules import cleaned, profile_problems, refuse, username_problems
from services.people.first_admin import create_admin, ensure_admin
from services.people.own_account import change_profile, me, preferences, profile_changes, remember
from services.people.password_changes import change_password, request_reset, reset_password
from services.people.passwords import problem as password_problem
from services.people.registration import confirm_email, register, resend_confirmation
from services.people.sign_in import sign_in, sign_in_with_provider
from services.post import mails

__all__ = [
    "activate",
    "add",
    "approve",
    "change_password",
    "change_profile",
    "confirm_email",
    "count",
    "create_admin",
    "deactivate",
    "ensure_admin",
    "get",
    "list",
    "me",
    "password_problem",
    "preferences",
    "register",
    "remember",
    "request_reset",
    "resend_confirmation",
    "reset_password",
    "send_reset",
    "sign_in",
    "sign_in_with_provider",
    "update",
]


def list(
    db: Database, actor: Actor, search: str = "", standing: Standing | None = None, limit: int = 50, offset: int = 0
) -> tuple[User, ...]:
    """Accounts by name, for staff; each word of the search occurs in a name, mail address or department."""
    _check_is_staff(actor)
    return UserStore(db).list(search, standing, limit, offset)


def count(db: Database, actor: Actor, search: str = "", standing: Standing | None = None) -> int:
    """How many accounts ``list`` would find, for staff."""
    _check_is_staff(actor)
    return UserStore(db).count(search, standing)


def get(db: Database, actor: Actor, user_id: int) -> User:
    """One account, for staff and whose it is; raises NotPermitted or NotFound."""
    if user_id != actor.user_id:
        _check_is_staff(actor)
    return UserStore(db).get(user_id)


def add(
    db: Database,
    settings: Settings,
    actor: Actor,
    username: str,
    profile: Profile,
    groups: Collection[int] = (),
    is_staff: bool = False,
    is_superuser: bool = False,
) -> User:
    """A new account that is approved; a link to choose a password goes to its mail address, which counts as confirmed.

    Raises NotPermitted for anybody but superusers, or BadRequest naming ``username``, ``groups`` and fields of the
    profile, of which only the mail address is needed.
    """
    _check_is_superuser(db, actor, AuditAction.ADD_USER, "new account")
    username, profile = username.strip(), cleaned(profile)
    refuse(username_problems(username) | profile_problems(profile, needed=("email",)))
    with db.transaction():
        store = UserStore(db)
        user = store.confirm_email(store.add(username, profile).id)
        wanted = replace(user, groups=frozenset(groups), is_staff=is_staff, is_superuser=is_superuser)
        store.update(wanted)
        after = store.approve(user.id, actor.name)
        password_changes.send_link(db, settings, after, has_password=False)
        audit.record(db, actor, AuditAction.ADD_USER, f"account {username}{_flag_changes(db, user, after)}")
        return after


def update(db: Database, actor: Actor, user: User) -> User:
    """Replace profile, groups, flags and whether the account may be used. Superusers are staff.

    A changed mail address is as good as the old one was; links that went there end, and a mail tells its reader.
    Raises NotPermitted for anybody but superusers, NotFound, Outdated, BadRequest naming ``username``, ``groups`` and
    fields of the profile, and WrongState when superusers would deactivate themselves, or when none would be left.
    """
    before = _known(db, actor, AuditAction.CHANGE_USER, user.id)
    if user.username != before.username:
        raise BadRequest.of({"username": "A username never changes."})
    wanted = replace(user, profile=cleaned(user.profile))
    refuse(profile_problems(wanted.profile, needed=("email",)))
    with db.transaction():
        store = UserStore(db)
        after = store.update(wanted)
        _check_somebody_is_left(db, actor, before, after)
        if not after.is_active:
            _shut_out(db, after)
        if after.profile.email != before.profile.email:
            _move_mail(db, before, after)
        changes = f"{_flag_changes(db, before, after)}{profile_changes(before.profile, after.profile)}"
        audit.record(db, actor, AuditAction.CHANGE_USER, f"{_subject(after)}{changes}")
        return after


def approve(db: Database, settings: Settings, actor: Actor, user_id: int) -> User:
    """Let somebody in who has registered, and tell them.

    Who has not confirmed the mail address may be anybody, so that has to come first; where there is no mail server, a
    superuser vouches for it. Raises NotPermitted for anybody but superusers, NotFound, WrongState.
    """
    _known(db, actor, AuditAction.APPROVE_USER, user_id)
    with db.transaction():
        store = UserStore(db)
        user = store.get(user_id)
        if user.standing is Standing.UNCONFIRMED:
            if settings.smtp_url.get_secret_value():
                raise WrongState("The mail address is not confirmed yet. Have the link sent again.")
            user = store.confirm_email(user_id)
        if user.standing is not Standing.AWAITS_APPROVAL:
            raise WrongState("This account does not wait for approval.")
        after = store.approve(user_id, actor.name)
        link = f"{settings.web_url}/login"
        mails.queue(db, mails.render("account_approved", after.profile.email, name=after.called, link=link))
        audit.record(db, actor, AuditAction.APPROVE_USER, _subject(after))
        return after


def deactivate(db: Database, actor: Actor, user_id: int) -> User:
    """Shut somebody out at once, in all browsers; jobs go on.

    Raises NotPermitted for anybody but superusers, NotFound, and WrongState as ``update`` does.
    """
    before = _known(db, actor, AuditAction.DEACTIVATE_USER, user_id)
    with db.transaction():
        after = UserStore(db).change_active(user_id, False)
        _check_somebody_is_left(db, actor, before, after)
        _shut_out(db, after)
        audit.record(db, actor, AuditAction.DEACTIVATE_USER, _subject(after))
        return after


def activate(db: Database, actor: Actor, user_id: int) -> User:
    """Take a deactivation back; raises NotPermitted for anybody but superusers, or NotFound."""
    before = _known(db, actor, AuditAction.CHANGE_USER, user_id)
    with db.transaction():
        after = UserStore(db).change_active(user_id, True)
        audit.record(db, actor, AuditAction.CHANGE_USER, f"{_subject(after)}{_flag_changes(db, before, after)}")
        return after


def send_reset(db: Database, settings: Settings, actor: Actor, user_id: int) -> None:
    """Mail somebody a link to choose a password.

    Raises NotPermitted for anybody but superusers, NotFound, and WrongState for an account that is deactivated or whose
    mail address is not confirmed.
    """
    _known(db, actor, AuditAction.CHANGE_USER, user_id)
    known = UserStore(db).credentials_of(user_id)
    if known.user.standing in {Standing.DEACTIVATED, Standing.UNCONFIRMED}:
        raise WrongState(f"This account is {known.user.standing.value}.")
    with db.transaction():
        password_changes.send_link(db, settings, known.user, has_password=bool(known.password_hash))
        audit.record(db, actor, AuditAction.CHANGE_USER, f"{_subject(known.user)}: link for a password sent")


def _check_is_staff(actor: Actor) -> None:
    if not actor.is_staff:
        raise NotPermitted("Only staff may see accounts.")


def _known(db: Database, actor: Actor, action: AuditAction, user_id: int) -> User:
    """The account, for superusers; to all others one that does not exist is refused like any, so that they learn none.

    Raises NotPermitted, which is written down, or NotFound.
    """
    try:
        found = UserStore(db).get(user_id)
    except NotFound:
        _check_is_superuser(db, actor, action, "unknown account")
        raise
    _check_is_superuser(db, actor, action, _subject(found))
    return found


def _check_is_superuser(db: Database, actor: Actor, action: AuditAction, subject: str) -> None:
    with audit.refusals_recorded(db, actor, action, subject):
        if not actor.is_superuser:
            raise NotPermitted("Only superusers may change accounts.")


def _check_somebody_is_left(db: Database, actor: Actor, before: User, after: User) -> None:
    if not after.is_active and after.id == actor.user_id:
        raise WrongState("You cannot deactivate yourself. Ask another superuser.")
    was_one = before.is_superuser and before.standing is Standing.ACTIVE
    if was_one and not UserStore(db).superusers():
        raise WrongState("This is the last superuser. Make another one first.")


def _shut_out(db: Database, user: User) -> None:
    SessionStore(db).end_all(user.id)
    LinkStore(db).void(user.id)


def _move_mail(db: Database, before: User, after: User) -> None:
    """Links that were sent to the old address end; whoever reads it learns of the change."""
    LinkStore(db).void(after.id)
    mails.queue(db, mails.render("email_changed", before.profile.email, name=after.called, username=after.username))


def _subject(user: User) -> str:
    return f"account {user.username}"


def _flag_changes(db: Database, before: User, after: User) -> str:
    """What has changed of a person's power, as the trail words it."""
    flags = (
        ("active", before.is_active, after.is_active),
        ("staff", before.is_staff, after.is_staff),
        ("superuser", before.is_superuser, after.is_superuser),
    )
    words = [f"{name} {'on' if is_so else 'off'}" for name, was, is_so in flags if was is not is_so]
    names = GroupStore(db).names() if before.groups != after.groups else {}
    words += sorted(f"+group {names[group_id]}" for group_id in after.groups - before.groups)
    words += sorted(f"-group {names[group_id]}" for group_id in before.groups - after.groups)
    return f": {', '.join(words)}" if words else ""
