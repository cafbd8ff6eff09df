"""Patients get their pseudonyms before anything moves: at submit where the request names them, else from the source."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.scopes import ScopeStore
from models.domain.errors import BadRequest, IdentityConflict, LeaseLost, NotFound, WrongState
from models.domain.jobs import Item, Job, JobKind, Lease, State
from models.domain.people import operator
from models.domain.refs import StudyFound
from models.domain.requests import StudyWish, TransferRequest
from models.settings import Settings
from services import escrow, jobs, pseudonyms
from tests.samples import add_nodes, some_settings

TESTER = operator("tester")
WHY = "asked by the ethics board"
LEASE = timedelta(seconds=20)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path)


def submit(database: Database, settings: Settings, *rows: tuple[str, str], trial: str = "") -> Job:
    """A batch of one study for each pair of patient ID and pseudonym."""
    wishes = tuple(StudyWish(f"1.2.{n}", patient, (), name) for n, (patient, name) in enumerate(rows, start=1))
    request = TransferRequest(JobKind.BATCH_TRANSFER, *add_nodes(database), wishes, trial)
    return jobs.submit(database, settings, TESTER, request)


def names(database: Database, job: Job) -> list[str]:
    return [item.pseudonym for item in jobs.items(database, TESTER, job.id)]


def claims(database: Database, job: Job) -> Iterator[tuple[Item, Lease]]:
    while (claim := JobStore(database).claim_next(job.id, LEASE)) is not None:
        yield claim


def bound(database: Database, settings: Settings, job: Job, claim: tuple[Item, Lease], patient_id: str) -> str:
    item, lease = claim
    study = StudyFound(item.study_uid, patient_id)
    return pseudonyms.bind_item(database, settings, lease, job, item, study).pseudonym


def test_named_patients_have_their_pseudonyms_at_once(database: Database, settings: Settings) -> None:
    job = submit(database, settings, ("P1", ""), ("P2", "ANON"), ("P1", ""), ("P2", ""), ("", ""))
    first, given, again, followed, unknown = names(database, job)
    assert first == again != ""
    assert given == followed == "ANON"
    assert unknown == ""


def test_in_a_trial_a_patient_keeps_the_pseudonym_of_the_first_job(database: Database, settings: Settings) -> None:
    first = submit(database, settings, ("P1", "ANON"), ("P2", ""), trial="T1")
    later = submit(database, settings, ("P2", ""), ("P1", ""), trial="T1")
    assert names(database, later) == names(database, first)[::-1]
    elsewhere = submit(database, settings, ("P2", ""), trial="T2")
    assert names(database, elsewhere)[0] not in names(database, first)


def test_all_rows_that_contradict_earlier_jobs_are_named_and_nothing_is_left(
    database: Database, settings: Settings
) -> None:
    submit(database, settings, ("P1", "ANON1"), ("P2", "ANON2"), trial="T1")
    with pytest.raises(BadRequest) as raised:
        submit(database, settings, ("P3", "ANON3"), ("P1", "OTHER"), ("P4", "anon2"), trial="T1")
    assert [word for word in ("Study 1", "Study 2", "Study 3") if word in raised.value.message] == [
        "Study 2",
        "Study 3",
    ]
    assert not {"P1", "P4", "OTHER", "anon2"} & set(raised.value.message.replace(":", " ").split())
    assert len(JobStore(database).list()) == 1
    assert not ScopeStore(database).has_bound(ScopeStore(database).of_trial("T1"), "ANON3")
    with pytest.raises(BadRequest):
        submit(database, settings, ("P1", "A"), ("P2", "a"), trial="T9")
    with pytest.raises(NotFound):
        ScopeStore(database).of_trial("T9")


def test_ids_that_mean_the_same_patient_cannot_have_two_pseudonyms(database: Database, settings: Settings) -> None:
    with pytest.raises(BadRequest, match="Study 2"):
        submit(database, settings, ("M\u00fcller7", "A"), ("Mu\u0308ller7", "B"))


def test_a_generated_pseudonym_steps_aside_for_a_given_one(database: Database, settings: Settings) -> None:
    scope = ScopeStore(database).for_trial("T1", "ada")
    key = pseudonyms.linkage_key(database, scope)
    taken = key.pseudonym("P1")
    job = submit(database, settings, ("P1", ""), ("P2", taken), trial="T1")
    assert names(database, job) == [key.pseudonym("P1", number=1), taken]


@pytest.mark.parametrize("patient_id", ["7", "K", "22", "X4"])
def test_a_generated_pseudonym_does_not_hold_the_patient_id(
    database: Database, settings: Settings, patient_id: str
) -> None:
    for _ in range(10):
        (name,) = names(database, submit(database, settings, (patient_id, "")))
        assert patient_id not in name


def test_an_unnamed_patient_gets_a_pseudonym_when_the_source_names_it(database: Database, settings: Settings) -> None:
    job = submit(database, settings, ("", ""), ("P1", ""))
    unnamed, named = claims(database, job)
    assert bound(database, settings, job, unnamed, "P1") == named[0].pseudonym
    assert names(database, job) == [named[0].pseudonym] * 2


def test_two_workers_give_one_patient_one_pseudonym(database: Database, settings: Settings) -> None:
    job = submit(database, settings, *[("", "")] * 6)
    taken = [*claims(database, job)]
    together = Barrier(6)

    def bind(claim: tuple[Item, Lease]) -> str:
        together.wait()
        return bound(database, settings, job, claim, "P1")

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(bind, taken))) == 1


def test_a_given_pseudonym_of_another_patient_is_refused_when_the_source_tells(
    database: Database, settings: Settings
) -> None:
    job = submit(database, settings, ("", "SAME"), ("", "SAME"))
    first, second = claims(database, job)
    assert bound(database, settings, job, first, "P1") == "SAME"
    with pytest.raises(IdentityConflict):
        bound(database, settings, job, second, "P2")


def test_a_study_without_patient_id_needs_a_pseudonym_of_its_own(database: Database, settings: Settings) -> None:
    job = submit(database, settings, ("", ""), ("", "ONE"), ("", "ONE"), ("P1", "TWO"))
    blank, given, shared, named = claims(database, job)
    assert bound(database, settings, job, given, " \0") == "ONE"
    assert bound(database, settings, job, given, "") == "ONE", "the same study again"
    for claim in (blank, shared, named):
        with pytest.raises(IdentityConflict):
            bound(database, settings, job, claim, "")


def test_a_worker_that_lost_its_item_binds_nothing(database: Database, settings: Settings) -> None:
    job = submit(database, settings, ("", "ANON"))
    ((item, lease),) = claims(database, job)
    with pytest.raises(LeaseLost):
        bound(database, settings, job, (item, Lease(item.id, "somebody else's")), "P1")
    assert not ScopeStore(database).has_bound(job.linkage_scope_id, "ANON")
    assert bound(database, settings, job, (item, lease), "P1") == "ANON"


def test_the_escrow_holds_who_was_bound_by_either_way_and_nothing_unless_asked(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    with_escrow = some_settings(tmp_path, escrow=True)
    silent = submit(database, settings, ("P1", "ANON"))
    with pytest.raises(NotFound):
        escrow.look_up(database, TESTER, silent.id, "ANON", WHY)
    job = submit(database, with_escrow, (" P1"[1:], "ANON1"), ("", ""))
    _, unnamed = claims(database, job)
    name = bound(database, with_escrow, job, unnamed, "P2 ")
    assert escrow.look_up(database, TESTER, job.id, "ANON1", WHY) == "P1"
    assert escrow.look_up(database, TESTER, job.id, name, WHY) == "P2"


def test_an_escrow_that_is_switched_on_later_is_filled_as_patients_come_again(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    submit(database, settings, ("P1", "ANON"), trial="T1")
    submit(database, some_settings(tmp_path, escrow=True), ("P1", ""), trial="T1")
    assert escrow.look_up(database, TESTER, "T1", "ANON", WHY) == "P1"


def test_a_trial_that_was_forgotten_takes_no_job_and_its_jobs_cannot_go_on(
    database: Database, settings: Settings
) -> None:
    job = submit(database, settings, ("P1", "ANON"), trial="T1")
    with pytest.raises(WrongState, match="not ended"):
        escrow.forget(database, TESTER, "T1", WHY)
    jobs.cancel(database, TESTER, job.id)
    escrow.forget(database, TESTER, "T1", WHY)
    for action in (jobs.resume, jobs.restart, jobs.retry):
        with pytest.raises(WrongState, match="forgotten"):
            action(database, TESTER, job.id)
    with pytest.raises(WrongState, match="forgotten"):
        submit(database, settings, ("P1", "ANON"), trial="T1")
    assert jobs.get(database, TESTER, job.id).state is State.CANCELED
    assert len(JobStore(database).list()) == 1


@pytest.mark.parametrize("pseudonym", ["XPATTWO88X", "s-pattwo88", "PATONE77"])
def test_a_pseudonym_that_holds_an_id_of_the_request_is_refused_and_binds_nobody(
    database: Database, settings: Settings, pseudonym: str
) -> None:
    with pytest.raises(BadRequest, match="Study 2"):
        submit(database, settings, ("PATONE77", "A"), ("PATTWO88", pseudonym), trial="T1")
    job = submit(database, settings, ("PATONE77", "A"), ("PATTWO88", "B"), trial="T1")
    assert names(database, job) == ["A", "B"]


@pytest.mark.parametrize("pseudonym", ["S-PATTWO88", "VOGELSANG-1", "S19610823", "230861"])
def test_a_pseudonym_made_of_what_the_source_tells_is_refused_before_it_is_bound(
    database: Database, settings: Settings, pseudonym: str
) -> None:
    job = submit(database, settings, ("", pseudonym), trial="T1")
    ((item, lease),) = claims(database, job)
    study = StudyFound(item.study_uid, "PATTWO88", "Vogelsang^Ada", "19610823")
    with pytest.raises(IdentityConflict) as raised:
        pseudonyms.bind_item(database, settings, lease, job, item, study)
    assert pseudonym not in raised.value.message
    assert not ScopeStore(database).has_bound(job.linkage_scope_id, pseudonym)
    other = submit(database, settings, ("", "GOOD-1"), trial="T1")
    ((item, lease),) = claims(database, other)
    assert pseudonyms.bind_item(database, settings, lease, other, item, study).pseudonym == "GOOD-1"
