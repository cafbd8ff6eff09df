"""Which chores there are and what people call them. What each does stands in ``performing``."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.domain.errors import NotFound


@dataclass(frozen=True, slots=True)
class Chore:
    """One chore; its deployment in Prefect has the same name."""

    name: str
    title: str
    purpose: str


def chore(name: str) -> Chore:
    """The chore with this name; raises NotFound."""
    found = CHORES.get(name)
    if found is None:
        raise NotFound(f"There is no such chore. There are: {', '.join(CHORES)}.")
    return found


def subject(name: str) -> str:
    """What the trail of a try says that it was about: a chore, never what somebody has typed."""
    return name if name in CHORES else "no chore"


_ALL = (
    Chore("disk-check", "Disk check", "Measures folders and disks, and warns of those that fill up."),
    Chore("backup", "Backup", "Backs up the database, and removes the oldest backups."),
    Chore("recovery", "Recovery", "Puts right what programs that died have left behind."),
    Chore("spool-sweep", "Spool sweep", "Removes data in transit that nobody waits for any more."),
    Chore("retention", "Retention", "Removes the patient data of jobs that ended long ago."),
    Chore("expiry", "Expiry", "Forgets sessions, tokens, links, keys and mails whose time is over."),
)
CHORES: Mapping[str, Chore] = {one.name: one for one in _ALL}
