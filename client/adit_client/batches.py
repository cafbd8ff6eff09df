"""What the client can ask about batch files: to look at them, to have their rows looked up, and to move what is found.

The file is sent in the body as it is, and comes back so.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from adit_client.calls import Call, with_form
from adit_client.errors import BadArgument, NotAllFound
from adit_client.reading import of
from adit_client.rest import BASE, JobOrId, Report, Rest, get, given_of, id_of, pairs_of, post, results_of
from adit_client.steps import Steps, sent
from adit_client.values import (
    BatchFile,
    BatchKind,
    BatchQueryOptions,
    BatchResult,
    BatchTransferOptions,
    CheckedRow,
    CheckOutcome,
    FileProblem,
    FileProblems,
    Job,
    NodeWish,
    Verdict,
)

Ending = Literal["xlsx", "csv"]

_KEY = "Idempotency-Key"


@dataclass(frozen=True)
class Project:
    """What the data is for; the server wants all of it."""

    name: str
    description: str
    ethics_application_id: str | None = None

    def fields(self) -> dict[str, object]:
        """The fields of the request."""
        told = {"project_name": self.name, "project_description": self.description}
        ethics = self.ethics_application_id
        return {**told} if ethics is None else {**told, "ethics_application_id": ethics}


@dataclass(frozen=True)
class Batches(Rest):
    """What can be asked, batch files included. Files are read at once; nothing is sent before the steps are taken."""

    def check_batch_file(self, file: BatchFile, kind: BatchKind, sheet: str) -> Steps[FileProblems]:
        """What is wrong with a file."""
        fields = {"kind": kind, **({"sheet": sheet} if sheet else {})}
        return self._problems(_form("/batch-files/check", fields, file, {}))

    def batch_query(
        self,
        file: BatchFile,
        sources: NodeWish | Sequence[NodeWish] | None,
        project: Project,
        key: str | None,
        options: BatchQueryOptions,
    ) -> Steps[Job]:
        """The job that a batch query has become."""
        wished = [sources] if isinstance(sources, (str, int)) else sources
        fields = {"sources": wished, **project.fields(), **given_of(BatchQueryOptions, options)}
        return self._value(_form("/batch-queries", fields, file, {_KEY: _key(key)}), Job)

    def batch_results(self, job: JobOrId) -> Steps[list[BatchResult]]:
        """All that a batch query has found so far."""
        return self._every(f"/batch-queries/{id_of(job)}/results", BatchResult)

    def batch_results_file(self, job: JobOrId, ending: Ending) -> Steps[bytes]:
        """The same as a file."""
        if ending not in ("xlsx", "csv"):
            raise BadArgument("kind: a file of results is xlsx or csv.")
        return self._bytes(f"/batch-queries/{id_of(job)}/results.{ending}")

    def batch_check(
        self,
        file: BatchFile,
        destination: NodeWish | None,
        source: NodeWish | None,
        project: Project,
        key: str | None,
        options: BatchTransferOptions,
    ) -> Steps[Job]:
        """The job that the check of a batch transfer has become."""
        trial = {"trial_protocol_id": self.trial.protocol_id, "trial_protocol_name": self.trial.protocol_name}
        if "trial_protocol_id" in options:
            trial = {}
        named = {name: text for name, text in trial.items() if text}
        nodes = {"source": source, "destination": destination}
        fields = {**nodes, **named, **project.fields(), **given_of(BatchTransferOptions, options)}
        return self._value(_form("/batch-checks", fields, file, {_KEY: _key(key)}), Job)

    def check_outcome(self, job: JobOrId) -> Steps[CheckOutcome]:
        """What a check has found so far."""
        return self._value(get(f"/batch-checks/{id_of(job)}"), CheckOutcome)

    def checked_rows(self, job: JobOrId, verdict: Verdict | None) -> Steps[list[CheckedRow]]:
        """What a check says of the rows of each study."""
        query = [] if verdict is None else [("verdict", verdict)]
        return self._every(f"/batch-checks/{id_of(job)}/rows", CheckedRow, query)

    def transfer_checked(self, check: JobOrId, leave_out: Collection[Verdict], again: bool) -> Steps[Job]:
        """The job that moves what a check has found; there is one for each check, however often it is asked for."""
        content = {"leave_out": _verdicts(leave_out), "again": again}
        return self._value(post(f"/batch-checks/{id_of(check)}/transfer", content, is_repeatable=True), Job)

    def transfer_found(
        self,
        checking: Steps[Job],
        leave_out: Collection[Verdict],
        again: bool,
        timeout_s: float | None,
        report: Report,
    ) -> Steps[Job]:
        """The job that moves what a check finds, which is waited for; raises NotAllFound when rows are open then."""
        return self._transfer_found(checking, _verdicts(leave_out), again, timeout_s, report)

    def verdict_file(self, job: JobOrId) -> Steps[bytes]:
        """The file that a job was made of, with a verdict behind each row."""
        return self._bytes(f"/jobs/{id_of(job)}/file")

    # -- steps -------------------------------------------------------------------------------------

    def _transfer_found(
        self, checking: Steps[Job], leave_out: Collection[Verdict], again: bool, timeout_s: float | None, report: Report
    ) -> Steps[Job]:
        job = yield from checking
        check = yield from self.wait(job, timeout_s, report)
        outcome = yield from self.check_outcome(check)
        settled = {"found", *leave_out, *(["already_there"] if again else [])}
        open_ones = [name for name, tally in outcome.verdicts.items() if tally.studies and name not in settled]
        if open_ones:
            raise NotAllFound(check, outcome, open_ones)
        return (yield from self.transfer_checked(check, leave_out, again))

    def _problems(self, call: Call) -> Steps[FileProblems]:
        told = (yield from sent(call, self.retries)).json()
        found = FileProblems(of(FileProblem, one) for one in results_of(told, "problems"))
        found.is_good = told.get("is_good") is True
        found.rows = told.get("rows", 0)
        found.sheets = tuple(told.get("sheets", ()))
        return found

    def _bytes(self, path: str) -> Steps[bytes]:
        call = Call("GET", BASE + path, (), {"Accept": "*/*"}, is_repeatable=True)
        return (yield from sent(call, self.retries)).body


def _form(path: str, fields: Mapping[str, object], file: BatchFile, headers: Mapping[str, str]) -> Call:
    """The call with a file; it may be sent twice, since it carries a key or changes nothing."""
    name, content = _read(file)
    return with_form(BASE + path, pairs_of(fields), name, content, headers, again=True)


def _read(file: BatchFile) -> tuple[str, bytes]:
    if isinstance(file, bytes):
        return "batch", file
    if isinstance(file, tuple):
        return file
    path = Path(file)
    return path.name, path.read_bytes()


def _verdicts(leave_out: Collection[Verdict]) -> list[Verdict]:
    if isinstance(leave_out, str):
        raise BadArgument("leave_out: a list is needed, also for one verdict.")
    return list(leave_out)


def _key(key: str | None) -> str:
    return str(uuid.uuid4()) if key is None else key
