"""What people do with their own account once they are signed in."""

import json
from dataclasses import astuple, fields, replace
from typing import Any

from models.db.engine import Database
from models.db.people import UserStore
from models.domain.audit import AuditAction
from models.domain.errors import BadRequest, NotPermitted, Outdated
from models.domain.people import Actor, Profile, User
from services import audit
from services.people.account_rules import cleaned, profile_problems, refuse

_MOST_REMEMBERED_BYTES = 16_384


def me(db: Database, actor: Actor) -> User:
    """The actor's own account."""
    return UserStore(db).get(_own_id(actor))


def change_profile(db: Database, actor: Actor, profile: Profile, version: int) -> User:
    """Change the actor's own names, phone number and department.

    The mail address is not theirs to change: who gets hold of somebody's browser for a minute could have the next
    password mailed elsewhere. Raises BadRequest naming fields, Outdated.
    """
    profile = cleaned(profile)
    refuse(profile_problems(profile))
    with db.transaction():
        store = UserStore(db)
        before = store.get(_own_id(actor))
        if profile.email != before.profile.email:
            raise BadRequest.of({"email": "Ask an administrator to change your mail address."})
        if before.version != version:
            raise Outdated
        after = store.update(replace(before, profile=profile))
        changes = profile_changes(before.profile, profile)
        audit.record(db, actor, AuditAction.CHANGE_USER, f"account {after.username}{changes}")
        return after


def preferences(db: Database, actor: Actor) -> dict[str, Any]:
    """What the pages remember for the actor; nothing for the shell."""
    return {} if actor.user_id is None else UserStore(db).preferences(actor.user_id)


def remember(db: Database, actor: Actor, **values: Any) -> None:
    """Keep values that JSON can hold for the actor's next visit, and forget those that are None.

    Raises BadRequest when it gets too much. It is for choices such as a source, never for patients.
    """
    with db.transaction():
        kept = UserStore(db).remember(_own_id(actor), values)
        if len(json.dumps(kept)) > _MOST_REMEMBERED_BYTES:
            raise BadRequest("The pages cannot remember that much.")


def profile_changes(before: Profile, after: Profile) -> str:
    """Which fields of a profile have changed, as the trail words it."""
    values = zip(fields(Profile), astuple(before), astuple(after), strict=True)
    words = [field.name for field, old, new in values if old != new]
    return f"; changed {', '.join(words)}" if words else ""


def _own_id(actor: Actor) -> int:
    if actor.user_id is None:
        raise NotPermitted("The shell has no account.")
    return actor.user_id
