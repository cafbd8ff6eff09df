"""`adit batch`: spreadsheets of studies to look up or to move, told line by line what is wrong with them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from deployments import progress
from deployments.commands.jobs import AsNifti, JobId, say_when_nobody_works, say_where, wait_for, watched
from deployments.commands.session import DataDir, Session, open_session
from deployments.screen import FAILURE, SUCCESS, WARNING, errors_shown, say, show_table
from models.domain.answers import CheckedRow, RowVerdict, Tally
from models.domain.batch_requests import BatchFile, BatchQueryRequest, BatchTransferRequest
from models.domain.batches import BatchKind
from models.domain.errors import BadRequest, WriteFailed
from models.domain.jobs import Item, Job, State
from services import jobs, nodes
from services.batch_files import templates
from services.batch_files.tables import FileKind
from services.batches import checks, queries, results, transfers, uploads, verdicts
from services.batches.checks import Outcome
from services.batches.uploads import QueryUpload, TransferUpload

app = typer.Typer(no_args_is_help=True, help="Look up and move the studies that a spreadsheet lists.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="A spreadsheet: .xlsx, .ods or .csv.")]
Sheet = Annotated[str, typer.Option(metavar="NAME", help="The sheet to read; without it, the first visible one.")]
Source = Annotated[str, typer.Option("--from", metavar="NAME", help="The source: a server.")]
Destination = Annotated[str, typer.Option("--to", metavar="NAME", help="The destination: a server or folder.")]
Name = Annotated[str, typer.Option("--project-name", help="What the data is for, in a few words.")]
About = Annotated[str, typer.Option("--project-description", help="The same in some sentences. Name no patients.")]
Ethics = Annotated[str, typer.Option("--ethics", metavar="NUMBER", help="The ethics committee's approval.")]
TrialId = Annotated[str, typer.Option(help="Jobs of one trial share their pseudonyms.")]
Profile = Annotated[
    str, typer.Option(metavar="NAME", help="The de-identification profile; without it, that of the settings.")
]
Generate = Annotated[bool, typer.Option("--generate-pseudonyms", help="Rows without a pseudonym get one.")]
KeepIdentity = Annotated[
    bool, typer.Option("--keep-identity", help="Pseudonymize nothing: the studies keep their patients' identity.")
]
Urgent = Annotated[bool, typer.Option("--urgent", help="Go before other jobs.")]
Wait = Annotated[bool, typer.Option(help="Wait for the end.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="A new file, readable for you only.")]


@app.command()
def query(
    file: File,
    sources: Annotated[list[str], typer.Option("--from", metavar="NAME", help="A server to ask; may be repeated.")],
    project_name: Name,
    project_description: About,
    sheet: Sheet = "",
    urgent: Urgent = False,
    wait: Wait = True,
    data_dir: DataDir = None,
) -> None:
    """Ask servers for each row of a file, and list the rows for which there is no answer.

    Exit status: 0 when every row has an answer (with --no-wait: when the job was accepted), 1 when some have none, 2
    when the file has errors, or something failed, was canceled or refused.
    """
    with errors_shown():
        session = open_session(data_dir)
        found = uploads.read_query(session.actor, _read(file, sheet))
        _tell(found)
        asked = tuple(nodes.by_name(session.db, name).id for name in sources)
        request = BatchQueryRequest(found.rows, asked, project_name, project_description, found.file, urgent)
        job = queries.submit(session.db, session.settings, session.actor, request)
        _accepted(session, job)
        status = _show_answers(session, watched(session, job)) if wait else SUCCESS
    raise typer.Exit(status)


@app.command()
def check(
    file: File,
    source: Source,
    destination: Destination,
    project_name: Name,
    project_description: About,
    ethics: Ethics,
    sheet: Sheet = "",
    trial_id: TrialId = "",
    trial_name: str = "",
    profile: Profile = "",
    generate_pseudonyms: Generate = False,
    keep_identity: KeepIdentity = False,
    as_nifti: AsNifti = False,
    urgent: Urgent = False,
    wait: Wait = True,
    data_dir: DataDir = None,
) -> None:
    """Look up what a batch transfer would move, row by row; nothing is moved.

    Exit status: 0 when everything was found (with --no-wait: when the job was accepted), 1 when some was not, 2 when
    the file has errors, or something failed, was canceled or refused.
    """
    with errors_shown():
        session = open_session(data_dir)
        job = _submit_check(
            session,
            (file, sheet),
            (source, destination),
            project_name=project_name,
            project_description=project_description,
            ethics_application_id=ethics,
            trial_protocol_id=trial_id,
            trial_protocol_name=trial_name,
            profile=profile,
            keep_identity=keep_identity,
            convert_to_nifti=as_nifti,
            generate_pseudonyms=generate_pseudonyms,
            urgent=urgent,
        )
        status = _show_outcome(session, watched(session, job).id) if wait else SUCCESS
    raise typer.Exit(status)


@app.command()
def transfer(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A spreadsheet: .xlsx, .ods or .csv.")] = None,
    check_id: Annotated[
        int | None, typer.Option("--check", metavar="JOB", help="Instead of a file: a check that was made before.")
    ] = None,
    source: Source = "",
    destination: Destination = "",
    project_name: Name = "",
    project_description: About = "",
    ethics: Ethics = "",
    sheet: Sheet = "",
    trial_id: TrialId = "",
    trial_name: str = "",
    profile: Profile = "",
    generate_pseudonyms: Generate = False,
    keep_identity: KeepIdentity = False,
    as_nifti: AsNifti = False,
    urgent: Urgent = False,
    leave_out: Annotated[
        list[RowVerdict] | None, typer.Option(help="Rows with this verdict stay behind; may be repeated.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Move also what is at the destination already.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before anything is moved.")] = False,
    wait: Wait = True,
    data_dir: DataDir = None,
) -> None:
    """Check a file, show the outcome, and move what was found once you agree.

    Rows that were not found keep the transfer from beginning unless they are left out; the check stays, and --check
    goes on from there. Exit status: 0 when all items are a success (with --no-wait: when the job was accepted), 1 when
    some have warnings, 2 when something failed, was canceled or refused, or you did not agree.
    """
    with errors_shown():
        session = open_session(data_dir)
        if (file is None) == (check_id is None):
            raise BadRequest("Name a file, or with --check a check that was made before.")
        if file is not None:
            if not source or not destination:
                raise BadRequest("Say where from and where to, with --from and --to.")
            job = _submit_check(
                session,
                (file, sheet),
                (source, destination),
                project_name=project_name,
                project_description=project_description,
                ethics_application_id=ethics,
                trial_protocol_id=trial_id,
                trial_protocol_name=trial_name,
                profile=profile,
                keep_identity=keep_identity,
                convert_to_nifti=as_nifti,
                generate_pseudonyms=generate_pseudonyms,
                urgent=urgent,
            )
            check_id = watched(session, job).id
        assert check_id is not None
        status = _transfer(session, check_id, leave_out or [], again, yes, wait)
    raise typer.Exit(status)


@app.command()
def template(
    kind: Annotated[BatchKind, typer.Argument(help="What the rows shall ask for.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="A new file, .xlsx or .csv.")
    ] = None,
    sample: Annotated[bool, typer.Option("--sample", help="With rows about people who do not exist.")] = False,
) -> None:
    """Write a file to fill in: batch_query_template.xlsx, unless you name another."""
    with errors_shown():
        ending = _ending(output) if output else FileKind.XLSX
        made = templates.sample(kind, ending) if sample else templates.template(kind, ending)
        _write(output or Path(made.name), made.data)


@app.command("results")
def export_results(job: JobId, output: Output, data_dir: DataDir = None) -> None:
    """Write what a batch query has found to a file, .xlsx or .csv, which a batch transfer takes as it is."""
    with errors_shown():
        session = open_session(data_dir)
        ending = "csv" if _ending(output) is FileKind.CSV else "xlsx"
        _write(output, results.export(session.db, session.actor, job, ending).data)


@app.command("file")
def give_back(job: JobId, output: Output, data_dir: DataDir = None) -> None:
    """Write the file of a batch query, a check or its transfer, with a verdict behind each row."""
    with errors_shown():
        session = open_session(data_dir)
        made = verdicts.file(session.db, session.actor, job)
        if output.suffix.lower() != Path(made.name).suffix:
            raise BadRequest(f"The file is of another kind: name it {output.with_suffix(Path(made.name).suffix).name}.")
        _write(output, made.data)


def _read(file: Path, sheet: str) -> BatchFile:
    try:
        return BatchFile(file.name, file.read_bytes(), sheet)
    except OSError as exc:
        raise BadRequest(f"{file} cannot be read ({exc.strerror}).") from exc


def _tell(found: QueryUpload | TransferUpload) -> None:
    """Print all that is wrong with a file; ends the command when something keeps it from being accepted."""
    for problem in sorted(found.problems, key=lambda each: each.row):
        place = f"Line {problem.row}" if problem.row else "File"
        column = f", {problem.column}" if problem.column else ""
        say(f"{place}{column}: {problem.weight.value}: {problem.sentence}")
    if not found.is_good:
        say(f"Nothing was accepted: the file has {_counted(len(found.errors), 'error')}.")
        raise typer.Exit(FAILURE)


def _submit_check(session: Session, file: tuple[Path, str], ends: tuple[str, str], **fields: Any) -> Job:
    found = uploads.read_transfer(session.actor, _read(*file))
    _tell(found)
    source, destination = (nodes.by_name(session.db, name).id for name in ends)
    request = BatchTransferRequest(found.rows, source, destination, file=found.file, **fields)
    job = checks.submit(session.db, session.settings, session.actor, request)
    _accepted(session, job)
    return job


def _accepted(session: Session, job: Job) -> None:
    say(f"Job {job.id} is accepted.")
    say_when_nobody_works(session)


def _show_answers(session: Session, job: Job) -> int:
    items = jobs.items(session.db, session.actor, job.id)
    rows = [(_lines(item.lines), item.row_id, item.state.value, item.message) for item in items if _is_open(item)]
    show_table("Rows without an answer", ("lines", "row id", "state", "message"), rows)
    say(f"Job {job.id}: {job.state.value}. {job.message}")
    say_where(session, job)
    say(f"adit batch results {job.id} -o FILE.xlsx writes what was found.")
    return progress.exit_status(items)


def _show_outcome(session: Session, check_id: int) -> int:
    """Print what a check has found, and the rows that it did not find."""
    outcome = checks.outcome(session.db, session.actor, check_id)
    others = [row for row in checks.rows(session.db, session.actor, check_id) if row.verdict is not RowVerdict.FOUND]
    rows = [(_lines(row.lines), row.row_id, _verdict(row), row.sentence) for row in others]
    show_table("Rows that are not simply found", ("lines", "row id", "verdict", "message"), rows)
    _show_tallies(outcome)
    say(f"Job {check_id}: {outcome.job.state.value}. {outcome.job.message}")
    if not outcome.has_room:
        say("The quota of the destination folder has no room for so much.")
    if outcome.waiting or outcome.of.get(RowVerdict.FAILED) or outcome.job.state is State.CANCELED:
        return FAILURE
    return WARNING if others else SUCCESS


def _show_tallies(outcome: Outcome) -> None:
    rows = [_tally(verdict, tally) for verdict, tally in outcome.of.items()]
    if outcome.waiting:
        rows.append(("not looked at yet", outcome.waiting))
    columns = ("verdict", "studies", "instances", "about MB", "not counted by the source")
    show_table(f"Outcome of check {outcome.job.id}", columns, rows)


def _tally(verdict: RowVerdict, tally: Tally) -> tuple[object, ...]:
    if verdict not in {RowVerdict.FOUND, RowVerdict.ALREADY_THERE}:
        return verdict.value, tally.studies
    return verdict.value, tally.studies, tally.instances, f"{tally.size_bytes / 1_000_000:,.0f}", tally.uncounted


def _transfer(
    session: Session, check_id: int, leave_out: Sequence[RowVerdict], again: bool, is_agreed: bool, waits: bool
) -> int:
    _show_outcome(session, check_id)
    if not is_agreed and not typer.confirm("Shall this be moved?", default=False):
        say(f"Nothing was moved. adit batch transfer --check {check_id} goes on from here.")
        return FAILURE
    try:
        job = transfers.submit(session.db, session.settings, session.actor, check_id, leave_out, again)
    except BadRequest:
        say(f"Nothing was moved. adit batch transfer --check {check_id} with --leave-out goes on from here.")
        raise
    _accepted(session, job)
    if not waits:
        return SUCCESS
    status = wait_for(session, job)
    say(f"adit batch file {job.id} -o FILE writes your file with a verdict for each row.")
    return status


def _write(path: Path, data: bytes) -> None:
    try:
        target = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except OSError as exc:
        raise WriteFailed(f"{path} cannot be made. Name a file that does not exist yet.") from exc
    with target:
        target.write(data)
    say(f"Written to {path}.")


def _ending(path: Path) -> FileKind:
    match path.suffix.lower():
        case ".xlsx":
            return FileKind.XLSX
        case ".csv":
            return FileKind.CSV
        case _:
            raise BadRequest("Name a file that ends in .xlsx or .csv.")


def _is_open(item: Item) -> bool:
    return item.state is not State.SUCCESS


def _lines(lines: Sequence[int]) -> str:
    return ", ".join(str(line) for line in lines)


def _verdict(row: CheckedRow) -> str:
    return row.verdict.value if row.verdict else "waits"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
