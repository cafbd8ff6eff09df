"""Who acts, and what they may do."""

from dataclasses import dataclass
from enum import StrEnum


class Permission(StrEnum):
    """Rights a group can give, by the name the admin guide uses (``app.codename``)."""

    ADD_SELECTIVE_TRANSFER = "selective_transfer.add_selectivetransferjob"
    SELECTIVE_URGENT = "selective_transfer.can_process_urgently"
    SELECTIVE_UNPSEUDONYMIZED = "selective_transfer.can_transfer_unpseudonymized"
    ADD_BATCH_TRANSFER = "batch_transfer.add_batchtransferjob"
    BATCH_URGENT = "batch_transfer.can_process_urgently"
    BATCH_UNPSEUDONYMIZED = "batch_transfer.can_transfer_unpseudonymized"
    REVIEW_HELD = "deidentification.review_held"
    READ_ESCROW = "deidentification.read_escrow"
    FORGET_SCOPE = "deidentification.forget_scope"
    READ_AUDIT = "audit.view_entry"


@dataclass(frozen=True, slots=True)
class Actor:
    """The person in whose name something is done."""

    name: str
    is_staff: bool = False
    permissions: frozenset[Permission] = frozenset()


def operator(name: str) -> Actor:
    """The person at the shell of the machine: whoever can read the master key may do everything."""
    return Actor(name, is_staff=True, permissions=frozenset(Permission))
