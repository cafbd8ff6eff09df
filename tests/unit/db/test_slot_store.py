"""All workers together never hold more connections to a node than its budget."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Lock

import pytest

from models.db.engine import Database
from models.db.slots import SlotStore
from tests.databases import Clock
from tests.samples import add_nodes

LEASE = timedelta(seconds=20)


@pytest.fixture
def slots(database: Database) -> SlotStore:
    return SlotStore(database)


@pytest.fixture
def nodes(database: Database) -> tuple[int, int]:
    return add_nodes(database)


def test_slots_are_had_up_to_the_budget(slots: SlotStore, nodes: tuple[int, int]) -> None:
    node, _ = nodes
    assert slots.try_acquire("a", {node: 2}, {node: 3}, LEASE)
    assert not slots.try_acquire("b", {node: 2}, {node: 3}, LEASE)
    assert slots.try_acquire("b", {node: 1}, {node: 3}, LEASE)
    assert slots.taken(node) == 3
    slots.release("a")
    assert slots.taken(node) == 1


def test_all_or_nothing(slots: SlotStore, nodes: tuple[int, int]) -> None:
    one, two = nodes
    budgets = {one: 1, two: 1}
    assert slots.try_acquire("a", {two: 1}, budgets, LEASE)
    assert not slots.try_acquire("b", {one: 1, two: 1}, budgets, LEASE)
    assert slots.taken(one) == 0


def test_asking_again_replaces_what_one_has(slots: SlotStore, nodes: tuple[int, int]) -> None:
    node, _ = nodes
    for count in (3, 2, 3):
        assert slots.try_acquire("a", {node: count}, {node: 3}, LEASE)
        assert slots.taken(node) == count


def test_a_dead_holder_frees_its_slots(slots: SlotStore, nodes: tuple[int, int], clock: Clock) -> None:
    node, _ = nodes
    assert slots.try_acquire("dead", {node: 3}, {node: 3}, LEASE)
    clock.pass_by(20)
    assert slots.taken(node) == 0
    assert slots.try_acquire("b", {node: 3}, {node: 3}, LEASE)
    assert not slots.renew("dead", LEASE)
    assert slots.taken(node) == 3


def test_a_living_holder_keeps_its_slots(slots: SlotStore, nodes: tuple[int, int], clock: Clock) -> None:
    node, _ = nodes
    assert slots.try_acquire("a", {node: 3}, {node: 3}, LEASE)
    for _ in range(3):
        clock.pass_by(15)
        assert slots.renew("a", LEASE)
    assert not slots.try_acquire("b", {node: 1}, {node: 3}, LEASE)


def test_a_holder_that_woke_up_before_anybody_asked_keeps_its_slots(
    slots: SlotStore, nodes: tuple[int, int], clock: Clock
) -> None:
    node, _ = nodes
    assert slots.try_acquire("a", {node: 3}, {node: 3}, LEASE)
    clock.pass_by(60)
    assert slots.renew("a", LEASE)
    assert not slots.try_acquire("b", {node: 1}, {node: 3}, LEASE)


def test_there_is_nothing_wrong_with_renewing_nothing(slots: SlotStore) -> None:
    assert slots.renew("waiting", LEASE)


def test_traces_of_dead_holders_are_forgotten(slots: SlotStore, nodes: tuple[int, int], clock: Clock) -> None:
    node, _ = nodes
    assert slots.try_acquire("dead", {node: 1}, {node: 1}, LEASE)
    clock.pass_by(3 * 24 * 3600)
    assert slots.try_acquire("a", {node: 1}, {node: 1}, LEASE)
    assert slots.renew("dead", LEASE)
    assert slots.taken(node) == 1


def test_eight_threads_never_exceed_the_budget(slots: SlotStore, nodes: tuple[int, int]) -> None:
    node, _ = nodes
    together, guard = Barrier(8), Lock()
    held, most, successes = 0, 0, 0

    def work(number: int) -> None:
        nonlocal held, most, successes
        together.wait()
        for _ in range(12):
            if not slots.try_acquire(f"w{number}", {node: 2}, {node: 5}, LEASE):
                continue
            with guard:
                held, successes = held + 2, successes + 1
                most = max(most, held)
            with guard:
                held -= 2
            slots.release(f"w{number}")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [None] * 8
    assert successes
    assert most <= 5
    assert slots.taken(node) == 0


def test_an_urgent_holder_that_waits_gets_the_next_slots(slots: SlotStore, nodes: tuple[int, int]) -> None:
    node, other = nodes
    budgets = {node: 2, other: 1}
    assert slots.try_acquire("first", {node: 2}, budgets, LEASE)
    assert not slots.try_acquire("urgent", {node: 2}, budgets, LEASE, urgent=True)
    slots.release("first")
    assert not slots.try_acquire("normal", {node: 1}, budgets, LEASE), "these are kept for who is urgent"
    assert slots.try_acquire("normal", {other: 1}, budgets, LEASE), "other nodes are free"
    assert slots.try_acquire("urgent", {node: 1}, budgets, LEASE, urgent=True)
    assert slots.try_acquire("normal", {node: 1}, budgets, LEASE), "the urgent one waits no longer"


def test_an_urgent_holder_keeps_others_from_the_nodes_that_have_lacked_slots_only(
    slots: SlotStore, nodes: tuple[int, int]
) -> None:
    node, other = nodes
    budgets = {node: 2, other: 1}
    assert slots.try_acquire("first", {node: 2}, budgets, LEASE)
    assert not slots.try_acquire("urgent", {node: 1, other: 1}, budgets, LEASE, urgent=True)
    assert slots.try_acquire("normal", {other: 1}, budgets, LEASE), "nothing lacks at the other node"
    slots.release("first")
    assert not slots.try_acquire("urgent", {node: 1, other: 1}, budgets, LEASE, urgent=True)
    assert not slots.try_acquire("third", {node: 1}, budgets, LEASE), "what it has waited for stays kept for it"
    slots.release("normal")
    assert not slots.try_acquire("third", {other: 1}, budgets, LEASE)
    assert slots.try_acquire("urgent", {node: 1, other: 1}, budgets, LEASE, urgent=True)
    assert slots.try_acquire("third", {node: 1}, budgets, LEASE)


def test_urgent_holders_do_not_hold_up_one_another(slots: SlotStore, nodes: tuple[int, int]) -> None:
    node, _ = nodes
    assert slots.try_acquire("first", {node: 1}, {node: 1}, LEASE)
    for holder in ("one", "two"):
        assert not slots.try_acquire(holder, {node: 1}, {node: 1}, LEASE, urgent=True)
    slots.release("first")
    assert slots.try_acquire("two", {node: 1}, {node: 1}, LEASE, urgent=True)


def test_an_urgent_holder_that_gives_up_or_dies_holds_nobody_up(
    slots: SlotStore, nodes: tuple[int, int], clock: Clock
) -> None:
    node, _ = nodes
    assert slots.try_acquire("first", {node: 1}, {node: 2}, LEASE)
    for holder in ("gives-up", "dies"):
        assert not slots.try_acquire(holder, {node: 2}, {node: 2}, LEASE, urgent=True)
    slots.give_up("gives-up")
    assert not slots.try_acquire("normal", {node: 1}, {node: 2}, LEASE)
    clock.pass_by(10)
    assert slots.try_acquire("normal", {node: 1}, {node: 2}, LEASE)
