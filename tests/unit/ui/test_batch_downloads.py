"""Batch files that people fetch: templates and samples, results, and their own file with verdicts."""

from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI

from flows.questions import ask_through
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.domain.audit import AuditAction, AuditFilter
from models.domain.batch_requests import BatchFile
from models.domain.jobs import Job
from models.domain.people import Actor, operator
from services import audit
from services.batch_files.limits import limits_of
from services.batch_files.reading import read_table
from services.batches import queries, uploads
from services.people import accounts, sessions
from tasks.ask import ask_bundle
from tests.app_pages import Site
from tests.batches import a_query
from tests.in_process import client as client_of
from tests.memory_archive import MemoryArchive, played
from tests.people import a_session, a_user
from tests.samples import a_server
from ui import identity
from ui.files import Files

QUERY_CSV = b"PatientID;Modality;RowID;Pseudonym\nP1;CT;first;ANON1\nP9;CT;second;ANON2\n"


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    """A browser that the gate lets in as whose name is in a header."""
    app = FastAPI()
    app.include_router(Files(site.db).router())
    for name in ("ada", "bob"):
        a_user(site.db, name)

    async def gated(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        name = dict(scope.get("headers", [])).get(b"who", b"").decode()
        if name:
            user = next(user for user in accounts.list(site.db, site.shell) if user.username == name)
            found = sessions.find(site.db, site.settings, a_session(site.db, site.settings, user))
            assert found is not None
            identity.let_in(scope, found, "192.0.2.7")
        await app(scope, receive, send)

    with client_of(gated, "http://localhost:8000") as client:
        yield client


def a_query_of(site: Site, run: bool = True, file: bytes = QUERY_CSV) -> Job:
    server = NodeStore(site.db).add(a_server("ONE"))
    ada: Actor = operator("ada")
    upload = uploads.read_query(ada, BatchFile("cohort.csv", file))
    request = a_query((server.id,), *upload.rows, file=upload.file)
    job = queries.submit(site.db, site.settings, ada, request)
    archive = MemoryArchive()
    archive.add("P1", "1.2.1")
    if run:
        with played(ONE=archive):
            ask_through(site.db, site.settings, job.id, ask_bundle)
    return JobStore(site.db).get(job.id)


@pytest.mark.parametrize("kind", ["query", "transfer"])
@pytest.mark.parametrize("ending", ["xlsx", "csv"])
def test_templates_and_samples_are_files_that_we_read(client: httpx.Client, kind: str, ending: str) -> None:
    sample = client.get(f"/files/batch/{kind}_sample.{ending}", headers={"who": "ada"})
    assert sample.headers["content-disposition"] == f'attachment; filename="batch_{kind}_sample.{ending}"'
    read = uploads.read_query if kind == "query" else uploads.read_transfer
    assert read(Actor("ada"), BatchFile("s", sample.content)).is_good
    template = client.get(f"/files/batch/{kind}_template.{ending}", headers={"who": "ada"})
    refused = read(Actor("ada"), BatchFile("t", template.content))
    assert [problem.sentence for problem in refused.errors] == ["The file has headings, but no rows below them."]


def test_there_are_no_other_samples(client: httpx.Client) -> None:
    assert client.get("/files/batch/query_sample.ods", headers={"who": "ada"}).status_code == 404
    assert client.get("/files/batch/query_sample.csv").status_code == 404


def test_results_are_fetched_as_a_transfer_file(site: Site, client: httpx.Client) -> None:
    job = a_query_of(site)
    for ending in ("xlsx", "csv"):
        answer = client.get(f"/files/jobs/{job.id}/results.{ending}", headers={"who": "ada"})
        assert f'filename="batch_query_job_{job.id}_results.{ending}"' in answer.headers["content-disposition"]
        read = uploads.read_transfer(Actor("ada"), BatchFile("r", answer.content))
        assert [row.study_uid for row in read.rows] == ["1.2.1"] and read.skipped_lines == (3,)
    entries = audit.entries(site.db, site.shell, AuditFilter(action=AuditAction.DOWNLOAD))
    assert {(entry.actor, entry.subject) for entry in entries} == {("ada", f"results of job {job.id}")}


def test_the_file_comes_back_as_it_was_with_a_verdict_for_each_row(site: Site, client: httpx.Client) -> None:
    job = a_query_of(site)
    answer = client.get(f"/files/jobs/{job.id}/verdicts", headers={"who": "ada"})
    table = read_table(answer.content, limits_of(uploads.BatchKind.QUERY, is_staff=False))
    assert table.delimiter == ";"
    assert [row.cells[0] for row in table.rows] == ["PatientID", "P1", "P9"]
    verdicts = [str(row.cells[-1]) for row in table.rows]
    assert verdicts[0] == "Verdict" and verdicts[1].startswith("Done. 1 study") and verdicts[2].startswith("Failed.")


def test_others_find_nothing_and_nobody_is_asked_to_wait_by_an_error_page(site: Site, client: httpx.Client) -> None:
    job = a_query_of(site, run=False)
    paths = (f"/files/jobs/{job.id}/results.xlsx", f"/files/jobs/{job.id}/verdicts")
    assert [client.get(path, headers={"who": "bob"}).status_code for path in paths] == [404, 404]
    assert [client.get(path).status_code for path in paths] == [404, 404]
    early = client.get(paths[0], headers={"who": "ada"})
    assert (early.status_code, "has not ended" in early.text) == (409, True)
    assert client.get(f"/files/jobs/{job.id}/results.pdf", headers={"who": "ada"}).status_code == 404
    assert client.get("/files/jobs/4711/verdicts", headers={"who": "ada"}).status_code == 404
