"""Jobs and items: claiming, leases, ending, and what people do to jobs."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.project import ProjectStore
from models.db.receipts import ReceiptStore
from models.db.reviews import ReviewStore
from models.db.scopes import ScopeStore
from models.domain.errors import LeaseLost, NotFound, WrongState
from models.domain.jobs import FINISHED, Item, JobFilter, JobKind, Lease, Onlooker, State
from models.domain.project import App, AppState
from models.domain.receipts import Receipt
from models.domain.reviews import Decision
from tests.databases import Clock
from tests.samples import a_request, add_job, add_nodes

LEASE = timedelta(seconds=20)


@pytest.fixture
def jobs(database: Database) -> JobStore:
    return JobStore(database)


def claimed(jobs: JobStore, job_id: int) -> tuple[Item, Lease]:
    claim = jobs.claim_next(job_id, LEASE)
    assert claim is not None
    return claim


def run_all(jobs: JobStore, job_id: int, *states: State) -> None:
    for state in states:
        _, lease = claimed(jobs, job_id)
        jobs.end_attempt(lease, state, "what happened", "Unreachable" if state is State.FAILURE else "")


def test_a_new_job_waits_with_its_items_in_the_order_of_the_request(database: Database, jobs: JobStore) -> None:
    job = add_job(database, studies=3, owner="grace", urgent=True)
    assert (job.state, job.owner, job.urgent, job.flow_run_id) == (State.PENDING, "grace", True, "")
    assert [item.study_uid for item in jobs.items(job.id)] == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
    assert jobs.progress(job.id).counts == {State.PENDING: 3}
    assert jobs.get(job.id) == job


def test_what_does_not_exist_is_not_found(jobs: JobStore) -> None:
    for question in (jobs.get, jobs.item, jobs.progress, jobs.cancel, jobs.delete):
        with pytest.raises(NotFound):
            question(4711)


def test_claiming_starts_the_job_once_and_counts_attempts(database: Database, jobs: JobStore, clock: Clock) -> None:
    job = add_job(database, studies=2)
    began = clock.now
    first, lease = claimed(jobs, job.id)
    assert (first.position, first.state, first.attempts, first.started_at) == (1, State.IN_PROGRESS, 1, began)
    clock.pass_by(1)
    second, _ = claimed(jobs, job.id)
    assert second.position == 2
    assert jobs.claim_next(job.id, LEASE) is None
    assert jobs.get(job.id).started_at == began
    jobs.end_attempt(lease, State.PENDING, "again later")
    assert jobs.get(job.id).state is State.IN_PROGRESS
    again, _ = claimed(jobs, job.id)
    assert (again.id, again.attempts, again.message) == (first.id, 2, "")
    assert jobs.get(job.id).started_at == began


def test_an_item_is_not_due_before_its_time(database: Database, jobs: JobStore, clock: Clock) -> None:
    job = add_job(database)
    _, lease = claimed(jobs, job.id)
    jobs.end_attempt(lease, State.PENDING, "later", "PeerBusy", clock.now + timedelta(seconds=120))
    assert jobs.claim_next(job.id, LEASE) is None
    assert jobs.due_jobs() == ()
    clock.pass_by(120)
    assert jobs.due_jobs() == (job.id,)
    assert claimed(jobs, job.id)[0].not_before_at is None


def test_a_lease_that_ran_out_lets_another_worker_take_over(database: Database, jobs: JobStore, clock: Clock) -> None:
    job = add_job(database)
    _, dead = claimed(jobs, job.id)
    clock.pass_by(19)
    assert jobs.renew(dead, LEASE)
    clock.pass_by(19)
    assert jobs.claim_next(job.id, LEASE) is None
    clock.pass_by(1)
    item, living = claimed(jobs, job.id)
    assert item.attempts == 2
    assert not jobs.renew(dead, LEASE)
    with pytest.raises(LeaseLost):
        jobs.end_attempt(dead, State.SUCCESS, "done")
    with pytest.raises(LeaseLost):
        ReceiptStore(database).save(dead, Receipt())
    jobs.end_attempt(living, State.SUCCESS, "done")
    assert not jobs.renew(living, LEASE)


def test_an_item_that_kills_its_worker_is_not_taken_up_for_ever(
    database: Database, jobs: JobStore, clock: Clock
) -> None:
    job = add_job(database)
    for _ in range(3):
        claimed(jobs, job.id)
        assert jobs.fail_abandoned(job.id, max_attempts=3) == 0
        clock.pass_by(21)
    assert jobs.fail_abandoned(job.id, max_attempts=3) == 1
    (item,) = jobs.items(job.id)
    assert (item.state, item.error_code) == (State.FAILURE, "LeaseLost")
    assert jobs.get(job.id).state is State.FAILURE


@pytest.mark.parametrize(
    ("states", "expected", "message"),
    [
        ((State.SUCCESS, State.SUCCESS), State.SUCCESS, "All items succeeded."),
        ((State.SUCCESS, State.WARNING), State.WARNING, "Of 2 items 1 succeeded, 1 has warnings."),
        ((State.FAILURE, State.WARNING), State.FAILURE, "Of 2 items 1 has warnings, 1 failed."),
    ],
)
def test_the_last_item_ends_the_job(
    database: Database, jobs: JobStore, clock: Clock, states: tuple[State, ...], expected: State, message: str
) -> None:
    job = add_job(database, studies=2)
    run_all(jobs, job.id, *states)
    ended = jobs.get(job.id)
    assert (ended.state, ended.message, ended.ended_at) == (expected, message, clock.now)


def test_an_attempt_cannot_end_in_a_state_items_never_have(database: Database, jobs: JobStore) -> None:
    job = add_job(database)
    _, lease = claimed(jobs, job.id)
    with pytest.raises(WrongState):
        jobs.end_attempt(lease, State.CANCELING, "")
    assert jobs.renew(lease, LEASE)


def test_canceling_a_waiting_job_ends_it_at_once(database: Database, jobs: JobStore, clock: Clock) -> None:
    job = add_job(database, studies=2)
    canceled = jobs.cancel(job.id)
    assert (canceled.state, canceled.ended_at) == (State.CANCELED, clock.now)
    assert {item.state for item in jobs.items(job.id)} == {State.CANCELED}
    assert jobs.claim_next(job.id, LEASE) is None
    assert jobs.due_jobs() == ()
    with pytest.raises(WrongState):
        jobs.cancel(job.id)


def test_canceling_waits_for_a_living_worker(database: Database, jobs: JobStore) -> None:
    job = add_job(database, studies=2)
    item, lease = claimed(jobs, job.id)
    assert not jobs.is_canceling(job.id)
    assert jobs.cancel(job.id).state is State.CANCELING
    assert jobs.is_canceling(job.id)
    assert jobs.claim_next(job.id, LEASE) is None
    assert jobs.finish_canceled() == ()
    jobs.end_attempt(lease, State.PENDING, "will be tried again", "TimedOut")
    assert jobs.get(job.id).state is State.CANCELED
    ended = jobs.item(item.id)
    assert (ended.state, ended.message, ended.error_code) == (State.CANCELED, "Canceled on request.", "")


def test_a_job_whose_workers_died_is_canceled_at_once(database: Database, jobs: JobStore, clock: Clock) -> None:
    job = add_job(database)
    claimed(jobs, job.id)
    clock.pass_by(21)
    assert jobs.cancel(job.id).state is State.CANCELED


def test_a_worker_that_dies_while_canceling_does_not_keep_the_job(
    database: Database, jobs: JobStore, clock: Clock
) -> None:
    job = add_job(database)
    _, lease = claimed(jobs, job.id)
    jobs.cancel(job.id)
    clock.pass_by(21)
    assert jobs.finish_canceled() == (job.id,)
    assert jobs.get(job.id).state is State.CANCELED
    with pytest.raises(LeaseLost):
        jobs.end_attempt(lease, State.SUCCESS, "too late")


def test_resume_goes_on_where_the_job_was_canceled(database: Database, jobs: JobStore, clock: Clock) -> None:
    job = add_job(database, studies=3)
    jobs.set_flow_run(job.id, "run-1")
    run_all(jobs, job.id, State.SUCCESS)
    _, lease = claimed(jobs, job.id)
    jobs.cancel(job.id)
    jobs.end_attempt(lease, State.CANCELED, "Canceled.", "Canceled")
    resumed = jobs.resume(job.id)
    assert (resumed.state, resumed.message, resumed.ended_at) == (State.PENDING, "", None)
    assert (resumed.flow_run_id, resumed.run_requested_at) == ("run-1", None)
    assert resumed.started_at == clock.now
    done, half_done, untouched = jobs.items(job.id)
    assert (done.state, half_done.state, untouched.state) == (State.SUCCESS, State.PENDING, State.PENDING)
    assert (half_done.attempts, half_done.message, half_done.ended_at) == (1, "", None)
    with pytest.raises(WrongState):
        jobs.resume(job.id)


def test_retry_takes_only_failed_items_and_keeps_receipts(database: Database, jobs: JobStore) -> None:
    job = add_job(database, studies=2)
    with pytest.raises(WrongState):
        jobs.retry_failed(job.id)
    item, lease = claimed(jobs, job.id)
    ReceiptStore(database).save(lease, Receipt(expected={"1.2"}))
    jobs.end_attempt(lease, State.FAILURE, "it failed", "Incomplete")
    run_all(jobs, job.id, State.SUCCESS)
    assert jobs.retry_failed(job.id).state is State.PENDING
    failed, fine = jobs.items(job.id)
    assert (failed.state, failed.attempts, failed.message, failed.error_code) == (State.PENDING, 0, "", "")
    assert fine.state is State.SUCCESS
    assert ReceiptStore(database).load(item.id).expected == {"1.2"}


def test_restart_begins_anew_without_receipts(database: Database, jobs: JobStore) -> None:
    job = add_job(database, studies=2)
    item, lease = claimed(jobs, job.id)
    ReceiptStore(database).save(lease, Receipt(expected={"1.2"}))
    with pytest.raises(WrongState):
        jobs.restart(job.id)
    jobs.end_attempt(lease, State.SUCCESS, "done")
    run_all(jobs, job.id, State.WARNING)
    ReviewStore(database).add(item.id, ["1.2"], Decision.RELEASED, "eve")
    restarted = jobs.restart(job.id)
    assert (restarted.state, restarted.started_at, restarted.message) == (State.PENDING, None, "")
    assert jobs.progress(job.id).counts == {State.PENDING: 2}
    assert ReceiptStore(database).load(item.id).expected is None
    assert ReviewStore(database).decisions(item.id) == {}, "what is fetched anew has to be looked at anew"


def test_only_a_job_nobody_has_begun_can_be_deleted(database: Database, jobs: JobStore) -> None:
    begun, waiting = add_job(database, studies=2), add_job(database)
    _, lease = claimed(jobs, begun.id)
    jobs.end_attempt(lease, State.FAILURE, "it failed")
    with pytest.raises(WrongState):
        jobs.delete(begun.id)
    jobs.delete(waiting.id)
    with pytest.raises(NotFound):
        jobs.get(waiting.id)
    assert add_job(database).id > waiting.id


def test_an_unverified_job_waits_for_somebody(database: Database, jobs: JobStore) -> None:
    job = jobs.add("ada", a_request(*add_nodes(database)), ScopeStore(database).new(), state=State.UNVERIFIED)
    assert job.state is State.UNVERIFIED
    assert jobs.due_jobs() == ()
    assert jobs.claim_next(job.id, LEASE) is None
    with pytest.raises(WrongState):
        jobs.cancel(job.id)
    assert jobs.verify(job.id).state is State.PENDING
    assert jobs.due_jobs() == (job.id,)
    with pytest.raises(WrongState):
        jobs.verify(job.id)


def test_jobs_have_not_ended_until_all_that_they_do_has(database: Database, jobs: JobStore) -> None:
    unverified = jobs.add("ada", a_request(*add_nodes(database)), ScopeStore(database).new(), state=State.UNVERIFIED)
    waiting, begun, canceling, canceled, ended = (add_job(database, studies=2) for _ in range(5))
    run_all(jobs, begun.id, State.SUCCESS)
    claimed(jobs, canceling.id)
    assert jobs.cancel(canceling.id).state is State.CANCELING
    jobs.cancel(canceled.id)
    run_all(jobs, ended.id, State.SUCCESS, State.FAILURE)
    assert jobs.unended() == {unverified.id, waiting.id, begun.id, canceling.id}


def test_a_job_is_made_urgent_until_it_ends(database: Database, jobs: JobStore) -> None:
    first, second = add_job(database), add_job(database)
    assert jobs.hurry(second.id, urgent=True).urgent
    assert jobs.due_jobs() == (second.id, first.id)
    assert not jobs.hurry(second.id, urgent=False).urgent
    run_all(jobs, first.id, State.SUCCESS)
    with pytest.raises(WrongState):
        jobs.hurry(first.id, urgent=True)


@pytest.mark.parametrize("state", sorted(FINISHED))
def test_an_item_that_has_ended_can_be_reset(database: Database, jobs: JobStore, state: State) -> None:
    job = add_job(database, studies=2)
    item, lease = claimed(jobs, job.id)
    with pytest.raises(WrongState):
        jobs.reset_item(item.id)
    ReceiptStore(database).save(lease, Receipt(expected={"1.2"}, received={"1.2"}, stored={"1.2"}))
    jobs.end_attempt(lease, state, "what happened", "Incomplete")
    ReviewStore(database).add(item.id, ["1.2"], Decision.RELEASED, "eve")
    run_all(jobs, job.id, State.SUCCESS)
    again = jobs.reset_item(item.id)
    assert (again.state, again.attempts, again.message, again.error_code) == (State.PENDING, 0, "", "")
    assert (again.started_at, again.ended_at) == (None, None)
    assert ReceiptStore(database).load(item.id) == Receipt()
    assert ReviewStore(database).decisions(item.id) == {}
    assert jobs.get(job.id).state is State.PENDING
    assert jobs.progress(job.id).counts == {State.PENDING: 1, State.SUCCESS: 1}
    assert claimed(jobs, job.id)[0].id == item.id


def test_an_item_is_reset_while_the_others_go_on(database: Database, jobs: JobStore) -> None:
    job = add_job(database, studies=2)
    failed, lease = claimed(jobs, job.id)
    jobs.end_attempt(lease, State.FAILURE, "it failed")
    claimed(jobs, job.id)
    jobs.reset_item(failed.id)
    assert jobs.get(job.id).state is State.IN_PROGRESS
    assert claimed(jobs, job.id)[0].id == failed.id


def test_one_item_that_waits_is_canceled_and_resumed_with_its_job(
    database: Database, jobs: JobStore, clock: Clock
) -> None:
    job = add_job(database, studies=3)
    first, second, third = jobs.items(job.id)
    _, lease = claimed(jobs, job.id)
    with pytest.raises(WrongState, match="A worker has this item"):
        jobs.cancel_item(first.id)
    canceled = jobs.cancel_item(second.id)
    assert (canceled.state, canceled.message, canceled.ended_at) == (State.CANCELED, "Canceled on request.", clock.now)
    with pytest.raises(WrongState, match="canceled cannot be canceled"):
        jobs.cancel_item(second.id)
    jobs.end_attempt(lease, State.SUCCESS, "done")
    item, lease = claimed(jobs, job.id)
    assert item.id == third.id, "the canceled one is passed over"
    jobs.end_attempt(lease, State.SUCCESS, "done")
    ended = jobs.get(job.id)
    assert (ended.state, ended.message) == (State.SUCCESS, "Of 3 items 2 succeeded, 1 was canceled.")
    jobs.resume(job.id)
    assert [item.state for item in jobs.items(job.id)] == [State.SUCCESS, State.PENDING, State.SUCCESS]


def test_canceling_the_last_item_that_waits_ends_the_job(database: Database, jobs: JobStore, clock: Clock) -> None:
    (only,) = jobs.items(add_job(database).id)
    jobs.cancel_item(only.id)
    ended = jobs.get(only.job_id)
    assert (ended.state, ended.message, ended.ended_at) == (State.CANCELED, "The item was canceled.", clock.now)


def test_an_item_is_canceled_or_taken_up_and_never_both(database: Database, jobs: JobStore) -> None:
    for _ in range(5):
        job = add_job(database, studies=4)
        together = Barrier(8)

        def claim(_item: Item, together: Barrier = together, job_id: int = job.id) -> int:
            together.wait()
            found = jobs.claim_next(job_id, LEASE)
            return found[0].id if found else 0

        def cancel(item: Item, together: Barrier = together) -> int:
            together.wait()
            try:
                return jobs.cancel_item(item.id).id
            except WrongState:
                return 0

        items = jobs.items(job.id)
        with ThreadPoolExecutor(8) as pool:
            claims, cancels = pool.map(claim, items), pool.map(cancel, items)
            taken, canceled = set(claims) - {0}, set(cancels) - {0}
        assert not taken & canceled and taken | canceled == {item.id for item in items}
        states = {item.id: item.state for item in jobs.items(job.id)}
        assert all(states[item_id] is State.IN_PROGRESS for item_id in taken)
        assert all(states[item_id] is State.CANCELED for item_id in canceled)


def test_only_an_item_that_waits_can_be_deleted(database: Database, jobs: JobStore) -> None:
    job = add_job(database, studies=3)
    first, second, third = jobs.items(job.id)
    assert jobs.delete_item(second.id).state is State.PENDING
    assert [item.position for item in jobs.items(job.id)] == [1, 3]
    _, lease = claimed(jobs, job.id)
    with pytest.raises(WrongState):
        jobs.delete_item(first.id)
    jobs.end_attempt(lease, State.WARNING, "look at it")
    with pytest.raises(WrongState):
        jobs.delete_item(first.id)
    ended = jobs.delete_item(third.id)
    assert (ended.state, ended.message) == (State.WARNING, "The item has warnings."), "all that is left has ended"
    with pytest.raises(NotFound):
        jobs.item(third.id)


def test_deleting_what_waits_again_ends_a_job_that_waits(database: Database, jobs: JobStore, clock: Clock) -> None:
    job = add_job(database, studies=2)
    run_all(jobs, job.id, State.SUCCESS, State.FAILURE)
    jobs.retry_failed(job.id)
    ended = jobs.delete_item(jobs.items(job.id)[1].id)
    assert (ended.state, ended.ended_at) == (State.SUCCESS, clock.now)


def test_the_only_item_and_one_that_delivered_are_not_deleted(database: Database, jobs: JobStore) -> None:
    (only,) = jobs.items(add_job(database).id)
    with pytest.raises(WrongState, match="only item"):
        jobs.delete_item(only.id)
    job = add_job(database, studies=2)
    item, lease = claimed(jobs, job.id)
    ReceiptStore(database).save(lease, Receipt(expected={"1.2"}, received={"1.2"}, stored={"1.2"}))
    jobs.end_attempt(lease, State.PENDING, "again later")
    other = jobs.items(job.id)[1].id
    assert [jobs.stand(job.id, of).has_delivered for of in (None, item.id, other)] == [True, True, False]
    with pytest.raises(WrongState, match="at the destination"):
        jobs.delete_item(item.id)


def test_a_job_that_was_canceled_too_late_is_not_resumed_to_wait_for_ever(database: Database, jobs: JobStore) -> None:
    job = add_job(database)
    _, lease = claimed(jobs, job.id)
    jobs.cancel(job.id)
    jobs.end_attempt(lease, State.SUCCESS, "done")
    with pytest.raises(WrongState, match="nothing to resume"):
        jobs.resume(job.id)
    assert jobs.get(job.id).state is State.CANCELED


@pytest.mark.parametrize("change", [JobStore.delete_item, JobStore.reset_item, JobStore.reopen_item, JobStore.at_rest])
def test_an_item_that_somebody_else_deletes_at_the_same_moment_is_not_found(
    database: Database, jobs: JobStore, monkeypatch: pytest.MonkeyPatch, change: Callable[[JobStore, int], object]
) -> None:
    """As two clicks do: the second has read the item, and waits for the first to let go of the job."""
    item = jobs.items(add_job(database, studies=3).id)[1]
    jobs.delete_item(item.id)
    monkeypatch.setattr(JobStore, "item", lambda *_: item)
    with pytest.raises(NotFound):
        change(jobs, item.id)


def test_a_job_of_which_something_arrived_is_kept(database: Database, jobs: JobStore) -> None:
    job = add_job(database)
    _, lease = claimed(jobs, job.id)
    ReceiptStore(database).save(lease, Receipt(expected={"1.2", "1.3"}, received={"1.2"}, stored={"1.2"}))
    jobs.end_attempt(lease, State.FAILURE, "it failed")
    jobs.retry_failed(job.id)
    with pytest.raises(WrongState, match="at the destination"):
        jobs.delete(job.id)


@pytest.mark.parametrize("hold", ["maintenance", "suspended"])
def test_what_is_on_hold_begins_nothing_and_ends_what_it_has(database: Database, jobs: JobStore, hold: str) -> None:
    job, other = add_job(database, studies=2), add_job(database, kind=JobKind.SELECTIVE_TRANSFER)
    item, lease = claimed(jobs, job.id)

    def set_hold(on: bool) -> None:
        project = ProjectStore(database)
        if hold == "maintenance":
            project.update(replace(project.get(), maintenance=on))
        else:
            project.set_app(AppState(App.BATCH_TRANSFER, suspended=on))

    set_hold(True)
    assert jobs.claim_next(job.id, LEASE) is None
    assert jobs.due_jobs() == (() if hold == "maintenance" else (other.id,))
    assert jobs.renew(lease, LEASE)
    jobs.end_attempt(lease, State.SUCCESS, "done")
    assert jobs.get(job.id).state is State.IN_PROGRESS
    assert job.id not in jobs.due_jobs()
    set_hold(False)
    assert jobs.due_jobs() == (job.id, other.id)
    assert claimed(jobs, job.id)[0].id != item.id


def test_what_is_on_hold_can_be_canceled(database: Database, jobs: JobStore) -> None:
    job = add_job(database)
    ProjectStore(database).set_app(AppState(App.BATCH_TRANSFER, suspended=True))
    assert jobs.cancel(job.id).state is State.CANCELED


def test_due_jobs_are_the_urgent_ones_then_the_oldest(database: Database, jobs: JobStore, clock: Clock) -> None:
    first, second, urgent, busy = (add_job(database, urgent=n == 2) for n in range(4))
    claimed(jobs, busy.id)
    assert jobs.due_jobs() == (urgent.id, first.id, second.id)
    clock.pass_by(21)
    assert jobs.due_jobs() == (urgent.id, first.id, second.id, busy.id)


def test_a_job_with_a_living_worker_is_not_due_though_items_wait(database: Database, jobs: JobStore) -> None:
    job = add_job(database, studies=2)
    claimed(jobs, job.id)
    assert jobs.due_jobs() == ()


def test_the_list_is_newest_first_and_by_owner_and_state(database: Database, jobs: JobStore) -> None:
    mine, other, ended = (add_job(database, owner=owner) for owner in ("ada", "grace", "ada"))
    run_all(jobs, ended.id, State.SUCCESS)
    assert [job.id for job in jobs.list()] == [ended.id, other.id, mine.id]
    assert [job.id for job in jobs.list(JobFilter(owner="ada"))] == [ended.id, mine.id]
    assert [job.id for job in jobs.list(JobFilter(states={State.PENDING}))] == [other.id, mine.id]
    assert [job.id for job in jobs.list(limit=1, offset=1)] == [other.id]


def test_the_list_is_narrowed_by_kind_trial_and_text(database: Database, jobs: JobStore) -> None:
    plain = add_job(database, kind=JobKind.SELECTIVE_TRANSFER, owner="grace")
    trial = add_job(database, trial_protocol_id="LUNG_1", trial_protocol_name="Lung study")
    other = add_job(database, trial_protocol_id="LUNGX1")

    def found(**fields: object) -> list[int]:
        wanted = JobFilter(**fields)  # type: ignore[arg-type]
        assert jobs.count(wanted) == len(jobs.list(wanted))
        return [job.id for job in jobs.list(wanted)]

    assert found(kinds=[JobKind.SELECTIVE_TRANSFER]) == [plain.id]
    assert found(trial="LUNG_1") == [trial.id]
    assert found(text="lung") == [other.id, trial.id]
    assert found(text="lung_") == [trial.id], "a wildcard of SQL is a character like any other"
    assert found(text="GRAC") == [plain.id]
    assert plain.id in found(text=str(plain.id))
    assert found(text="9" * 30) == []
    assert found(states=[], text="lung") == []
    assert found(owner="ada", kinds=[JobKind.SELECTIVE_TRANSFER]) == []


def test_items_of_many_jobs_are_counted_at_once(database: Database, jobs: JobStore) -> None:
    first, second, third = add_job(database, studies=3), add_job(database, owner="grace"), add_job(database)
    run_all(jobs, first.id, State.SUCCESS)
    assert jobs.counts([first.id, second.id]) == {
        first.id: {State.SUCCESS: 1, State.PENDING: 2},
        second.id: {State.PENDING: 1},
    }
    assert jobs.counts([]) == {}
    assert set(jobs.counts([first.id, second.id, third.id], Onlooker("grace"))) == {second.id}


def test_the_overview_counts_jobs_by_kind_and_state(database: Database, jobs: JobStore) -> None:
    assert jobs.overview() == {kind: {} for kind in JobKind}
    run_all(jobs, add_job(database).id, State.SUCCESS)
    for kind in (JobKind.BATCH_TRANSFER, JobKind.BATCH_TRANSFER, JobKind.SELECTIVE_TRANSFER):
        add_job(database, kind=kind)
    assert jobs.overview() == {
        JobKind.BATCH_TRANSFER: {State.SUCCESS: 1, State.PENDING: 2},
        JobKind.SELECTIVE_TRANSFER: {State.PENDING: 1},
        JobKind.BATCH_QUERY: {},
        JobKind.BATCH_CHECK: {},
    }


def test_items_are_shown_by_state_and_page(database: Database, jobs: JobStore) -> None:
    job = add_job(database, studies=4)
    run_all(jobs, job.id, State.SUCCESS)

    def positions(*arguments: object) -> list[int]:
        return [item.position for item in jobs.items(job.id, *arguments)]  # type: ignore[arg-type]

    assert positions({State.PENDING}) == [2, 3, 4]
    assert positions(None, 2, 1) == [2, 3]
    assert positions({State.PENDING}, 2, 2) == [4]
    assert positions(None, None, 3) == [4]


def test_source_and_destination_of_a_job_are_told(database: Database, jobs: JobStore) -> None:
    assert jobs.nodes(add_job(database, studies=2).id) == {add_nodes(database)}


def test_activity_is_seen_while_a_worker_lives(database: Database, jobs: JobStore, clock: Clock) -> None:
    job = add_job(database)
    assert jobs.last_activity_at(job.id) is None
    _, lease = claimed(jobs, job.id)
    assert jobs.last_activity_at(job.id) == clock.now
    clock.pass_by(5)
    jobs.renew(lease, LEASE)
    assert jobs.last_activity_at(job.id) == clock.now
    clock.pass_by(5)
    jobs.end_attempt(lease, State.SUCCESS, "done")
    assert jobs.last_activity_at(job.id) == clock.now


def test_a_flow_run_is_remembered_with_its_time(database: Database, jobs: JobStore, clock: Clock) -> None:
    job = add_job(database)
    jobs.set_flow_run(job.id, "run-1")
    assert (jobs.get(job.id).flow_run_id, jobs.get(job.id).run_requested_at) == ("run-1", clock.now)


def test_eight_threads_never_claim_one_item_twice(database: Database, jobs: JobStore) -> None:
    job = add_job(database, studies=40)
    together = Barrier(8)

    def work() -> list[int]:
        together.wait()
        done: list[int] = []
        while (claim := jobs.claim_next(job.id, LEASE)) is not None:
            item, lease = claim
            jobs.end_attempt(lease, State.SUCCESS, "done")
            done.append(item.id)
        return done

    with ThreadPoolExecutor(8) as pool:
        claimed_ids = [id_ for future in [pool.submit(work) for _ in range(8)] for id_ in future.result()]
    assert sorted(claimed_ids) == [item.id for item in jobs.items(job.id)]
    assert {item.attempts for item in jobs.items(job.id)} == {1}
    assert jobs.get(job.id).state is State.SUCCESS


def test_items_that_end_at_the_same_moment_still_end_the_job(database: Database, jobs: JobStore) -> None:
    for _ in range(5):
        job = add_job(database, studies=4)
        leases = [claimed(jobs, job.id)[1] for _ in range(4)]
        together = Barrier(4)

        def end(lease: Lease, together: Barrier = together) -> None:
            together.wait()
            jobs.end_attempt(lease, State.SUCCESS, "done")

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(end, leases)) == [None] * 4
        assert jobs.get(job.id).state is State.SUCCESS


def test_a_running_job_tells_its_pace_since_its_run_began(database: Database, clock: Clock) -> None:
    store, job = JobStore(database), add_job(database, studies=6)
    store.set_flow_run(job.id, "run")
    for _ in range(3):
        _, lease = store.claim_next(job.id, LEASE) or pytest.fail("nothing was due")
        clock.pass_by(10)
        store.end_attempt(lease, State.SUCCESS, "done")
    pace = store.progress(job.id).pace
    assert pace is not None
    assert (pace.items_per_minute, pace.ends_at) == (6.0, clock() + timedelta(seconds=30))
    store.cancel(job.id)
    assert store.progress(job.id).pace is None
