"""The moves of jobs and items, and the job's state derived from its items."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.domain.errors import WrongState
from models.domain.jobs import (
    FINISHED,
    ITEM_MOVES,
    JOB_MOVES,
    State,
    check_item_move,
    check_job_move,
    derived_state,
    summary,
)

ITEM_STATES = sorted(ITEM_MOVES)
ITEMS = st.lists(st.sampled_from(ITEM_STATES), max_size=8)
RUNNING = [State.PENDING, State.IN_PROGRESS, State.CANCELING]


def test_the_tables_name_every_state_once() -> None:
    assert set(JOB_MOVES) == set(State)
    assert set(ITEM_MOVES) == set(State) - {State.UNVERIFIED, State.CANCELING}


def test_what_is_finished_can_only_wait_again() -> None:
    for state in FINISHED:
        assert JOB_MOVES[state] == ITEM_MOVES[state] == {State.PENDING}


@pytest.mark.parametrize("old", State)
@pytest.mark.parametrize("new", State)
def test_only_listed_moves_are_allowed(old: State, new: State) -> None:
    for check, moves in ((check_job_move, JOB_MOVES), (check_item_move, ITEM_MOVES)):
        if new in moves.get(old, ()):
            check(old, new)
        else:
            with pytest.raises(WrongState):
                check(old, new)


@given(st.sampled_from(RUNNING), ITEMS)
def test_a_job_with_unended_items_has_not_ended(current: State, items: list[State]) -> None:
    unended = {State.PENDING, State.IN_PROGRESS} & set(items)
    assert (derived_state(current, items) not in FINISHED) == bool(unended)


@given(st.sampled_from(RUNNING), ITEMS)
def test_a_derived_move_is_an_allowed_move(current: State, items: list[State]) -> None:
    if current is State.PENDING:
        current = State.IN_PROGRESS if set(items) - {State.PENDING} else State.PENDING
    derived = derived_state(current, items)
    if derived is not current and items:
        check_job_move(current, derived)


@given(ITEMS.filter(bool), st.permutations([State.SUCCESS, State.WARNING, State.FAILURE]))
def test_a_failure_is_never_hidden_by_others(items: list[State], more: list[State]) -> None:
    derived = derived_state(State.IN_PROGRESS, [*items, *more])
    assert derived in {State.FAILURE, State.IN_PROGRESS}


@given(ITEMS)
def test_a_job_never_flips_back_to_pending_while_it_runs(items: list[State]) -> None:
    assert derived_state(State.IN_PROGRESS, items) is not State.PENDING
    assert derived_state(State.CANCELING, items) in {State.CANCELING, State.CANCELED}
    assert derived_state(State.UNVERIFIED, items) is State.UNVERIFIED


@given(ITEMS, st.randoms())
def test_the_order_of_items_does_not_matter(items: list[State], random: object) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert derived_state(State.IN_PROGRESS, items) is derived_state(State.IN_PROGRESS, shuffled)
    assert summary(items) == summary(shuffled)


S, W, F, C = State.SUCCESS, State.WARNING, State.FAILURE, State.CANCELED


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([], S),
        ([S, S], S),
        ([S, C], S),
        ([S, W], W),
        ([W, W], W),
        ([W, C], W),
        ([S, F], F),
        ([W, F, C], F),
        ([F], F),
        ([C, F], F),
        ([C, C], C),
    ],
)
def test_results_combine_to_the_worst(items: list[State], expected: State) -> None:
    assert derived_state(State.IN_PROGRESS, items) is expected


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        ([], "There was nothing to transfer."),
        ([F], "The item failed."),
        ([C, C], "All items were canceled."),
        ([S, S, F], "Of 3 items 2 succeeded, 1 failed."),
    ],
)
def test_the_summary_counts_what_became_of_the_items(items: list[State], sentence: str) -> None:
    assert summary(items) == sentence
