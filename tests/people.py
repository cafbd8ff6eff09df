"""Accounts and mails for tests; all people are invented."""

import json
import re
from dataclasses import replace
from functools import cache

from sqlalchemy import select

from models.db.engine import Database
from models.db.people import UserStore
from models.db.tables import MailRow
from models.domain.mails import Mail
from models.domain.people import Actor, Profile, User
from models.settings import Settings
from services.people import passwords, sessions

PASSWORD = "violet-harbour-71"
ANOTHER_PASSWORD = "seven-quiet-lamps"


def a_profile(name: str = "ada", **fields: str) -> Profile:
    return replace(Profile(f"{name}@example.org", name.title(), "Example", "06221 4711", "Radiology"), **fields)


@cache
def the_hash() -> str:
    return passwords.hashed(PASSWORD)


def a_user(db: Database, name: str = "ada", **flags: bool | frozenset[int]) -> User:
    """An account that can sign in with ``PASSWORD``; ``flags`` are fields of the user."""
    store = UserStore(db)
    with db.transaction():
        user = store.add(name, a_profile(name), the_hash())
        store.update(replace(user, **flags))  # type: ignore[arg-type]
        store.confirm_email(user.id)
        return store.approve(user.id, "tester")


def a_session(db: Database, settings: Settings, user: User, address: str = "192.0.2.7") -> str:
    """The token of a new session, without the time that a password takes."""
    return sessions.begin(db, settings, user, address, "Browser/1.0")


def acting(db: Database, settings: Settings, user: User) -> Actor:
    """The actor that the pages would see now."""
    found = sessions.find(db, settings, a_session(db, settings, user), "192.0.2.7")
    assert found is not None
    return found.actor


def mails_to(db: Database, recipient: str) -> list[Mail]:
    """The mails that wait for somebody, oldest first."""
    with db.reading() as session:
        rows = session.scalars(select(MailRow).where(MailRow.recipient == recipient).order_by(MailRow.id))
        return [Mail(row.recipient, *json.loads(db.vault.decrypt(row.content))) for row in rows]


def token_in(mail: Mail) -> str:
    """The token of the link in a mail."""
    found = re.search(r"\?token=([A-Za-z0-9_-]+)", mail.body)
    assert found is not None, mail.body
    return found[1]
