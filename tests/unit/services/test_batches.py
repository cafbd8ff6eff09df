"""From the rows of a file to a transfer: submitted, checked, made of its check, and told; the archive is in memory."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from flows.questions import ask_through
from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.receipts import ReceiptStore
from models.db.scopes import ScopeStore
from models.db.tables import AnswerRow, BatchFileRow, ItemRow, JobRow, QuestionRow, ReservationRow
from models.domain.answers import RowVerdict
from models.domain.audit import AuditAction
from models.domain.batch_requests import BatchFile
from models.domain.batches import BatchKind, BatchTransferRow
from models.domain.errors import AditError, BadRequest, NotFound, NotPermitted, ProfileInvalid
from models.domain.jobs import FINISHED, Item, Job, JobAction, JobKind, State
from models.domain.people import Actor, NodeAccess, Permission, operator
from models.domain.receipts import Receipt
from models.settings import Settings
from services import audit, escrow, jobs, profiles
from services.batch_files.checking import check_transfer
from services.batch_files.limits import Limits, limits_of
from services.batch_files.reading import read_table
from services.batch_files.tables import Table
from services.batches import checks, queries, results, transfers, verdicts
from services.pseudonyms import linkage_key
from services.searching import sizes
from tasks.ask import ask_bundle
from tests.batches import a_query, a_transfer, query_rows, transfer_rows
from tests.memory_archive import MemoryArchive, played
from tests.samples import a_folder, a_server, some_settings

ROOT = operator("root")
CSV = b"RowID;PatientID;StudyInstanceUID;Pseudonym\nR1;P1;1.2.1;ANON1\nR2;P2;1.2.2;ANON2\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path, exclude_modalities=("SR",))


class World:
    """Two archives, a folder, and what is done with batch files between them."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self.db, self.settings = db, settings
        self.archives = {"ONE": MemoryArchive(), "TWO": MemoryArchive()}
        self.one = NodeStore(db).add(a_server("ONE")).id
        self.two = NodeStore(db).add(a_server("TWO")).id
        self.folder = NodeStore(db).add(a_folder()).id
        for number in range(1, 6):
            self.archives["ONE"].add(f"P{number}", f"1.2.{number}")

    def check(self, *rows: BatchTransferRow, to: int = 0, actor: Actor = ROOT, **fields: object) -> Job:
        request = a_transfer(self.one, to or self.folder, *rows, **fields)
        return self.run(checks.submit(self.db, self.settings, actor, request))

    def run(self, job: Job) -> Job:
        with played(**self.archives):
            ask_through(self.db, self.settings, job.id, ask_bundle)
        return JobStore(self.db).get(job.id)

    def transfer(self, check: Job, *leave_out: RowVerdict, again: bool = False, actor: Actor = ROOT) -> Job:
        return transfers.submit(self.db, self.settings, actor, check.id, leave_out, again)

    def verdicts(self, check: Job) -> list[RowVerdict | None]:
        return [row.verdict for row in checks.rows(self.db, ROOT, check.id)]

    def items(self, job: Job) -> list[Item]:
        return list(JobStore(self.db).items(job.id))

    def deliver(self, job: Job) -> None:
        """Have everything of a transfer arrive, as if it had run."""
        store = JobStore(self.db)
        while (claim := store.claim_next(job.id, self.settings.lease_for)) is not None:
            item, lease = claim
            uids = {f"{item.study_uid}.1.{number}" for number in range(item.planned_count or 1)}
            receipt = Receipt(expected=set(uids), received=set(uids), stored=set(uids), confirmed=set(uids))
            ReceiptStore(self.db).save(lease, receipt)
            store.end_attempt(lease, State.SUCCESS, "3 instances transferred and confirmed.")


@pytest.fixture
def world(db: Database, settings: Settings) -> World:
    return World(db, settings)


def a_researcher(world: World, *more: Permission, name: str = "ada") -> Actor:
    rights = {Permission.ADD_BATCH_QUERY, Permission.ADD_BATCH_TRANSFER, *more}
    access = NodeAccess(frozenset({world.one, world.two}), frozenset({world.folder, world.two}))
    return Actor(name, permissions=frozenset(rights), access=access)


def refusal(submit: object, *arguments: object) -> str:
    with pytest.raises(AditError) as raised:
        submit(*arguments)  # type: ignore[operator]
    assert not any(word in raised.value.message for word in ("P1", "ANON1", "Doe")), "it names nobody"
    return f"{raised.value.code} {raised.value.message}"


# Submitting


def test_a_check_has_one_item_for_the_rows_of_each_study(world: World) -> None:
    first, second = transfer_rows(2)
    rows = (first, second, replace(first, line=9, row_id="R9", series_uids=("1.2.1.1",)))
    check = world.check(*rows)
    one, two = world.items(check)
    assert (one.lines, one.row_id, two.lines) == ((2, 9), "R1, R9", (3,))
    assert (one.patient_id, one.study_uid, one.pseudonym) == ("", "", ""), "they stand in the question, encrypted"
    assert (check.kind, check.project_name, check.ethics_application_id) == (
        JobKind.BATCH_CHECK,
        "Lung study",
        "S-1/2026",
    )


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"project_name": " "}, "project_name: it is needed"),
        ({"project_description": "x" * 2001}, "project_description: longer"),
        ({"ethics_application_id": ""}, "ethics_application_id: it is needed"),
        ({"rows": ()}, "rows: at least one"),
        ({"source_id": 99}, "source: there is no such node"),
        ({"destination_id": 1}, "destination: it is the source"),
        ({"profile": "secret"}, "profile:"),
        ({"trial_protocol_id": "a\\b"}, "trial_protocol_id:"),
        ({"keep_identity": True}, "Line 2: pseudonym: none, since the identity is kept"),
    ],
)
def test_what_is_wrong_with_a_transfer_is_told_by_field(world: World, changed: dict[str, object], told: str) -> None:
    request = replace(a_transfer(world.one, world.folder, *transfer_rows(1)), **changed)  # type: ignore[arg-type]
    assert told in refusal(checks.submit, world.db, world.settings, ROOT, request)
    assert JobStore(world.db).count() == 0


