"""The trail of what people did with identities: each try, who, when, why and how it ended."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AuditAction(StrEnum):
    """What is written down, allowed or not."""

    LOOK_UP_IDENTITY = "look_up_identity"
    FORGET_SCOPE = "forget_scope"
    RELEASE_HELD = "release_held"
    REJECT_HELD = "reject_held"


DONE = "done"
"""The outcome of what succeeded; of what did not, it is the error's code."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One try. ``subject`` names trials, jobs, items and pseudonyms, never a patient; so should the ``reason``."""

    id: int
    at: datetime
    actor: str
    action: AuditAction
    subject: str
    reason: str
    outcome: str
