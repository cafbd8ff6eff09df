"""What may be done to a job or an item in which state."""

import pytest

from models.domain.errors import WrongState
from models.domain.job_actions import Stand, allows, check_allows, check_item_allows
from models.domain.jobs import FINISHED, ITEM_MOVES, ItemAction, JobAction, State

P, R, C, S, W, F = (
    State.PENDING,
    State.IN_PROGRESS,
    State.CANCELED,
    State.SUCCESS,
    State.WARNING,
    State.FAILURE,
)
TABLE: dict[State, tuple[list[State], str]] = {
    State.UNVERIFIED: ([P, P], "verify hurry delete"),
    State.PENDING: ([P, P], "hurry cancel delete"),
    State.IN_PROGRESS: ([R, P], "hurry cancel"),
    State.CANCELING: ([R, C], ""),
    State.CANCELED: ([C, S], "resume restart"),
    State.SUCCESS: ([S, S], "restart"),
    State.WARNING: ([S, W], "restart"),
    State.FAILURE: ([S, F], "retry restart"),
}


def counted(*items: State) -> dict[State, int]:
    return {state: items.count(state) for state in items}


def allowed(state: State, *items: State, has_delivered: bool = False) -> set[JobAction]:
    return {action for action in JobAction if allows(action, Stand(state, counted(*items), has_delivered))}


@pytest.mark.parametrize("state", State)
def test_each_state_lets_be_done_what_the_table_says(state: State) -> None:
    items, words = TABLE[state]
    assert allowed(state, *items) == {JobAction(word) for word in words.split()}


@pytest.mark.parametrize("action", JobAction)
@pytest.mark.parametrize("state", State)
def test_what_is_not_allowed_is_refused_with_a_reason(state: State, action: JobAction) -> None:
    counts = counted(*TABLE[state][0])
    if allows(action, Stand(state, counts)):
        check_allows(action, Stand(state, counts))
    else:
        with pytest.raises(WrongState, match=r"\.$"):
            check_allows(action, Stand(state, counts))


@pytest.mark.parametrize("state", sorted(FINISHED))
def test_what_was_canceled_in_part_can_be_resumed(state: State) -> None:
    """A job that was canceled too late has no canceled item: it would wait for ever."""
    assert JobAction.RESUME in allowed(state, S, C)
    assert JobAction.RESUME not in allowed(state, S, S)


def test_what_has_begun_or_delivered_is_kept() -> None:
    assert JobAction.DELETE not in allowed(State.PENDING, P, F)
    assert JobAction.DELETE not in allowed(State.PENDING, P, P, has_delivered=True)
    with pytest.raises(WrongState, match="at the destination"):
        check_allows(JobAction.DELETE, Stand(State.PENDING, counted(P), has_delivered=True))
    with pytest.raises(WrongState, match="have begun"):
        check_allows(JobAction.DELETE, Stand(State.PENDING, counted(P, S)))


@pytest.mark.parametrize("state", State)
def test_what_only_asks_is_deleted_also_when_it_has_ended(state: State) -> None:
    counts = counted(*TABLE[state][0])
    was_deletable = allows(JobAction.DELETE, Stand(state, counts))
    assert allows(JobAction.DELETE, Stand(state, counts, only_asks=True)) is (was_deletable or state in FINISHED)
    for action in set(JobAction) - {JobAction.DELETE}:
        assert allows(action, Stand(state, counts, only_asks=True)) is allows(action, Stand(state, counts))


@pytest.mark.parametrize("state", sorted(FINISHED))
def test_a_check_of_which_a_transfer_was_made_is_kept_with_it(state: State) -> None:
    with pytest.raises(WrongState, match="kept with it"):
        check_allows(JobAction.DELETE, Stand(state, counted(C), is_used=True, only_asks=True))


@pytest.mark.parametrize("state", sorted(ITEM_MOVES))
def test_an_item_is_reset_when_it_has_ended_and_deleted_while_it_waits(state: State) -> None:
    for action, states in ((ItemAction.RESET, FINISHED), (ItemAction.DELETE, {State.PENDING})):
        for job in State:
            if state in states and job is not State.CANCELING:
                check_item_allows(action, state, Stand(job, counted(P, P)))
            else:
                with pytest.raises(WrongState):
                    check_item_allows(action, state, Stand(job, counted(P, P)))


def test_the_last_item_and_one_that_delivered_are_not_deleted() -> None:
    with pytest.raises(WrongState, match="only item"):
        check_item_allows(ItemAction.DELETE, P, Stand(P, counted(P)))
    with pytest.raises(WrongState, match="at the destination"):
        check_item_allows(ItemAction.DELETE, P, Stand(R, counted(P, R), has_delivered=True))
    check_item_allows(ItemAction.RESET, S, Stand(S, counted(S), has_delivered=True))


@pytest.mark.parametrize("action", [JobAction.RESUME, JobAction.RETRY, JobAction.RESTART])
def test_a_check_is_not_taken_up_again_once_a_transfer_was_made_of_it(action: JobAction) -> None:
    state = State.CANCELED if action is JobAction.RESUME else State.FAILURE
    assert allows(action, Stand(state, counted(C, F))) and not allows(action, Stand(state, counted(C, F), is_used=True))
    with pytest.raises(WrongState, match="A transfer was made of this check"):
        check_allows(action, Stand(state, counted(C, F), is_used=True))


@pytest.mark.parametrize("action", ItemAction)
def test_items_of_a_check_stay_once_a_transfer_was_made_of_it(action: ItemAction) -> None:
    with pytest.raises(WrongState, match="A transfer was made of this check"):
        check_item_allows(action, S if action is ItemAction.RESET else P, Stand(P, counted(S, P), is_used=True))