ROW = transfer_rows(1)[0]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([replace(ROW, patient_id="P*")], "Line 2: patient_id: wildcards"),
        ([replace(ROW, study_uid="=HYPERLINK()")], "Line 2: study_uid: not a DICOM UID"),
        ([replace(ROW, series_uids=("1.2\\3",))], "Line 2: series_uids:"),
        ([replace(ROW, study_uid="")], "Line 2: study_uid: it is needed, or an accession number"),
        ([replace(ROW, study_uid="", accession_number="A?")], "Line 2: accession_number: wildcards"),
        ([replace(ROW, study_uid="", accession_number="A\\*")], "Line 2: accession_number: backslashes"),
        ([replace(ROW, study_uid="", accession_number="A", modalities=("C\\T",))], "Line 2: modalities:"),
        ([replace(ROW, pseudonym="A^B")], "Line 2: pseudonym: none of"),
        ([replace(ROW, pseudonym="")], "Line 2: pseudonym: it is needed"),
        ([ROW, replace(ROW, line=3, patient_id="P2")], "Line 3: patient_id: the same study"),
        (
            [ROW, replace(ROW, line=3, study_uid="1.3", pseudonym="B")],
            "Line 2: pseudonym: the same patient",
        ),
        ([ROW, replace(ROW, line=3, study_uid="1.3", patient_id="P2")], "Line 3: pseudonym: it is given to more than"),
        ([ROW, replace(ROW, line=3, study_uid="1.3", patient_id="anon1", pseudonym="B")], "Line 2: pseudonym: it is"),
        ([replace(ROW, pseudonym="xP1234x", patient_id="p1234")], "Line 2: pseudonym: It holds the ID"),
    ],
)
def test_what_is_wrong_with_rows_is_told_by_line(world: World, rows: list[BatchTransferRow], told: str) -> None:
    request = a_transfer(world.one, world.folder, *rows)
    assert told in refusal(checks.submit, world.db, world.settings, ROOT, request)
    assert JobStore(world.db).count() == 0


def test_a_pseudonym_may_be_missing_where_one_can_come_from_elsewhere(world: World) -> None:
    bare = replace(ROW, pseudonym="")
    for fields in ({"generate_pseudonyms": True}, {"trial_protocol_id": "LUNG"}, {"keep_identity": True}):
        assert world.check(bare, **fields).state is State.SUCCESS
    assert world.check(ROW, replace(bare, line=3, study_uid="1.2.2")).kind is JobKind.BATCH_CHECK


def test_pseudonyms_of_the_trial_are_known_before_anything_is_asked(world: World) -> None:
    world.transfer(world.check(ROW, trial_protocol_id="LUNG"))
    other = replace(ROW, patient_id="P2", study_uid="1.2.2")
    request = a_transfer(world.one, world.folder, other, trial_protocol_id="LUNG")
    assert "Line 2: pseudonym:" in refusal(checks.submit, world.db, world.settings, ROOT, request)
    assert not ScopeStore(world.db).has_bound(ScopeStore(world.db).of_trial("LUNG"), "ANON2")
    new = a_transfer(world.one, world.folder, ROW, trial_protocol_id="NEW")
    checks.submit(world.db, world.settings, ROOT, new)
    with pytest.raises(NotFound):
        ScopeStore(world.db).of_trial("NEW")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"patient_id": ""}, "Line 2: patient_id: it is needed, or both name and birth date"),
        ({"patient_id": "", "patient_name": "Doe^Jane"}, "Line 2: patient_id: it is needed"),
        ({"patient_id": "P?"}, "Line 2: patient_id: wildcards"),
        ({"patient_id": "P\n1"}, "Line 2: patient_id: backslashes and control characters"),
        ({"patient_name": "Doe*"}, "Line 2: patient_name: wildcards"),
        ({"modalities": ()}, "Line 2: accession_number: it is needed, or a modality"),
        ({"modalities": ("CT\\MR",)}, "Line 2: modalities:"),
        ({"accession_number": "*"}, "Line 2: accession_number: wildcards"),
        ({"series_numbers": ("1e5",)}, "Line 2: series_numbers:"),
        ({"from_date": date(2024, 2, 1), "until_date": date(2024, 1, 1)}, "Line 2: until_date:"),
        ({"study_description": "a\0b"}, "Line 2: study_description:"),
    ],
)
def test_hostile_and_incomplete_rows_of_a_query_are_refused(
    world: World, changed: dict[str, object], told: str
) -> None:
    row = replace(query_rows(1)[0], **changed)  # type: ignore[arg-type]
    assert told in refusal(queries.submit, world.db, world.settings, ROOT, a_query([world.one], row))
    assert JobStore(world.db).count() == 0


