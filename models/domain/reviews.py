"""Instances that are held, and what a person decided about them."""

from dataclasses import dataclass
from enum import StrEnum


class Decision(StrEnum):
    """What a reviewer said about one held instance."""

    RELEASED = "released"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class HeldInstance:
    """An instance that waits for a review, by the UID it has at the source; ``reason`` says what it may show.

    It can be looked at in the source. What is released goes to the destination.
    """

    job_id: int
    item_id: int
    position: int
    study_uid: str
    sop_uid: str
    reason: str
    source_id: int
    destination_id: int
