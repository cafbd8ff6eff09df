"""Who may use a trial: its protocol ID is no secret, so knowing it must not lead from patients to their pseudonyms."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from dicom.deid.keys import LinkageKey
from flows.questions import ask_through
from models.db.audit import AuditStore
from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.people import UserStore
from models.db.scopes import ScopeStore
from models.domain.answers import RowVerdict
from models.domain.audit import DONE, AuditAction
from models.domain.errors import AditError, BadRequest, NotFound, NotPermitted, WrongState
from models.domain.jobs import Job, JobKind, State
from models.domain.people import EVERY_NODE, Actor, Group, Permission, operator
from models.domain.refs import StudyFound
from models.domain.requests import StudyWish, TransferRequest
from models.settings import Settings
from services import jobs, pseudonyms, trials
from services.batches import checks
from services.people import accounts, actors, groups
from tasks.ask import ask_bundle
from tests.batches import a_transfer, transfer_rows
from tests.memory_archive import MemoryArchive, played
from tests.people import a_profile, a_user
from tests.samples import a_folder, a_server, some_settings

SHELL = operator("shell:root")
TRIAL, BOUND = "LUNG", "ANON1"
USED = "trial_protocol_id: the trial LUNG is used by others. Ask one of its users, or an administrator, to be let in."


@dataclass
class Clinic:
    """Ada and Ben share a group, Eve is in another one, Sam is staff. Ada has begun the trial, with the patient P1."""

    db: Database
    settings: Settings
    source: int
    folder: int

    def actor(self, name: str) -> Actor:
        found = actors.of_name(self.db, name)
        return replace(found, permissions=frozenset(Permission), access=EVERY_NODE)

    def submit(self, actor: Actor, pseudonym: str = "", **fields: Any) -> Job:
        wish = StudyWish("1.2.1", "P1", pseudonym=pseudonym)
        wanted: dict[str, Any] = {"kind": JobKind.SELECTIVE_TRANSFER, "trial_protocol_id": TRIAL, **fields}
        request = TransferRequest(source_id=self.source, destination_id=self.folder, studies=(wish,), **wanted)
        return jobs.submit(self.db, self.settings, actor, request)

    def check(self, actor: Actor, pseudonym: str, trial: str = TRIAL) -> Job:
        """Of a study whose patient only the source names."""
        row = replace(transfer_rows(1)[0], pseudonym=pseudonym, patient_id="")
        request = a_transfer(self.source, self.folder, row, trial_protocol_id=trial)
        return checks.submit(self.db, self.settings, actor, request)

    def retrieve(self, actor: Actor, pseudonym: str = "", trial: str = TRIAL) -> tuple[LinkageKey, str]:
        study = StudyFound("1.2.1", "P1", "Doe^Jane", "19700101")
        return pseudonyms.bind_study(self.db, self.settings, actor, trial, study, pseudonym)

    def users(self, trial: str = TRIAL) -> list[tuple[str, str]]:
        return [(user.username, user.by) for user in trials.named(self.db, SHELL, trial).users]

    @property
    def number(self) -> int:
        return ScopeStore(self.db).of_trial(TRIAL)


@pytest.fixture
def a_clinic(database: Database, tmp_path: Path) -> Clinic:
    people = {name: a_user(database, name, is_staff=name == "sam") for name in ("ada", "ben", "eve", "sam")}
    groups.add(database, SHELL, Group("lung", members=frozenset({people["ada"].id, people["ben"].id})))
    groups.add(database, SHELL, Group("heart", members=frozenset({people["eve"].id})))
    source, folder = NodeStore(database).add(a_server("ONE")).id, NodeStore(database).add(a_folder()).id
    clinic = Clinic(database, some_settings(tmp_path, escrow=True), source, folder)
    clinic.submit(clinic.actor("ada"), BOUND)
    return clinic


# -- the rule ---------------------------------------------------------------------------------------------------------

DOORS: dict[str, tuple[AuditAction, Callable[[Clinic, Actor], object]]] = {
    "selective_transfer": (AuditAction.SUBMIT_JOB, lambda clinic, actor: clinic.submit(actor)),
    "batch_transfer": (AuditAction.SUBMIT_JOB, lambda clinic, actor: clinic.submit(actor, kind=JobKind.BATCH_TRANSFER)),
    "batch_check": (AuditAction.SUBMIT_JOB, lambda clinic, actor: clinic.check(actor, BOUND)),
}


@pytest.mark.parametrize("door", DOORS)
def test_who_only_knows_the_protocol_id_learns_no_pseudonym(a_clinic: Clinic, door: str) -> None:
    action, go = DOORS[door]
    before = JobStore(a_clinic.db).count()
    with pytest.raises(NotPermitted) as refused:
        go(a_clinic, a_clinic.actor("eve"))
    assert refused.value.message == USED
    assert list(refused.value.problems) == ["trial_protocol_id"]
    assert JobStore(a_clinic.db).count() == before
    line = AuditStore(a_clinic.db).entries()[0]
    assert (line.actor, line.action, line.outcome) == ("eve", action, "NotPermitted")
    assert line.subject == f"{door} for the trial LUNG"


def test_a_patient_is_not_bound_for_who_may_not_use_the_trial(a_clinic: Clinic) -> None:
    eve = a_clinic.actor("eve")
    for attempt in (lambda: a_clinic.submit(eve, "MINE"), lambda: a_clinic.retrieve(eve)):
        with pytest.raises(NotPermitted, match="used by others"):
            attempt()
    assert not ScopeStore(a_clinic.db).has_bound(a_clinic.number, "MINE")
    assert a_clinic.users() == [("ada", "ada")]


def test_who_begins_a_trial_is_its_first_user_whatever_the_door(a_clinic: Clinic) -> None:
    eve = a_clinic.actor("eve")
    a_clinic.retrieve(eve, trial="HEART")
    a_clinic.submit(eve, trial_protocol_id="BRAIN")
    assert a_clinic.users("HEART") == a_clinic.users("BRAIN") == [("eve", "eve")]
    a_clinic.submit(eve, trial_protocol_id="HEART")
    with pytest.raises(NotPermitted):
        a_clinic.retrieve(a_clinic.actor("ada"), trial="HEART")


def test_a_check_alone_begins_no_trial(a_clinic: Clinic) -> None:
    a_clinic.check(a_clinic.actor("eve"), "SUBJ", trial="HEART")
    with pytest.raises(NotFound):
        a_clinic.users("HEART")


def test_who_shares_a_group_with_a_user_uses_it_too_and_is_entered(a_clinic: Clinic) -> None:
    ben = a_clinic.actor("ben")
    assert a_clinic.retrieve(ben)[1] == BOUND
    assert a_clinic.users() == [("ada", "ada"), ("ben", "ben")]
    (group,) = [group for group in groups.list(a_clinic.db, SHELL) if group.name == "lung"]
    groups.delete(a_clinic.db, SHELL, group.id)
    a_clinic.submit(a_clinic.actor("ben"))
    assert len(a_clinic.users()) == 2, "once each"


def test_a_user_who_is_deactivated_opens_the_trial_to_nobody(a_clinic: Clinic) -> None:
    accounts.deactivate(a_clinic.db, SHELL, UserStore(a_clinic.db).by_name("ada").id)
    with pytest.raises(NotPermitted):
        a_clinic.submit(a_clinic.actor("ben"))


def test_staff_and_the_shell_use_every_trial_and_are_no_users_of_it(a_clinic: Clinic) -> None:
    for actor in (a_clinic.actor("sam"), SHELL):
        a_clinic.submit(actor)
        assert a_clinic.retrieve(actor)[1] == BOUND
        a_clinic.check(actor, BOUND)
    assert a_clinic.users() == [("ada", "ada")], "their groups would come with them"


def test_jobs_with_identity_and_without_a_trial_do_not_concern_it(a_clinic: Clinic) -> None:
    eve = a_clinic.actor("eve")
    a_clinic.submit(eve, keep_identity=True)
    a_clinic.submit(eve, trial_protocol_id="")
    assert a_clinic.users() == [("ada", "ada")]


def test_of_two_who_name_a_new_trial_at_once_one_has_it(a_clinic: Clinic) -> None:
    """The one who is late has asked before whether the trial is new, and was told that it is."""
    both_have_asked = Barrier(2, timeout=60)
    prepare = pseudonyms.prepare

    def met(*args: Any) -> pseudonyms.Prepared:
        prepared = prepare(*args)
        both_have_asked.wait()
        return prepared

    def submit(actor: Actor) -> str:
        try:
            return a_clinic.submit(actor, trial_protocol_id="NEW").owner
        except NotPermitted as refused:
            return refused.message

    people = [a_clinic.actor("ada"), a_clinic.actor("eve")]
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as threads:
        patch.setattr(pseudonyms, "prepare", met)
        told = list(threads.map(submit, people))
    ((first, _),) = a_clinic.users("NEW")
    assert sorted(told) == sorted([first, USED.replace("LUNG", "NEW")])
    assert [line.outcome for line in AuditStore(a_clinic.db).entries()].count("NotPermitted") == 1


# -- checks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pseudonym", ["SUBJ", "ANOTHER"], ids=["that of the patient", "another"])
def test_a_check_from_before_the_trial_was_that_of_others_tells_nothing_of_it(a_clinic: Clinic, pseudonym: str) -> None:
    ada, eve = a_clinic.actor("ada"), a_clinic.actor("eve")
    job = a_clinic.check(eve, pseudonym, trial="NEW")
    a_clinic.submit(ada, "SUBJ", trial_protocol_id="NEW")
    (row,) = asked(a_clinic, job, eve)
    assert (row.verdict, row.sentence) == (RowVerdict.FAILED, USED.replace("LUNG", "NEW"))


def test_a_check_tells_the_users_of_a_trial_what_is_bound_in_it(a_clinic: Clinic) -> None:
    for name in ("ada", "ben", "sam"):
        actor = a_clinic.actor(name)
        (row,) = asked(a_clinic, a_clinic.check(actor, "ANOTHER"), actor)
        assert row.verdict is RowVerdict.MISMATCH
    (row,) = asked(a_clinic, a_clinic.check(SHELL, BOUND), SHELL)
    assert row.verdict is RowVerdict.FOUND


def asked(clinic: Clinic, job: Job, actor: Actor) -> tuple[checks.CheckedRow, ...]:
    archive = MemoryArchive()
    archive.add("P1", "1.2.1")
    with played(ONE=archive):
        ask_through(clinic.db, clinic.settings, job.id, ask_bundle)
    return checks.rows(clinic.db, actor, job.id)


# -- administration ---------------------------------------------------------------------------------------------------


def test_staff_lets_people_in_and_takes_them_out(a_clinic: Clinic) -> None:
    sam, eve = a_clinic.actor("sam"), a_clinic.actor("eve")
    assert trials.allow(a_clinic.db, sam, a_clinic.number, "EVE").username == "eve"
    trials.allow(a_clinic.db, sam, a_clinic.number, "eve")
    a_clinic.submit(eve)
    assert a_clinic.users() == [("ada", "ada"), ("eve", "sam")]
    trials.remove(a_clinic.db, sam, a_clinic.number, "Eve")
    with pytest.raises(NotPermitted):
        a_clinic.submit(eve)
    with pytest.raises(NotFound):
        trials.remove(a_clinic.db, sam, a_clinic.number, "eve")
    told = [line for line in AuditStore(a_clinic.db).entries() if line.action is AuditAction.CHANGE_TRIAL]
    assert [(line.actor, line.subject, line.outcome) for line in reversed(told)] == [
        ("sam", "trial LUNG: +user eve", DONE),
        ("sam", "trial LUNG: -user eve", DONE),
    ]


def test_who_was_taken_out_stays_in_by_a_group(a_clinic: Clinic) -> None:
    a_clinic.submit(a_clinic.actor("ben"))
    trials.remove(a_clinic.db, SHELL, a_clinic.number, "ben")
    a_clinic.submit(a_clinic.actor("ben"))
    assert a_clinic.users() == [("ada", "ada"), ("ben", "ben")]


def test_a_trial_without_users_is_open_to_staff_only(a_clinic: Clinic) -> None:
    trials.remove(a_clinic.db, SHELL, a_clinic.number, "ada")
    for name in ("ada", "eve"):
        with pytest.raises(NotPermitted):
            a_clinic.submit(a_clinic.actor(name))
    a_clinic.submit(a_clinic.actor("sam"))


def test_only_accounts_that_are_active_are_let_in(a_clinic: Clinic) -> None:
    UserStore(a_clinic.db).add("new", a_profile("new"))
    for name in ("nobody", "new"):
        with pytest.raises(BadRequest) as refused:
            trials.allow(a_clinic.db, SHELL, a_clinic.number, name)
        assert list(refused.value.problems) == ["username"]


def test_trials_are_listed_with_jobs_and_users(a_clinic: Clinic) -> None:
    a_clinic.submit(a_clinic.actor("ben"))
    a_clinic.submit(a_clinic.actor("eve"), trial_protocol_id="heart")
    a_clinic.submit(a_clinic.actor("eve"), trial_protocol_id="")
    told = [
        (trial.protocol_id, trial.job_count, [user.username for user in trial.users])
        for trial in trials.list(a_clinic.db, a_clinic.actor("sam"))
    ]
    assert told == [("heart", 1, ["eve"]), ("LUNG", 2, ["ada", "ben"])]


def test_a_forgotten_trial_has_no_users_and_takes_none(a_clinic: Clinic) -> None:
    number = a_clinic.number
    with a_clinic.db.transaction() as session:
        session.connection().exec_driver_sql(f"UPDATE jobs SET state = '{State.SUCCESS.value}'")
    ScopeStore(a_clinic.db).forget(number)
    (trial,) = trials.list(a_clinic.db, SHELL)
    assert (trial.is_forgotten, trial.users) == (True, ())
    attempts: list[Callable[[], object]] = [
        lambda: trials.allow(a_clinic.db, SHELL, number, "eve"),
        *(lambda name=name: a_clinic.submit(a_clinic.actor(name)) for name in ("ada", "eve", "sam")),
        lambda: a_clinic.retrieve(a_clinic.actor("ada")),
    ]
    for attempt in attempts:
        with pytest.raises(WrongState, match="forgotten"):
            attempt()


def test_a_name_of_the_shell_that_uses_a_trial_is_no_name_for_an_account(a_clinic: Clinic) -> None:
    pseudonyms.bind_patients(a_clinic.db, a_clinic.settings, operator("root"), "FILES", [("P1", "")])
    assert a_clinic.users("FILES") == [("root", "root")]
    with pytest.raises(AditError, match="username"):
        UserStore(a_clinic.db).add("Root", a_profile("root"))