@pytest.mark.parametrize(
    ("sources", "told"),
    [([], "sources: at least one"), ([1, 1], "the same server is named twice"), ([3], "sources: research is a folder")],
)
def test_a_query_asks_servers_each_once(world: World, sources: list[int], told: str) -> None:
    request = a_query(sources, *query_rows(1))
    assert told in refusal(queries.submit, world.db, world.settings, ROOT, request)


def test_users_have_limits_and_staff_larger_ones(world: World) -> None:
    ada = a_researcher(world)
    query, transfer = a_query([world.one], *query_rows(1001)), a_transfer(world.one, world.folder, *transfer_rows(501))
    assert "at most 1,000" in refusal(queries.submit, world.db, world.settings, ada, query)
    assert "at most 500" in refusal(checks.submit, world.db, world.settings, ada, transfer)
    queries.submit(world.db, world.settings, ROOT, query)
    checks.submit(world.db, world.settings, ROOT, transfer)


def test_rights_nodes_and_urgency_are_checked_and_refusals_recorded(world: World) -> None:
    ada, nobody = a_researcher(world), Actor("eve")
    query, transfer = a_query([world.one], *query_rows(1)), a_transfer(world.one, world.folder, *transfer_rows(1))
    for submit, request in ((queries.submit, query), (checks.submit, transfer)):
        assert refusal(submit, world.db, world.settings, nobody, request).startswith("NotPermitted")
        urgent = replace(request, urgent=True)
        assert "urgent" in refusal(submit, world.db, world.settings, ada, urgent)
        stranger = replace(ada, access=NodeAccess())
        assert "there is no such node" in refusal(submit, world.db, world.settings, stranger, request)
        submit(world.db, world.settings, ada, request)  # type: ignore[operator]
    kept = replace(a_transfer(world.one, world.folder, replace(ROW, pseudonym="")), keep_identity=True)
    assert "identity" in refusal(checks.submit, world.db, world.settings, ada, kept)
    entries = [entry for entry in audit.entries(world.db, ROOT) if entry.action is AuditAction.SUBMIT_JOB]
    assert sum(entry.outcome == "NotPermitted" for entry in entries) == 5


def test_a_check_need_not_wait_for_staff_but_its_transfer_and_a_query_do(world: World) -> None:
    world.settings = world.settings.model_copy(update={"start_unverified": False})
    ada = a_researcher(world)
    check = world.check(*transfer_rows(1), actor=ada)
    assert check.state is State.SUCCESS
    assert world.transfer(check, actor=ada).state is State.UNVERIFIED
    query = queries.submit(world.db, world.settings, ada, a_query([world.one], *query_rows(1)))
    assert query.state is State.UNVERIFIED


# What a check has found


def test_the_outcome_counts_verdicts_instances_and_bytes(world: World) -> None:
    rows = (*transfer_rows(3), replace(ROW, line=5, patient_id="P9", study_uid="1.9", pseudonym="ANON9"))
    check = world.check(*rows)
    outcome = checks.outcome(world.db, ROOT, check.id)
    assert outcome.has_ended and outcome.waiting == 0
    assert {verdict: tally.studies for verdict, tally in outcome.of.items()} == {
        RowVerdict.FOUND: 3,
        RowVerdict.NOT_FOUND: 1,
    }
    assert (outcome.instances, outcome.has_room, outcome.transfer_id) == (9, True, None)
    assert outcome.size_bytes == 9 * 530_000
    assert outcome.usage is not None and outcome.usage.folder_id == world.folder
    assert check.state is State.WARNING
    (missing,) = checks.rows(world.db, ROOT, check.id, RowVerdict.NOT_FOUND)
    assert (missing.lines, missing.verdict, missing.study) == ((5,), RowVerdict.NOT_FOUND, None)
    assert checks.count(world.db, ROOT, check.id) == 4
    assert checks.count(world.db, ROOT, check.id, RowVerdict.FOUND) == 3
    first = checks.rows(world.db, ROOT, check.id, limit=1)[0]
    assert (first.pseudonym, first.study and first.study.study_uid, first.instance_count) == ("ANON1", "1.2.1", 3)


def test_an_outcome_is_known_while_the_check_runs(world: World) -> None:
    request = a_transfer(world.one, world.folder, *transfer_rows(2))
    check = checks.submit(world.db, world.settings, ROOT, request)
    outcome = checks.outcome(world.db, ROOT, check.id)
    assert (outcome.waiting, outcome.of, outcome.has_ended) == (2, {}, False)
    assert world.verdicts(check) == [None, None]
    assert "check: it has not ended yet" in refusal(transfers.submit, world.db, world.settings, ROOT, check.id)


