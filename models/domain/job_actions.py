"""What may be done to a job or an item in which state: the one table, for stores, services and pages."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.domain.errors import WrongState
from models.domain.jobs import FINISHED, ItemAction, JobAction, State

_UNBEGUN = frozenset({State.UNVERIFIED, State.PENDING})
_ACTION_STATES: Mapping[JobAction, frozenset[State]] = {
    JobAction.VERIFY: frozenset({State.UNVERIFIED}),
    JobAction.HURRY: frozenset({*_UNBEGUN, State.IN_PROGRESS}),
    JobAction.CANCEL: frozenset({State.PENDING, State.IN_PROGRESS}),
    JobAction.RESUME: FINISHED,
    JobAction.RETRY: frozenset({State.FAILURE}),
    JobAction.RESTART: FINISHED,
}
_BEGINS_AGAIN = frozenset({JobAction.RESUME, JobAction.RETRY, JobAction.RESTART})
_EMPTIED = "Its patient data was removed because the job ended long ago, so that nothing of it can be done again."
_USED = "A transfer was made of this check, so that it stays as it is. Hand the file in again for another one."


@dataclass(frozen=True, slots=True)
class Stand:
    """How a job stands, with so many items in each state, as far as it matters to what may be done to it.

    ``has_delivered`` says that something of it, or of the one item that is meant, is at the destination already: then
    that is kept, as the proof of it. ``is_used`` says that a transfer was made of this check, which then stays what the
    transfer was made of. ``is_emptied`` says that what names patients was removed from it. What ``only_asks`` has
    brought nothing anywhere, and may be deleted also when it has ended.
    """

    state: State
    counts: Mapping[State, int]
    has_delivered: bool = False
    is_used: bool = False
    is_emptied: bool = False
    only_asks: bool = False


def allows(action: JobAction, job: Stand) -> bool:
    """Whether a job that stands so lets the action be done."""
    if action is JobAction.DELETE:
        if job.only_asks and job.state in FINISHED:
            return not job.is_used
        begun = any(count for kept, count in job.counts.items() if kept is not State.PENDING)
        return job.state in _UNBEGUN and not job.has_delivered and not begun
    if job.state not in _ACTION_STATES[action] or ((job.is_used or job.is_emptied) and action in _BEGINS_AGAIN):
        return False
    if action is JobAction.RESUME:  # one that was canceled while its last item ended has none
        return job.counts.get(State.CANCELED, 0) > 0
    return True


def check_allows(action: JobAction, job: Stand) -> None:
    """Raise WrongState, saying why, unless ``allows``."""
    if allows(action, job):
        return
    if job.is_emptied and action in _BEGINS_AGAIN:
        raise WrongState(_EMPTIED)
    if job.is_used and action in _BEGINS_AGAIN:
        raise WrongState(_USED)
    if job.is_used and action is JobAction.DELETE:
        raise WrongState("A transfer was made of this check, which is kept with it.")
    if action is JobAction.DELETE and job.state in _UNBEGUN:
        reason = "Something of this job is at the destination already" if job.has_delivered else "Some items have begun"
        raise WrongState(f"{reason}, so that it cannot be deleted. Cancel it instead.")
    if action is JobAction.RESUME and job.state in FINISHED:
        raise WrongState("No item of this job was canceled, so there is nothing to resume.")
    raise WrongState(f"A job that is {job.state.value} cannot be {_DONE[action]}.")


def check_item_allows(action: ItemAction, state: State, job: Stand) -> None:
    """Raise WrongState, saying why, unless an item in this state of a job that stands so lets the action be done.

    The only item of a job is not deleted: without items a job would be called a success.
    """
    if job.is_emptied:
        raise WrongState(_EMPTIED)
    if job.is_used:
        raise WrongState(_USED)
    if job.state is State.CANCELING:
        raise WrongState("The job is being canceled; wait until it has ended.")
    if action is ItemAction.CANCEL:
        if state is not State.PENDING:
            raise WrongState(f"An item that is {state.value} cannot be canceled.")
        if job.state is State.UNVERIFIED:
            raise WrongState("Nobody has verified this job yet. Delete the item instead, or the job.")
    if action is ItemAction.RESET and state not in FINISHED:
        raise WrongState(f"An item that is {state.value} cannot be reset.")
    if action is ItemAction.DELETE:
        if state is not State.PENDING:
            raise WrongState(f"An item that is {state.value} cannot be deleted.")
        if job.has_delivered:
            raise WrongState("Something of this item is at the destination already. Cancel it instead.")
        if sum(job.counts.values()) == 1:
            raise WrongState("It is the only item of its job. Delete the job instead.")


_DONE: Mapping[JobAction, str] = {
    JobAction.VERIFY: "verified",
    JobAction.HURRY: "made urgent or not urgent",
    JobAction.CANCEL: "canceled",
    JobAction.RESUME: "resumed",
    JobAction.RETRY: "retried",
    JobAction.RESTART: "restarted",
    JobAction.DELETE: "deleted",
}
