"""Batch files over REST: refused with all that is wrong, accepted once, asked, checked, moved and given back."""

import tempfile
from io import BytesIO
from typing import Any, NoReturn

import httpx
import pytest
from openpyxl import load_workbook

from api.traffic import LARGEST_BODY
from flows.questions import ask_through
from models.domain.jobs import JobKind, State
from models.domain.tokens import Operation
from tasks.ask import ask_bundle
from tests.api_site import Site
from tests.memory_archive import MemoryArchive, played

PROJECT = {"project_name": "Lung study", "project_description": "Nodules over time."}
CHECK = {**PROJECT, "source": "PACS", "destination": "Folder", "ethics_application_id": "S-1/2026"}
QUERY = b"RowID,PatientID,Modality,Pseudonym\nR1,DOE-1,CT,ANON1\nR2,NOBODY,CT,ANON2\n"
TRANSFER = b"PatientID,StudyInstanceUID,Pseudonym\nDOE-1,1.2.1,ANON1\nDOE-9,1.2.9,ANON9\n"
BAD = b"PatientID,Modality,PatientBirthDate\nDoe*,CT,\n,CT,Doe-03-04\nDOE-1,,\n"


@pytest.fixture
def ada(site: Site) -> str:
    """The token of somebody who may do all that batch files need."""
    return site.token("ada")


def send(site: Site, path: str, token: str, file: bytes, fields: dict[str, Any], **headers: str) -> httpx.Response:
    return site.ask("POST", path, token, data=fields, files={"file": ("Doe.csv", file)}, headers=headers)


def work(site: Site, job_id: int) -> None:
    """Ask an archive that has a study of the patient DOE-1."""
    archive = MemoryArchive()
    archive.add("DOE-1", "1.2.1")
    with played(PACS=archive):
        ask_through(site.db, site.settings, job_id, ask_bundle)


def jobs_of(site: Site, token: str) -> int:
    return site.ask("GET", "/v1/jobs", token).json()["total"]


def test_all_problems_of_a_file_are_told_by_line_and_column_and_no_cell_is(site: Site, ada: str) -> None:
    told = send(site, "/v1/batch-files/check", ada, BAD, {"kind": "query"}).json()
    assert not told["is_good"]
    places = {(each["row"], each["column"]) for each in told["problems"] if each["weight"] == "error"}
    assert {row for row, _ in places} == {2, 3, 4}
    refused = send(site, "/v1/batch-queries", ada, BAD, PROJECT)
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    assert {(each["row"], each["column"]) for each in refused.json()["problems"]} >= places
    assert set(refused.json()["errors"]) == {"file"}
    assert "Doe" not in refused.text + str(told)
    assert jobs_of(site, ada) == 1, "only the one that was there before"


def test_what_is_no_spreadsheet_is_refused_as_the_file(site: Site, ada: str) -> None:
    for content in (b"%PDF-1.4", b"PK\x03\x04Doe", b" "):
        refused = send(site, "/v1/batch-queries", ada, content, PROJECT)
        assert refused.status_code == 422, refused.text
        assert refused.json()["code"] == "BadRequest"
        assert "Doe" not in refused.text


@pytest.mark.parametrize("ending", ["xlsx", "csv"])
@pytest.mark.parametrize("kind", ["query", "transfer"])
def test_a_sample_is_accepted_by_the_check(site: Site, ada: str, kind: str, ending: str) -> None:
    sample = site.ask("GET", f"/v1/batch-files/{kind}/sample.{ending}", ada)
    assert sample.headers["content-disposition"].endswith(f'sample.{ending}"')
    told = send(site, "/v1/batch-files/check", ada, sample.content, {"kind": kind}).json()
    assert told["is_good"]
    template = site.ask("GET", f"/v1/batch-files/{kind}/template.{ending}", ada)
    assert not send(site, "/v1/batch-files/check", ada, template.content, {"kind": kind}).json()["is_good"]