def test_patients_are_shown_to_the_owner_only_not_even_to_who_may_look_one_of_them_up(world: World) -> None:
    ada = a_researcher(world)
    check = world.check(*transfer_rows(1), actor=ada)
    query = world.run(queries.submit(world.db, world.settings, ada, a_query([world.one], *query_rows(1))))
    staff = Actor("sam", is_staff=True)
    reader = replace(staff, permissions=frozenset({Permission.READ_ESCROW}))
    eve = a_researcher(world, name="eve")
    shown = {
        "rows": lambda actor: checks.rows(world.db, actor, check.id),
        "page": lambda actor: results.page(world.db, actor, query.id),
        "export": lambda actor: results.export(world.db, actor, query.id),
    }
    for show in shown.values():
        assert show(ada)
        for actor in staff, reader:
            with pytest.raises(NotPermitted):
                show(actor)
        with pytest.raises(NotFound):
            show(eve)
    assert checks.outcome(world.db, staff, check.id).instances == 3, "numbers name nobody"
    assert results.count(world.db, staff, query.id) == 1
    for item in jobs.items(world.db, staff, check.id):
        assert (item.patient_id, item.study_uid, item.pseudonym) == ("", "", "")


def test_a_job_of_another_kind_is_no_check_and_no_query(world: World) -> None:
    check = world.check(*transfer_rows(1))
    transfer = world.transfer(check)
    for ask in (checks.outcome, checks.rows, checks.count):
        with pytest.raises(NotFound):
            ask(world.db, ROOT, transfer.id)  # type: ignore[operator]
    with pytest.raises(NotFound):
        results.page(world.db, ROOT, check.id)
    with pytest.raises(NotFound):
        transfers.submit(world.db, world.settings, ROOT, transfer.id)


# Made of a check


def test_a_transfer_is_bound_to_what_its_check_has_found(world: World) -> None:
    rows = (
        replace(ROW, row_id="X"),
        BatchTransferRow(3, "Y", "P2", accession_number="A1.2.2", pseudonym="ANON2"),
        BatchTransferRow(4, "Z", "P3", "1.2.3", ("1.2.3.1",), "ANON3"),
    )
    check = world.check(*rows, trial_protocol_id="LUNG", trial_protocol_name="Lungs", send_finished_mail=True)
    job = world.transfer(check)
    assert (job.kind, job.checked_by_job_id, job.trial_protocol_id, job.send_finished_mail) == (
        JobKind.BATCH_TRANSFER,
        check.id,
        "LUNG",
        True,
    )
    assert (job.project_name, job.ethics_application_id, job.profile) == (
        check.project_name,
        check.ethics_application_id,
        check.profile,
    )
    told = [
        (item.study_uid, item.patient_id, item.series_uids, item.pseudonym, item.planned_count, item.lines, item.row_id)
        for item in world.items(job)
    ]
    assert told == [
        ("1.2.1", "P1", (), "ANON1", 3, (2,), "X"),
        ("1.2.2", "P2", (), "ANON2", 3, (3,), "Y"),
        ("1.2.3", "P3", ("1.2.3.1",), "ANON3", 3, (4,), "Z"),
    ]
    assert checks.outcome(world.db, ROOT, check.id).transfer_id == job.id


def test_one_check_gives_one_transfer_however_often_it_is_asked_for(world: World) -> None:
    check = world.check(*transfer_rows(2))
    first = world.transfer(check)
    assert world.transfer(check) == first
    assert world.transfer(check, RowVerdict.FOUND) == first
    assert JobStore(world.db).count() == 2


def test_generated_pseudonyms_are_there_at_once_and_the_same_in_the_trial(world: World) -> None:
    bare = tuple(replace(row, pseudonym="") for row in transfer_rows(2))
    job = world.transfer(world.check(*bare, trial_protocol_id="LUNG"))
    names = [item.pseudonym for item in world.items(job)]
    assert all(names) and len(set(names)) == 2
    again = world.transfer(world.check(bare[1], trial_protocol_id="LUNG"))
    assert [item.pseudonym for item in world.items(again)] == names[1:]


def test_rows_that_were_not_found_have_to_be_left_out_in_so_many_words(world: World) -> None:
    mismatching = replace(transfer_rows(2)[1], patient_id="P7", pseudonym="ANON7")
    missing = BatchTransferRow(7, "", "P9", "1.9", pseudonym="ANON9")
    check = world.check(ROW, mismatching, missing)
    refused = refusal(transfers.submit, world.db, world.settings, ROOT, check.id, [RowVerdict.NOT_FOUND])
    assert "leave_out: 1 of another patient or pseudonym than can be." in refused
    with pytest.raises(BadRequest) as raised:
        world.transfer(check)
    assert set(raised.value.problems) == {"leave_out"}
    job = world.transfer(check, RowVerdict.NOT_FOUND, RowVerdict.MISMATCH)
    assert [item.study_uid for item in world.items(job)] == ["1.2.1"]
    nothing = world.check(missing)
    assert "nothing is left" in refusal(
        transfers.submit, world.db, world.settings, ROOT, nothing.id, [RowVerdict.NOT_FOUND]
    )


def test_also_what_was_found_can_be_left_out(world: World) -> None:
    world.deliver(world.transfer(world.check(ROW, trial_protocol_id="LUNG")))
    check = world.check(*transfer_rows(2), trial_protocol_id="LUNG")
    job = world.transfer(check, RowVerdict.FOUND, again=True)
    assert [item.study_uid for item in world.items(job)] == ["1.2.1"]


