"""Batch files against real archives: looked up, checked, moved, and given back; killed and down in the meantime."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from itertools import count
from pathlib import Path

import pytest
from openpyxl import load_workbook
from pydicom import dcmread

from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from models.db.jobs import JobStore
from models.domain.answers import ResultRow, RowVerdict
from models.domain.batch_requests import BatchFile
from models.domain.batches import BatchKind, BatchQueryRow, BatchTransferRow
from models.domain.jobs import Job, State
from models.domain.nodes import Server
from services.batch_files.checking import check_query, check_transfer
from services.batch_files.limits import limits_of
from services.batch_files.reading import read_table
from services.batches import checks, queries, results, transfers, verdicts
from tests.batches import a_query, a_transfer
from tests.installation import DICOMWEB, DIMSE_GET, TESTER, Installation
from tests.peers import UNCHECKED, Peer, free_port, orthanc

NUMBERS = count(1)
PROTOCOLS = {"c-find": DIMSE_GET, "patient root": DIMSE_GET | {"patient_root_find_support": True}, "qido": DICOMWEB}
PATIENTS = 6
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Site:
    """Two hospital archives, a research archive, and the installation between them.

    ``ct`` holds a CT study of two series for each patient, ``mr`` an MR study of the first two, at the same archive.
    """

    installation: Installation
    hospital: Peer
    annex: Peer
    research: Peer
    ct: Sequence[StudyFiles]
    mr: Sequence[StudyFiles]
    other: StudyFiles

    def server(self, peer: Peer, capabilities: dict[str, object] = DIMSE_GET, **fields: object) -> Server:
        number = next(NUMBERS)
        return self.installation.server(peer, f"server {number}", ae_title=f"S{number}", **(capabilities | fields))

    def query(self, sources: Sequence[Server], *rows: BatchQueryRow, **fields: object) -> Job:
        request = a_query([source.id for source in sources], *rows, **fields)
        job = queries.submit(self.installation.db, self.installation.settings, TESTER, request)
        self.installation.run(job)
        return job

    def check(self, source: Server, target: Server, *rows: BatchTransferRow, **fields: object) -> Job:
        request = a_transfer(source.id, target.id, *rows, **fields)
        job = checks.submit(self.installation.db, self.installation.settings, TESTER, request)
        self.installation.run(job)
        return job

    def transfer(self, check: Job, *leave_out: RowVerdict, again: bool = False) -> Job:
        db, settings = self.installation.db, self.installation.settings
        job = transfers.submit(db, settings, TESTER, check.id, leave_out, again)
        self.installation.run(job)
        return JobStore(db).get(job.id)

    def results(self, job: Job) -> tuple[ResultRow, ...]:
        return results.page(self.installation.db, TESTER, job.id)

    def found(self, job: Job) -> list[tuple[int, str]]:
        """The line of each answer, and the study that it names."""
        return [(row.lines[0], row.answer.study.study_uid) for row in self.results(job) if row.answer]

    def verdicts(self, check: Job) -> list[RowVerdict | None]:
        return [row.verdict for row in checks.rows(self.installation.db, TESTER, check.id)]

    def at_research(self) -> dict[str, set[str]]:
        """How the patients at the research archive are called, with their studies."""
        found: dict[str, set[str]] = {}
        for content in self.research.files().values():
            header = dcmread(BytesIO(content), stop_before_pixels=True)
            found.setdefault(str(header.PatientID), set()).add(str(header.StudyInstanceUID))
        return found


@pytest.fixture(scope="module")
def a_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("site")
    small = {"rows": 16, "columns": 16}
    ct = [studies.write_ct(root / f"ct{n}", n, n, (3, 2), **small) for n in range(1, PATIENTS + 1)]
    mr = [studies.write_mr(root / f"mr{n}", n, 20 + n, (2,), **small) for n in (1, 2)]
    other = studies.write_ct(root / "other", 1, 40, (4,), **small)
    with (
        orthanc(root / "a", "HOSPITAL", settings=UNCHECKED) as hospital,
        orthanc(root / "b", "ANNEX", settings=UNCHECKED) as annex,
        orthanc(root / "c", "RESEARCH", settings=UNCHECKED) as research,
    ):
        hospital.upload([file for study in (*ct, *mr) for file in study.files])
        annex.upload(other.files)
        yield Site(Installation(root / "adit", retry_wait_s=60), hospital, annex, research, ct, mr, other)


@pytest.fixture
def empty_research(a_site: Site) -> None:
    for study in a_site.research.rest("/studies"):  # type: ignore[attr-defined]
        a_site.research.rest(f"/studies/{study}", method="DELETE")


def by_id(study: StudyFiles, line: int = 2, **fields: object) -> BatchQueryRow:
    row = BatchQueryRow(line, f"R{line}", study.patient_id, modalities=("CT",), pseudonym=f"SUBJ-{line:02d}")
    return replace(row, **fields)  # type: ignore[arg-type]


def by_name(study: StudyFiles, line: int = 2, **fields: object) -> BatchQueryRow:
    born = datetime.strptime(study.birth_date, "%Y%m%d").date()
    told = {"patient_id": "", "patient_name": study.patient_name, "birth_date": born} | fields
    return by_id(study, line, **told)


def row_of(study: StudyFiles, line: int = 2, **fields: object) -> BatchTransferRow:
    row = BatchTransferRow(line, f"R{line}", study.patient_id, study.study_uid, pseudonym=f"SUBJ-{line:02d}")
    return replace(row, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_patients_are_found_by_id_and_by_name_with_birth_date(a_site: Site, protocol: str) -> None:
    source = a_site.server(a_site.hospital, PROTOCOLS[protocol])
    one, two = a_site.ct[0], a_site.ct[1]
    job = a_site.query(
        [source],
        by_id(one),
        by_name(two, 3),
        by_id(one, 4, patient_name=one.patient_name, birth_date=by_name(one).birth_date),
        by_id(one, 5, patient_name="Somebody^Else"),
        by_id(one, 6, patient_id="NOBODY"),
        by_name(two, 7, birth_date=date(1900, 1, 1)),
        by_id(one, 8, modalities=("US",)),
    )
    assert a_site.found(job) == [(2, one.study_uid), (3, two.study_uid), (4, one.study_uid)]
    codes = {item.lines[0]: (item.state, item.error_code) for item in a_site.installation.items(job)}
    assert codes == {
        **dict.fromkeys((2, 3, 4, 8), (State.SUCCESS, "")),
        5: (State.FAILURE, "IdentityConflict"),
        **dict.fromkeys((6, 7), (State.FAILURE, "NotFound")),
    }
    answer = a_site.results(job)[0].answer
    assert answer is not None and answer.study.instance_count == len(one.files)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_several_modalities_give_each_study_once_and_series_are_narrowed(a_site: Site, protocol: str) -> None:
    source = a_site.server(a_site.hospital, PROTOCOLS[protocol])
    one = a_site.ct[0]
    job = a_site.query(
        [source],
        by_id(one, 2, modalities=("CT", "MR", "SR")),
        by_id(one, 3, series_numbers=("2", "7")),
        by_id(one, 4, series_description="Routine*"),
        by_id(one, 5, series_description="Nothing*"),
        by_id(one, 6, accession_number="NOBODYS", modalities=()),
    )
    assert {study for line, study in a_site.found(job) if line == 2} == {one.study_uid, a_site.mr[0].study_uid}
    series = [(row.lines[0], row.answer.series) for row in a_site.results(job) if row.answer and row.answer.series]
    told = [(line, one.number, one.instance_count) for line, one in series]
    assert told == [(3, "2", 2), (4, "1", 3), (4, "2", 2)]
    assert {item.state for item in a_site.installation.items(job)} == {State.SUCCESS}


def test_two_archives_are_asked_in_one_job(a_site: Site) -> None:
    hospital, annex = a_site.server(a_site.hospital), a_site.server(a_site.annex, DICOMWEB)
    job = a_site.query([hospital, annex], by_id(a_site.ct[0]), by_id(a_site.ct[2], 3))
    told = [(row.lines[0], row.source_id, row.answer and row.answer.study.study_uid) for row in a_site.results(job)]
    assert told == [
        (2, hospital.id, a_site.ct[0].study_uid),
        (2, annex.id, a_site.other.study_uid),
        (3, hospital.id, a_site.ct[2].study_uid),
        (3, annex.id, None),
    ]


@pytest.mark.usefixtures("empty_research")
def test_a_list_of_patients_becomes_a_cohort_and_comes_back_with_verdicts(a_site: Site) -> None:
    """File, query, its export as it is, check, transfer, and the same file with a verdict in each row."""
    db, source, target = a_site.installation.db, a_site.server(a_site.hospital), a_site.server(a_site.research)
    lines = [f"R{n};{study.patient_id};CT;SUBJ-{n:02d}" for n, study in enumerate(a_site.ct, start=1)]
    file = "\r\n".join(["RowID;PatientID;Modality;Pseudonym", *lines, "R9;NOBODY;CT;SUBJ-09"]).encode()
    asked = check_query(read_table(file, limits_of(BatchKind.QUERY, False)), limits_of(BatchKind.QUERY, False))
    assert asked.is_good, asked.problems
    query = a_site.query([source], *asked.rows, file=BatchFile("patients.csv", file))
    exported = results.export(db, TESTER, query.id, "xlsx")

    limits = limits_of(BatchKind.TRANSFER, False)
    wanted = check_transfer(read_table(exported.data, limits), limits)
    assert wanted.is_good, wanted.problems
    assert len(wanted.rows) == PATIENTS and len(wanted.skipped_lines) == 1
    missing = BatchTransferRow(50, "R50", "PATID9999999", "1.2.3.4.5", pseudonym="SUBJ-50")
    check = a_site.check(
        source, target, *wanted.rows, missing, file=BatchFile(exported.name, exported.data), trial_protocol_id="COHORT"
    )
    outcome = checks.outcome(db, TESTER, check.id)
    assert outcome.has_ended and outcome.instances == sum(len(study.files) for study in a_site.ct)
    assert {verdict: tally.studies for verdict, tally in outcome.of.items()} == {
        RowVerdict.FOUND: PATIENTS,
        RowVerdict.NOT_FOUND: 1,
    }

    job = a_site.transfer(check, RowVerdict.NOT_FOUND)
    assert a_site.transfer(check, RowVerdict.NOT_FOUND).id == job.id
    assert job.state is State.SUCCESS, [item.message for item in a_site.installation.items(job)]
    assert set(a_site.at_research()) == {f"SUBJ-{n:02d}" for n in range(1, PATIENTS + 1)}
    assert len(a_site.research.sop_uids()) == sum(len(study.files) for study in a_site.ct)

    sheet = load_workbook(BytesIO(verdicts.file(db, TESTER, job.id).data)).worksheets[0]
    told = [[cell.value for cell in row] for row in sheet.iter_rows()]
    place = told[0].index("Verdict")
    assert [row[place] for row in told[1:]] == ["Done. 5 instances transferred and confirmed."] * PATIENTS + [None]

    again = a_site.check(source, target, *wanted.rows, trial_protocol_id="COHORT")
    assert set(a_site.verdicts(again)) == {RowVerdict.ALREADY_THERE}
    assert set(a_site.verdicts(a_site.check(source, target, *wanted.rows[:2]))) == {RowVerdict.FOUND}
    a_site.research.rest(f"/studies/{_first_study(a_site.research)}", method="DELETE")
    once_more = a_site.check(source, target, *wanted.rows, trial_protocol_id="COHORT")
    assert sorted(filter(None, a_site.verdicts(once_more)))[:2] == [RowVerdict.ALREADY_THERE] * 2
    assert a_site.verdicts(once_more).count(RowVerdict.FOUND) == 1


@pytest.mark.usefixtures("empty_research")
def test_every_kind_of_row_gets_its_verdict(a_site: Site) -> None:
    source, target = a_site.server(a_site.hospital), a_site.server(a_site.research, DICOMWEB)
    a_site.installation.settings = a_site.installation.settings.model_copy(update={"exclude_modalities": ("MR",)})
    one, two, three = a_site.ct[:3]
    day = datetime.strptime(studies.STUDY_DATE, "%Y%m%d").date()
    unresolved = BatchTransferRow(0, patient_id=three.patient_id, study_date=day, pseudonym="SUBJ-03")
    try:
        check = a_site.check(
            source,
            target,
            row_of(one),
            row_of(two, 3, patient_id="PATID0000009", pseudonym="SUBJ-09"),
            row_of(a_site.mr[0], 4, pseudonym="SUBJ-02"),
            replace(unresolved, line=5),
            replace(unresolved, line=6, patient_id=two.patient_id, pseudonym="SUBJ-06"),
            replace(unresolved, line=7, patient_id=a_site.ct[3].patient_id, modalities=("US",), pseudonym="SUBJ-07"),
            row_of(a_site.ct[4], 8, series_uids=("1.2.3",)),
        )
    finally:
        a_site.installation.settings = a_site.installation.settings.model_copy(update={"exclude_modalities": ()})
    assert a_site.verdicts(check) == [
        RowVerdict.FOUND,
        RowVerdict.MISMATCH,
        RowVerdict.EXCLUDED,
        RowVerdict.FOUND,
        RowVerdict.AMBIGUOUS,
        RowVerdict.NOT_FOUND,
        RowVerdict.NOT_FOUND,
    ]
    left_out = [verdict for verdict in RowVerdict if verdict is not RowVerdict.FOUND]
    job = a_site.transfer(check, *left_out)
    assert job.state is State.SUCCESS
    assert set(a_site.at_research()) == {"SUBJ-02", "SUBJ-03"}


@pytest.mark.usefixtures("empty_research")
def test_a_study_that_has_changed_since_its_check_ends_with_a_warning(a_site: Site, tmp_path: Path) -> None:
    source, target = a_site.server(a_site.annex), a_site.server(a_site.research)
    study = studies.write_ct(tmp_path / "growing", 50, 50, (3,), rows=16, columns=16)
    a_site.annex.upload(study.files[:2])
    check = a_site.check(source, target, row_of(study))
    a_site.annex.upload(study.files[2:])
    job = a_site.transfer(check)
    (item,) = a_site.installation.items(job)
    assert (item.planned_count, item.state, job.state) == (2, State.WARNING, State.WARNING)
    assert item.message.startswith("The check saw 2 instances, and the source lists 3 now.")
    assert len(a_site.research.sop_uids()) == 3, "all of it is there, but it is said"


def test_an_archive_that_is_down_for_a_while_holds_up_nobody(a_site: Site, tmp_path: Path) -> None:
    ports = (free_port(), free_port())
    hospital = a_site.server(a_site.hospital)
    number = next(NUMBERS)
    down = a_site.installation.server(
        replace(a_site.annex, port=ports[0], http_port=ports[1]), f"down {number}", ae_title=f"D{number}", **DIMSE_GET
    )
    job = a_site.query([down, hospital], by_id(a_site.ct[0]), by_id(a_site.ct[1], 3))
    states = {(item.source_id, item.state, item.error_code) for item in a_site.installation.items(job)}
    assert states == {(hospital.id, State.SUCCESS, ""), (down.id, State.PENDING, "Unreachable")}
    db = a_site.installation.db
    clock = db.clock
    with orthanc(tmp_path / "down", "DOWN", settings=UNCHECKED, ports=ports) as archive:
        archive.upload(a_site.ct[0].files)
        db.clock = lambda: datetime.now(UTC) + timedelta(minutes=5)
        try:
            a_site.installation.run(job)
        finally:
            db.clock = clock
    told = [(row.lines[0], row.source_id, row.state) for row in a_site.results(job)]
    assert told == [
        (2, down.id, State.SUCCESS),
        (2, hospital.id, State.SUCCESS),
        (3, down.id, State.FAILURE),
        (3, hospital.id, State.SUCCESS),
    ]


WORKER = """
import sys
from flows.questions import ask_through
from models.db.engine import open_database
from models.settings import settings
from tasks.ask import ask_bundle
ask_through(open_database(settings()), settings(), int(sys.argv[1]), ask_bundle)
"""


def test_a_worker_that_is_killed_leaves_no_row_out_and_answers_none_twice(a_site: Site) -> None:
    installation, source = a_site.installation, a_site.server(a_site.hospital)
    rows = [by_id(a_site.ct[number % PATIENTS], number + 2) for number in range(300)]
    request = a_query([source.id], *rows)
    job = queries.submit(installation.db, installation.settings, TESTER, request)
    settings = installation.settings
    environment = os.environ | {
        "ADIT_DATA_DIR": str(settings.data_dir),
        "ADIT_MASTER_KEY": settings.master_key.get_secret_value(),
        "PYTHONPATH": str(ROOT),
    }
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(job.id)], env=environment, cwd=settings.data_dir)
    while results.count(installation.db, TESTER, job.id) < 20 and worker.poll() is None:
        time.sleep(0.005)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    db = installation.db
    clock = db.clock
    db.clock = lambda: datetime.now(UTC) + timedelta(minutes=5)
    try:
        installation.run(job)
    finally:
        db.clock = clock
    expected = [(row.line, a_site.ct[number % PATIENTS].study_uid) for number, row in enumerate(rows)]
    found = results.page(db, TESTER, job.id, limit=1000)
    assert [(row.lines[0], row.answer.study.study_uid) for row in found if row.answer] == expected
    assert JobStore(db).get(job.id).state is State.SUCCESS


def _first_study(peer: Peer) -> str:
    found = peer.rest("/studies")
    assert isinstance(found, list)
    return str(found[0])
