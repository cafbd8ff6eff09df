"""A cohort in a browser: a spreadsheet with mistakes, mended, queried, checked, transferred, and told row by row."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from openpyxl import Workbook, load_workbook
from playwright.sync_api import expect

from deployments.demo.studies import StudyFiles, identifying_values, write_ct
from models.domain.jobs import State
from models.domain.people import Permission
from services import jobs
from tests.accessibility import lasting_problems
from tests.clinic import Clinic, Window
from tests.installation import TESTER
from tests.peers import Peer
from tests.planted import planted_in

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1500)]

PATIENTS, STUDIES = 20, 52
HEADINGS = ["RowID", "PatientID", "Modality", "From", "Pseudonym"]
UNKNOWN = "PATID9999999"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> list[StudyFiles]:
    """52 small CT studies of 20 patients."""
    directory = tmp_path_factory.mktemp("cohort")
    return [
        write_ct(directory / str(number), 201 + number % PATIENTS, 201 + number, (1, 1), 16, 16)
        for number in range(STUDIES)
    ]


def a_file(rows: Sequence[Sequence[str]]) -> bytes:
    book = Workbook()
    sheet = book.worksheets[0]
    sheet.append(HEADINGS)
    for row in rows:
        sheet.append(list(row))
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


def rows_of(cohort: Sequence[StudyFiles]) -> list[list[str]]:
    ids = list(dict.fromkeys(study.patient_id for study in cohort))
    assert len(ids) == PATIENTS
    rows = [[f"row-{number}", patient_id, "CT", "", f"SUBJ-{number:02d}"] for number, patient_id in enumerate(ids, 1)]
    return [*rows, ["row-unknown", UNKNOWN, "CT", "", "SUBJ-99"]]


def hand_in(window: Window, content: bytes, name: str = "cohort.xlsx") -> None:
    window.page.locator("input[type=file]").set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    )
    expect(window.keyed("batch-file")).to_be_visible()
    window.settle()


def describe(window: Window, prefix: str) -> None:
    window.enter(f"{prefix}project_name", "Nodules over time")
    window.enter(f"{prefix}project_description", "Do nodules grow?")


def downloaded(window: Window, key: str) -> bytes:
    with window.page.expect_download() as download:
        window.press(key)
    return Path(download.value.path()).read_bytes()


def looked_at(window: Window, state: str) -> list[str]:
    """What axe-core finds wrong with a page as it is now."""
    window.settle()
    return [f"{state}: {problem}" for problem in lasting_problems(window)]


def job_at(window: Window) -> int:
    window.page.wait_for_url("**/job?id=*")
    return int(window.page.url.rpartition("=")[2])


def table_of(content: bytes) -> list[Mapping[str, str]]:
    headings, *rows = load_workbook(io.BytesIO(content)).worksheets[0].iter_rows(values_only=True)
    return [{str(name): str(value or "") for name, value in zip(headings, row, strict=True)} for row in rows]


def lose(pacs: Peer, study_uid: str) -> None:
    found = pacs.rest("/tools/find", {"Level": "Study", "Query": {"StudyInstanceUID": study_uid}})
    assert isinstance(found, list) and len(found) == 1
    pacs.rest(f"/studies/{found[0]}", method="DELETE")


def test_a_spreadsheet_becomes_a_finished_cohort(a_clinic: Clinic, cohort: list[StudyFiles]) -> None:
    for study in cohort:
        a_clinic.pacs.upload(study.files)
    a_clinic.researcher("cecilia", Permission.ADD_BATCH_QUERY)
    rows, lost = rows_of(cohort), cohort[0]
    wrong = [list(row) for row in rows]
    wrong[2][2], wrong[4][3], wrong[6][1] = "", "soon", "PATID*"
    with a_clinic.window("cecilia") as cecilia:
        # a file with mistakes: all are shown at once, and nothing is made
        cecilia.open("/batch-query")
        hand_in(cecilia, a_file(wrong))
        cecilia.sees("There are 3 problems")
        expect(cecilia.table("Problems of the file").column(0)).to_have_text(["4", "6", "8"])
        found_wrong = looked_at(cecilia, "problems")
        marked = table_of(downloaded(cecilia, "annotated"))
        assert [number for number, row in enumerate(marked) if row["Problems"]] == [2, 4, 6]

        # the file without them: a query
        cecilia.press("another-file")
        hand_in(cecilia, a_file(rows))
        found_wrong += looked_at(cecilia, "query-form")
        describe(cecilia, "query-job-")
        cecilia.press("send")
        query_id = job_at(cecilia)
        a_clinic.wait_for_end(query_id, State.FAILURE)  # one patient is not known
        cecilia.sees("Your file with a verdict for each row")
        found_wrong += looked_at(cecilia, "query-job")
        told = table_of(downloaded(cecilia, "verdict-file"))
        assert len(told) == PATIENTS + 1
        assert told[-1]["Verdict"].startswith("Failed. The server knows no patient")
        assert all(row["Verdict"].startswith("Done.") for row in told[:-1])
        export = downloaded(cecilia, "results-xlsx")
        found = table_of(export)
        assert {row["StudyInstanceUID"] for row in found if row["QueryResult"] == "found"} == {
            study.study_uid for study in cohort
        }
        assert [row["PatientID"] for row in found if row["QueryResult"] != "found"] == [UNKNOWN]

        # what it has found, as it is: the check of a transfer, for which one study has gone meanwhile
        lose(a_clinic.pacs, lost.study_uid)
        cecilia.open("/batch-transfer")
        hand_in(cecilia, export, "results.xlsx")
        cecilia.sees(f"{STUDIES} rows")
        cecilia.pick("batch-destination", "RESEARCH")
        found_wrong += looked_at(cecilia, "transfer-form")
        describe(cecilia, "batch-")
        cecilia.enter("batch-ethics_application_id", "S-123/2026")
        cecilia.press("send")
        check_id = job_at(cecilia)
        a_clinic.wait_for_end(check_id, State.WARNING)  # one study is not found
        cecilia.sees("1 study: not found.")
        found_wrong += looked_at(cecilia, "check-job")
        expect(cecilia.keyed("check-totals")).to_contain_text(str(2 * (STUDIES - 1)))
        before = set(a_clinic.research.sop_uids())

        # the transfer
        expect(cecilia.keyed("transfer").get_by_role("button")).to_be_disabled()
        cecilia.tick(f"leave-out-not_found-{check_id}")
        expect(cecilia.keyed("transfer").get_by_role("button")).to_be_enabled()
        cecilia.press("transfer")
        cecilia.sees(f"To its check, job {check_id}")
        job_id = job_at(cecilia)
        a_clinic.stack.wait_for_end(jobs.get(a_clinic.stack.installation.db, TESTER, job_id), timeout_s=900)
        a_clinic.wait_for_end(job_id, State.SUCCESS)
        cecilia.open(f"/job?id={job_id}")
        found_wrong += looked_at(cecilia, "transfer-job")
        verdicts = table_of(downloaded(cecilia, "verdict-file"))
    assert found_wrong == []

    # every row of the file has its verdict
    assert len(verdicts) == len(found)
    by_study = {row["StudyInstanceUID"]: row["Verdict"] for row in verdicts}
    assert by_study.pop(lost.study_uid).startswith("Left out. Not found.")
    assert by_study.pop("") == ""  # the patient whom the query did not find
    assert set(by_study) == {study.study_uid for study in cohort[1:]}
    assert all(verdict.startswith("Done.") for verdict in by_study.values()), by_study

    # what has arrived names nobody
    arrived = {uid: data for uid, data in a_clinic.research.files().items() if uid not in before}
    assert len(arrived) == 2 * (STUDIES - 1)
    planted = identifying_values(cohort, with_devices=False)
    assert not planted_in(arrived.values(), planted)
    assert {row[4] for row in rows[:-1]} == {
        item.pseudonym for item in jobs.items(a_clinic.stack.installation.db, TESTER, job_id)
    }