def test_rows_that_turn_out_to_mean_one_study_are_moved_once(world: World) -> None:
    by_number = BatchTransferRow(3, "Y", "P1", accession_number="A1.2.1", pseudonym="ANON1")
    one_series = BatchTransferRow(4, "Z", "P2", "1.2.2", ("1.2.2.1",), "ANON2")
    whole = BatchTransferRow(5, "W", "P2", accession_number="A1.2.2", pseudonym="ANON2")
    job = world.transfer(world.check(replace(ROW, row_id="X"), by_number, one_series, whole))
    told = [(item.study_uid, item.lines, item.row_id, item.series_uids) for item in world.items(job)]
    assert told == [("1.2.1", (2, 3), "X, Y", ()), ("1.2.2", (4, 5), "Z, W", ())]


def test_contradictions_that_show_only_in_the_archive_are_told_by_line(world: World) -> None:
    """The rows name no patient, so nobody knew before that two of them mean the same one."""
    rows = (
        BatchTransferRow(2, accession_number="A1.2.1", pseudonym="ANON1"),
        BatchTransferRow(3, accession_number="A1.2.2", pseudonym="ANON1"),
        BatchTransferRow(4, accession_number="A1.2.3", pseudonym="P2"),
    )
    check = world.check(*rows)
    assert world.verdicts(check) == [RowVerdict.FOUND] * 3
    told = refusal(transfers.submit, world.db, world.settings, ROOT, check.id)
    assert "Line 2: pseudonym: it is given to more than one patient." in told
    assert "Line 4: pseudonym: it is the ID of a patient" in told
    assert JobStore(world.db).made_of(check.id) is None


def test_a_pseudonym_stays_that_of_the_file_where_the_row_that_names_it_is_left_out(world: World) -> None:
    world.archives["ONE"].add("P1", "1.2.7")
    missing, bare = replace(ROW, study_uid="1.9"), BatchTransferRow(3, "", "P1", "1.2.7")
    for fields in ({}, {"trial_protocol_id": "LUNG"}, {"generate_pseudonyms": True}):
        job = world.transfer(world.check(missing, bare, **fields), RowVerdict.NOT_FOUND)
        assert [item.pseudonym for item in world.items(job)] == ["ANON1"]


def test_no_pseudonym_is_generated_unless_somebody_has_allowed_it(world: World) -> None:
    """The rows seem to be of one study, until the archive tells that the second is of a patient without a name."""
    world.archives["ONE"].studies[0] = replace(world.archives["ONE"].studies[0], patient_id="")
    rows = (replace(ROW, study_uid="1.9"), BatchTransferRow(3, "", "P1", accession_number="A1.2.2"))
    world.archives["ONE"].studies[1] = replace(world.archives["ONE"].studies[1], patient_id="P1")
    named = world.transfer(world.check(*rows), RowVerdict.NOT_FOUND)
    assert [item.pseudonym for item in world.items(named)] == ["ANON1"]
    bare = BatchTransferRow(2, accession_number="A1.2.3")
    for fields in ({"trial_protocol_id": "LUNG"}, {"generate_pseudonyms": True}, {"keep_identity": True}):
        assert world.transfer(world.check(bare, **fields)).kind is JobKind.BATCH_TRANSFER
    check = world.check(bare, generate_pseudonyms=True)
    with world.db.transaction() as session:
        session.execute(update(JobRow).where(JobRow.id == check.id).values(generate_pseudonyms=False))
    told = refusal(transfers.submit, world.db, world.settings, ROOT, check.id)
    assert "Line 2: pseudonym: it is needed." in told


def test_a_row_without_a_pseudonym_does_not_take_one_of_two(world: World) -> None:
    rows = (
        BatchTransferRow(2, accession_number="A1.2.1", pseudonym="ANON1"),
        BatchTransferRow(3, accession_number="A1.2.2", pseudonym="ANON2"),
        BatchTransferRow(4, accession_number="A1.2.3"),
    )
    archive = world.archives["ONE"]
    archive.studies[:] = [replace(study, patient_id="P1") for study in archive.studies]
    archive.series["1.2.1"] = archive.series["1.2.2"] = [replace(archive.series["1.2.1"][0], modality="SR")]
    check = world.check(*rows, trial_protocol_id="LUNG")
    told = refusal(transfers.submit, world.db, world.settings, ROOT, check.id, [RowVerdict.EXCLUDED])
    assert "Line 4: pseudonym: other lines give this patient more than one." in told


def test_one_study_has_one_pseudonym_also_where_nobody_names_its_patient(world: World) -> None:
    first, second = (BatchTransferRow(line, "", "", "1.2.6", pseudonym=f"ANON{line}") for line in (2, 3))
    told = refusal(checks.submit, world.db, world.settings, ROOT, a_transfer(world.one, world.folder, first, second))
    assert "Line 3: pseudonym: the same study has another one in another line." in told
    world.archives["ONE"].add("", "1.2.6")
    check = world.check(first, replace(second, study_uid="", accession_number="A1.2.6"))
    assert world.verdicts(check) == [RowVerdict.FOUND] * 2
    told = refusal(transfers.submit, world.db, world.settings, ROOT, check.id)
    assert "Line 2: pseudonym: the same study has another one in another line." in told