def test_a_file_is_neither_written_to_disk_nor_bounded_as_other_bodies_are(
    site: Site, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_disk(*_: object) -> NoReturn:
        raise AssertionError

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", no_disk)
    large = QUERY + b"," * (4 * 2**20)
    assert send(site, "/v1/batch-files/check", ada, large, {"kind": "query"}).status_code in {200, 422}
    larger = QUERY + b"," * (LARGEST_BODY + 2**20)
    assert send(site, "/v1/batch-files/check", ada, larger, {"kind": "query"}).status_code == 413
    staff = site.token("staff", Operation.READ, Operation.ADMINISTER)
    assert send(site, "/v1/batch-files/check", staff, larger, {"kind": "query"}).status_code != 413


def test_the_same_file_under_the_same_key_is_one_job(site: Site, ada: str) -> None:
    key = {"Idempotency-Key": "mine"}
    fields = {**PROJECT, "sources": ["1"]}
    first = send(site, "/v1/batch-queries", ada, QUERY, fields, **key)
    again = send(site, "/v1/batch-queries", ada, QUERY, fields, **key)
    assert (first.status_code, again.status_code) == (201, 201), first.text
    assert first.json()["id"] == again.json()["id"]
    other = send(site, "/v1/batch-queries", ada, QUERY + b"R3,DOE-1,MR,\n", fields, **key)
    assert (other.status_code, set(other.json()["errors"])) == (422, {"Idempotency-Key"})
    check = send(site, "/v1/batch-checks", ada, TRANSFER, CHECK, **{"Idempotency-Key": "other"})
    same = send(site, "/v1/batch-checks", ada, TRANSFER, CHECK, **{"Idempotency-Key": "other"})
    assert check.json()["id"] == same.json()["id"]
    assert jobs_of(site, ada) == 3


def test_sources_that_one_may_not_use_are_named_by_their_field(site: Site, ada: str) -> None:
    for source in ("Research", "2", "ELSEWHERE"):
        refused = send(site, "/v1/batch-queries", ada, QUERY, {**PROJECT, "sources": ["PACS", source]})
        assert (refused.status_code, set(refused.json()["errors"])) == (422, {"sources"}), refused.text


def test_results_come_as_pages_and_as_the_file_of_a_transfer(site: Site, ada: str) -> None:
    job = send(site, "/v1/batch-queries", ada, QUERY, {**PROJECT, "sources": ["PACS"]}).json()
    assert job["kind"] == JobKind.BATCH_QUERY
    early = site.ask("GET", f"/v1/batch-queries/{job['id']}/results.xlsx", ada)
    assert (early.status_code, set(early.json()["errors"])) == (422, {"job"})
    work(site, job["id"])
    page = site.ask("GET", f"/v1/batch-queries/{job['id']}/results", ada, params={"limit": 1}).json()
    assert page["total"] == 2
    (first,) = page["results"]
    assert (first["row_id"], first["lines"], first["study"]["study_uid"]) == ("R1", [2], "1.2.1")
    second = site.ask("GET", f"/v1/batch-queries/{job['id']}/results", ada, params={"offset": 1}).json()["results"][0]
    assert second["study"] is None
    assert second["message"]
    for ending in ("csv", "xlsx"):
        export = site.ask("GET", f"/v1/batch-queries/{job['id']}/results.{ending}", ada)
        told = send(site, "/v1/batch-files/check", ada, export.content, {"kind": "transfer"}).json()
        assert (told["is_good"], told["rows"]) == (True, 1)
    eve = site.token("staff")
    assert site.ask("GET", f"/v1/batch-queries/{job['id']}/results", eve).status_code == 403
    assert site.ask("GET", f"/v1/batch-checks/{job['id']}", ada).status_code == 404


def test_a_check_tells_its_outcome_and_gives_one_transfer(site: Site, ada: str) -> None:
    check = send(site, "/v1/batch-checks", ada, TRANSFER, CHECK).json()
    path = f"/v1/batch-checks/{check['id']}"
    early = site.ask("POST", f"{path}/transfer", ada, json={})
    assert (early.status_code, set(early.json()["errors"])) == (422, {"check"})
    work(site, check["id"])
    told = site.ask("GET", path, ada).json()
    assert told["has_ended"]
    assert {verdict: tally["studies"] for verdict, tally in told["verdicts"].items()} == {"found": 1, "not_found": 1}
    assert (told["instances"], told["has_room"], told["transfer_id"]) == (3, True, None)
    assert told["usage"]["quota_bytes"] == 10 * 10**9
    rows = site.ask("GET", f"{path}/rows", ada, params={"verdict": "not_found"}).json()
    assert (rows["total"], rows["results"][0]["lines"]) == (1, [3])
    open_one = site.ask("POST", f"{path}/transfer", ada, json={})
    assert (open_one.status_code, set(open_one.json()["errors"])) == (422, {"leave_out"})
    nothing = site.ask("POST", f"{path}/transfer", ada, json={"leave_out": ["found", "not_found"]})
    assert (nothing.status_code, set(nothing.json()["errors"])) == (422, {"rows"})
    made = [site.ask("POST", f"{path}/transfer", ada, json={"leave_out": ["not_found"]}).json() for _ in range(2)]
    assert made[0]["id"] == made[1]["id"]
    assert (made[0]["kind"], made[0]["state"]) == ("batch_transfer", State.PENDING)
    assert site.ask("GET", path, ada).json()["transfer_id"] == made[0]["id"]
    for job_id in (check["id"], made[0]["id"]):
        file = site.ask("GET", f"/v1/jobs/{job_id}/file", ada)
        assert file.status_code == 200
        assert file.headers["cache-control"] == "no-store"
        lines = file.content.decode("utf-8-sig").splitlines()
        assert lines[0].endswith("Verdict")
        assert "not found" in lines[2].lower()
    assert site.ask("GET", f"/v1/jobs/{check['id']}/file", site.token("eve")).status_code == 404


def test_a_sheet_can_be_chosen(site: Site, ada: str) -> None:
    sample = site.ask("GET", "/v1/batch-files/query/sample.xlsx", ada).content
    book = load_workbook(BytesIO(sample))
    book.create_sheet("Other").append(["PatientID", "Modality"])
    book["Other"].append(["DOE-1", "CT"])
    changed = BytesIO()
    book.save(changed)
    told = send(site, "/v1/batch-files/check", ada, changed.getvalue(), {"kind": "query", "sheet": "Other"}).json()
    assert (told["rows"], told["sheets"][0]) == (1, "Other")
    refused = send(site, "/v1/batch-files/check", ada, changed.getvalue(), {"kind": "query", "sheet": "Doe"})
    assert refused.status_code == 422
    assert "Doe" not in refused.text
