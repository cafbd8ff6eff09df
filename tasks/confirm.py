"""Asks the destination for what it was sent, and so proves or disproves that the item is complete."""

from models.domain.errors import NotConfirmed
from tasks.attempt import Attempt
from tasks.destination import destination_of
from tasks.step import step


@step
def confirm(attempt: Attempt) -> None:
    """Record which instances the destination proves to have.

    Raises NotConfirmed when it does not list all that it said it had stored: some archives index with a delay.
    """
    destination = destination_of(attempt)
    confirmed = destination.confirm(attempt.receipt)
    with attempt.record:
        attempt.receipt.is_confirmable = destination.is_confirmable
        attempt.receipt.confirmed = confirmed
    attempt.save_receipt()
    is_all_stored = not attempt.is_cut_short and attempt.receipt.wanted <= attempt.receipt.stored
    if destination.is_confirmable and is_all_stored and confirmed < attempt.receipt.stored:
        unlisted = len(attempt.receipt.stored) - len(confirmed)
        raise NotConfirmed(f"The destination does not list {unlisted} instances that it said it had stored.")