@pytest.mark.parametrize("patient_id", ["P*", "P?", "P\\1", "P" * 65])
def test_a_patient_id_that_no_job_can_name_holds_up_its_own_rows_only(world: World, patient_id: str) -> None:
    world.archives["ONE"].add(patient_id, "1.2.6")
    odd = BatchTransferRow(3, accession_number="A1.2.6", pseudonym="ANON6")
    check = world.check(ROW, odd)
    assert world.verdicts(check) == [RowVerdict.FOUND, RowVerdict.MISMATCH]
    (told,) = checks.rows(world.db, ROOT, check.id, RowVerdict.MISMATCH)
    assert told.sentence.startswith("The patient ID at the source cannot be used:") and told.study is not None
    assert [item.study_uid for item in world.items(world.transfer(check, RowVerdict.MISMATCH))] == ["1.2.1"]


def test_a_pseudonym_that_the_trial_knows_otherwise_holds_up_its_own_rows_only(world: World) -> None:
    """The rows name no patient, so that it shows only when the archive has told whose studies they are."""
    world.transfer(world.check(*transfer_rows(2), trial_protocol_id="LUNG"))
    rows = (
        BatchTransferRow(2, accession_number="A1.2.1", pseudonym="OTHER"),
        BatchTransferRow(3, accession_number="A1.2.3", pseudonym="anon2"),
        BatchTransferRow(4, accession_number="A1.2.4", pseudonym="Jane-Doe"),
        BatchTransferRow(5, accession_number="A1.2.5", pseudonym="ANON5"),
    )
    check = world.check(*rows, trial_protocol_id="LUNG")
    assert world.verdicts(check) == [RowVerdict.MISMATCH] * 3 + [RowVerdict.FOUND]
    sentences = [row.sentence for row in checks.rows(world.db, ROOT, check.id, RowVerdict.MISMATCH)]
    assert sentences[:2] == [
        "The patient already has another pseudonym in this trial or job.",
        "The pseudonym already belongs to another patient of this trial or job.",
    ]
    assert [item.pseudonym for item in world.items(world.transfer(check, RowVerdict.MISMATCH))] == ["ANON5"]
    assert not ScopeStore(world.db).has_bound(ScopeStore(world.db).of_trial("LUNG"), "OTHER")


def test_what_two_lines_share_is_counted_once(world: World) -> None:
    two = (("CT", "1", "", 3), ("MR", "2", "", 4))
    world.archives["ONE"].add("P6", "1.2.6", series=two)
    first = BatchTransferRow(2, "", "P6", "1.2.6", ("1.2.6.1",), "ANON6")
    same = BatchTransferRow(3, "", "P6", "", ("1.2.6.1", "1.2.6.2"), "ANON6", accession_number="A1.2.6")
    check = world.check(first, same)
    series = {one.series_uid: one for row in checks.rows(world.db, ROOT, check.id) for one in row.series}
    job = world.transfer(check)
    assert [item.planned_count for item in world.items(job)] == [7]
    expected = sum(sizes.estimated_bytes(one, one.instance_count) for one in series.values())
    with world.db.reading() as session:
        assert session.scalar(select(func.sum(ReservationRow.size_bytes))) == expected


def test_a_check_stays_as_it_is_once_a_transfer_was_made_of_it(world: World) -> None:
    rows = (ROW, BatchTransferRow(3, "", "P9", "1.9", pseudonym="ANON9"))
    check = world.check(*rows)
    world.transfer(check, RowVerdict.NOT_FOUND)
    first, _ = world.items(check)
    assert jobs.actions(world.db, ROOT, check) == set()
    assert jobs.item_actions(world.db, ROOT, first) == set()
    for change in (jobs.restart, jobs.retry, jobs.resume):
        assert "A transfer was made of this check" in refusal(change, world.db, ROOT, check.id)
    for change in (JobStore(world.db).restart, JobStore(world.db).retry_failed, JobStore(world.db).resume):
        assert "A transfer was made of this check" in refusal(change, check.id)
    assert "A transfer was made" in refusal(jobs.reset_item, world.db, ROOT, first.id)
    assert "A transfer was made" in refusal(JobStore(world.db).reset_item, first.id)
    assert "A transfer was made" in refusal(JobStore(world.db).delete_item, first.id)
    assert "A transfer was made" in refusal(jobs.delete, world.db, ROOT, check.id)


def test_who_has_looked_patients_up_can_delete_what_was_asked_and_found(world: World) -> None:
    ada, file = a_researcher(world), BatchFile("Doe.csv", b"PatientID\nP1\n")
    query = world.run(queries.submit(world.db, world.settings, ada, a_query([world.one], *query_rows(2), file=file)))
    check = world.check(ROW, actor=ada, file=file)
    for job in (query, check):
        assert job.state in FINISHED and JobAction.DELETE in jobs.actions(world.db, ada, job)
        refusal(jobs.delete, world.db, a_researcher(world, name="eve"), job.id)
        jobs.delete(world.db, ada, job.id)
    with world.db.reading() as session:
        for table in (JobRow, ItemRow, QuestionRow, AnswerRow, BatchFileRow):
            assert session.scalar(select(func.count()).select_from(table)) == 0


def test_a_check_that_is_taken_up_again_meanwhile_gives_no_transfer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = world.check(ROW)

    def asked_meanwhile(*arguments: object) -> State:
        JobStore(world.db).restart(check.id)
        return State.PENDING

    monkeypatch.setattr("services.submitting.first_state", asked_meanwhile)
    assert "it has not ended yet" in refusal(transfers.submit, world.db, world.settings, ROOT, check.id)
    assert JobStore(world.db).made_of(check.id) is None


def test_a_failed_row_waits_and_has_not_failed_when_it_is_retried(world: World) -> None:
    check = world.check(ROW)
    (item,) = world.items(check)
    with world.db.transaction() as session:
        session.execute(update(AnswerRow).values(verdict=RowVerdict.FAILED.value))
        session.execute(update(ItemRow).where(ItemRow.id == item.id).values(state=State.FAILURE))
        session.execute(update(JobRow).where(JobRow.id == check.id).values(state=State.FAILURE))
    jobs.retry(world.db, ROOT, check.id)
    outcome = checks.outcome(world.db, ROOT, check.id)
    assert (outcome.waiting, outcome.of) == (1, {})
    assert world.verdicts(check) == [None]


def test_what_is_there_already_is_told_and_moved_again_only_when_asked_for(world: World) -> None:
    world.deliver(world.transfer(world.check(*transfer_rows(2), trial_protocol_id="LUNG")))
    check = world.check(*transfer_rows(3), trial_protocol_id="LUNG")
    there, found = RowVerdict.ALREADY_THERE, RowVerdict.FOUND
    assert world.verdicts(check) == [there, there, found]
    assert "2 at the destination already" in refusal(transfers.submit, world.db, world.settings, ROOT, check.id)
    assert len(world.items(world.transfer(check, there))) == 1
    assert len(world.items(world.transfer(world.check(*transfer_rows(3), trial_protocol_id="LUNG"), again=True))) == 3
    assert world.verdicts(world.check(*transfer_rows(1), trial_protocol_id="OTHER")) == [found]
    assert world.verdicts(world.check(*transfer_rows(1))) == [found], "without a trial nothing is the same there"


def test_a_study_that_has_grown_or_of_which_only_a_series_was_moved_is_not_there(world: World) -> None:
    two = (("CT", "1", "", 3), ("MR", "2", "", 4))
    world.archives["ONE"].add("P6", "1.2.6", series=two)
    one_series = BatchTransferRow(2, "", "P6", "1.2.6", ("1.2.6.1",), "ANON6")
    world.deliver(world.transfer(world.check(one_series, ROW, trial_protocol_id="LUNG")))
    whole = replace(one_series, series_uids=())
    other = replace(one_series, series_uids=("1.2.6.2",))
    for row, verdict in (
        (one_series, RowVerdict.ALREADY_THERE),
        (whole, RowVerdict.FOUND),
        (other, RowVerdict.FOUND),
        (ROW, RowVerdict.ALREADY_THERE),
    ):
        assert world.verdicts(world.check(row, trial_protocol_id="LUNG")) == [verdict]
    archive = world.archives["ONE"]
    archive.series["1.2.1"] = [replace(archive.series["1.2.1"][0], instance_count=4)]
    assert world.verdicts(world.check(ROW, trial_protocol_id="LUNG")) == [RowVerdict.FOUND]


def test_an_archive_is_asked_itself_what_it_has_by_the_uids_of_the_trial(world: World) -> None:
    scope = world.transfer(world.check(*transfer_rows(2), to=world.two, trial_protocol_id="LUNG")).scope_id
    key, there = linkage_key(world.db, scope), world.archives["TWO"]
    there.add("ANON1", key.uid("1.2.1"))
    there.series[key.uid("1.2.1")] = [replace(world.archives["ONE"].series["1.2.1"][0], series_uid=key.uid("1.2.1.1"))]
    check = world.check(*transfer_rows(2), to=world.two, trial_protocol_id="LUNG")
    assert world.verdicts(check) == [RowVerdict.ALREADY_THERE, RowVerdict.FOUND]
    assert world.verdicts(world.check(*transfer_rows(1), to=world.two)) == [RowVerdict.FOUND]
    there.add("P1", "1.2.1")
    bare = replace(ROW, pseudonym="")
    kept = world.check(bare, to=world.two, keep_identity=True)
    assert world.verdicts(kept) == [RowVerdict.ALREADY_THERE]


def test_a_profile_that_is_gone_fails_the_rows_and_not_the_worker(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = a_transfer(world.one, world.folder, *transfer_rows(2))
    check = checks.submit(world.db, world.settings, ROOT, request)

    def gone(*_: object) -> None:
        raise ProfileInvalid("There is no such profile.")

    monkeypatch.setattr(profiles, "policy_now", gone)
    assert world.run(check).state is State.FAILURE
    assert world.verdicts(check) == [RowVerdict.FAILED] * 2


def test_only_the_owner_makes_a_transfer_of_a_check(world: World) -> None:
    ada = a_researcher(world)
    check = world.check(*transfer_rows(1), actor=ada)
    assert "NotPermitted" in refusal(transfers.submit, world.db, world.settings, ROOT, check.id)
    with pytest.raises(NotFound):
        world.transfer(check, actor=a_researcher(world, name="eve"))
    poorer = replace(ada, permissions=frozenset({Permission.ADD_BATCH_QUERY}))
    assert "NotPermitted" in refusal(transfers.submit, world.db, world.settings, poorer, check.id)
    assert world.transfer(check, actor=ada).owner == "ada"


# Files


def test_results_are_a_file_that_a_transfer_takes_without_editing(world: World) -> None:
    rows = [replace(row, pseudonym=f"ANON{row.line}") for row in query_rows(3)]
    rows.append(replace(rows[0], line=9, patient_id="P77", row_id="R77", pseudonym=""))
    query = world.run(queries.submit(world.db, world.settings, ROOT, a_query([world.one, world.two], *rows)))
    for kind in ("xlsx", "csv"):
        made = results.export(world.db, ROOT, query.id, kind)  # type: ignore[arg-type]
        assert made.name == f"batch_query_job_{query.id}_results.{kind}"
        found = check_transfer(*_read(made.data))
        assert found.is_good, found.problems
        told = [(row.patient_id, row.study_uid, row.pseudonym, row.row_id) for row in found.rows]
        assert told == [(f"P{n}", f"1.2.{n}", f"ANON{n + 1}", f"R{n}") for n in (1, 2, 3)]
        assert len(found.skipped_lines) == 5, "TWO knows nobody, and ONE not the last"
    lines = [entry.subject for entry in audit.entries(world.db, ROOT) if entry.action is AuditAction.DOWNLOAD]
    assert lines == [f"results of job {query.id}"] * 2
    check = world.check(*found.rows)
    assert world.verdicts(check) == [RowVerdict.FOUND] * 3


def test_results_are_given_out_when_all_has_ended(world: World) -> None:
    query = queries.submit(world.db, world.settings, ROOT, a_query([world.one], *query_rows(1)))
    assert "job: it has not ended" in refusal(results.export, world.db, ROOT, query.id)


def test_the_file_comes_back_with_a_verdict_behind_each_row(world: World) -> None:
    del world.archives["ONE"].studies[1]
    check = world.check(*transfer_rows(2), file=BatchFile("Doe.csv", CSV))
    assert _verdicts_in(world, check) == [
        "Found. 3 instances in 1 series.",
        "Not found. The source has no study with this Study Instance UID.",
    ]
    job = world.transfer(check, RowVerdict.NOT_FOUND)
    assert _verdicts_in(world, job)[0] == "Waiting."
    world.deliver(job)
    done, left = _verdicts_in(world, job)
    assert done == "Done. 3 instances transferred and confirmed."
    assert left.startswith("Left out. Not found.")
    request = a_query([world.one, world.two], *query_rows(2), file=BatchFile("x.csv", CSV))
    query = world.run(queries.submit(world.db, world.settings, ROOT, request))
    first, _ = _verdicts_in(world, query)
    assert first == "ONE: Done. 1 study found. TWO: Failed. The server knows no patient with this ID."
    names = [entry.subject for entry in audit.entries(world.db, ROOT) if entry.action is AuditAction.DOWNLOAD]
    assert names[0] == f"file of job {query.id}"


def test_a_job_without_a_file_has_none_to_give_back(world: World) -> None:
    check = world.check(*transfer_rows(1))
    for job in (check, world.transfer(check)):
        with pytest.raises(NotFound):
            verdicts.file(world.db, ROOT, job.id)


def _read(data: bytes) -> tuple[Table, Limits]:
    limits = limits_of(BatchKind.TRANSFER, is_staff=True)
    return read_table(data, limits), limits


def _verdicts_in(world: World, job: Job) -> list[str]:
    made = verdicts.file(world.db, ROOT, job.id)
    assert made.name == f"{job.kind.value}_job_{job.id}_checked.csv"
    lines = made.data.decode().strip().split("\r\n")
    assert lines[0].endswith("Verdict")
    return [line.split(";")[-1] for line in lines[1:]]


# A trial that is forgotten


def test_forgetting_a_trial_takes_the_files_and_rows_of_its_checks_with_it(world: World) -> None:
    """They hold patients beside pseudonyms, which would be an escrow that nobody asked for."""
    file = BatchFile("a.csv", CSV)
    check = world.check(*transfer_rows(2), trial_protocol_id="LUNG", file=file)
    other = world.check(*transfer_rows(2), trial_protocol_id="OTHER", file=file)
    unused = world.check(*transfer_rows(1), trial_protocol_id="LUNG", file=file)
    job = world.transfer(check)
    world.deliver(job)
    escrow.forget(world.db, ROOT, "LUNG", "the study has ended")
    for gone in (check, unused):
        assert checks.rows(world.db, ROOT, gone.id) == ()
        with pytest.raises(NotFound):
            verdicts.file(world.db, ROOT, gone.id)
    for item in world.items(job):
        assert (item.pseudonym, item.row_id) == ("", "")
    assert "nothing is left" in refusal(transfers.submit, world.db, world.settings, ROOT, unused.id)
    assert len(checks.rows(world.db, ROOT, other.id)) == 2
    assert verdicts.file(world.db, ROOT, other.id).data


def test_forgetting_a_single_job_takes_its_check_with_it(world: World) -> None:
    check = world.check(*transfer_rows(1), file=BatchFile("a.csv", CSV))
    job = world.transfer(check)
    world.deliver(job)
    escrow.forget(world.db, ROOT, job.id, "the study has ended")
    assert checks.rows(world.db, ROOT, check.id) == ()


def test_a_trial_is_not_forgotten_while_a_check_for_it_runs(world: World) -> None:
    world.deliver(world.transfer(world.check(*transfer_rows(1), trial_protocol_id="LUNG")))
    request = a_transfer(world.one, world.folder, *transfer_rows(1), trial_protocol_id="LUNG")
    checks.submit(world.db, world.settings, ROOT, request)
    assert "WrongState" in refusal(escrow.forget, world.db, ROOT, "LUNG", "the study has ended")
