"""`adit transfer`, `status`, `cancel`, `resume`, `retry` ...: what people do with jobs, at the shell."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from deployments import progress
from deployments.commands.session import DataDir, Session, open_session
from deployments.rows import read_rows
from deployments.screen import SUCCESS, errors_shown, say, show_table
from models.db.engine import Database
from models.domain.errors import BadRequest, NotFound
from models.domain.jobs import Item, Job, JobKind, State
from models.domain.people import Actor
from models.domain.requests import StudyWish, TransferRequest
from services import jobs, nodes

LAST_ID = 2**31 - 1
"""No column for numbers of PostgreSQL holds more."""
AsNifti = Annotated[bool, typer.Option("--nifti", help="A folder gets NIfTI files instead of DICOM files.")]
JobId = Annotated[int, typer.Argument(metavar="JOB", min=1, max=LAST_ID, help="The number of the job.")]
ItemNumber = Annotated[
    int, typer.Option("--item", metavar="N", min=1, max=LAST_ID, help="The item's number in its job.")
]
_INTERRUPTED = 130
_BATCH_COLUMNS = ("patient_id", "study_uid", "pseudonym")


def transfer(
    source: Annotated[str, typer.Option("--from", metavar="NAME", help="The source: a server.")],
    destination: Annotated[str, typer.Option("--to", metavar="NAME", help="The destination: a server or folder.")],
    study: Annotated[list[str] | None, typer.Option(metavar="UID", help="A study to move; may be repeated.")] = None,
    series: Annotated[
        list[str] | None, typer.Option(metavar="UID", help="Only this series of the one study; may be repeated.")
    ] = None,
    patient: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="The study's patient: one for all studies, or one for each.")
    ] = None,
    pseudonym: Annotated[
        list[str] | None,
        typer.Option(help="One for all studies, or one for each. Without it, or where it is empty, one is generated."),
    ] = None,
    batch: Annotated[
        Path | None, typer.Option(metavar="FILE", help=f"Instead: CSV with the columns {', '.join(_BATCH_COLUMNS)}.")
    ] = None,
    trial_id: Annotated[str, typer.Option(help="Jobs of one trial give a study the same new UIDs.")] = "",
    trial_name: str = "",
    profile: Annotated[
        str, typer.Option(metavar="NAME", help="The de-identification profile; without it, that of the settings.")
    ] = "",
    keep_identity: Annotated[
        bool, typer.Option("--keep-identity", help="Pseudonymize nothing: the studies keep their patients' identity.")
    ] = False,
    as_nifti: AsNifti = False,
    urgent: Annotated[bool, typer.Option(help="Go before other jobs.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait for the end.")] = True,
    data_dir: DataDir = None,
) -> None:
    """Move studies, and wait until every item has a verdict.

    Exit status: 0 when all items are a success (with --no-wait: when the job was accepted), 1 when some have warnings,
    2 when something failed, was canceled or refused.
    """
    with errors_shown():
        session = open_session(data_dir)
        columns = (study or [], series or [], patient or [], pseudonym or [])
        if batch and any(columns):
            raise BadRequest("--batch stands alone: its file names studies, patients and pseudonyms.")
        wishes = _batch(batch) if batch else _wishes(*columns)
        request = TransferRequest(
            kind=JobKind.BATCH_TRANSFER if batch else JobKind.SELECTIVE_TRANSFER,
            source_id=nodes.by_name(session.db, source).id,
            destination_id=nodes.by_name(session.db, destination).id,
            studies=wishes,
            trial_protocol_id=trial_id,
            trial_protocol_name=trial_name,
            urgent=urgent,
            profile=profile,
            keep_identity=keep_identity,
            convert_to_nifti=as_nifti,
        )
        job = jobs.submit(session.db, session.settings, session.actor, request)
        _say_what_was_accepted(session, job, wishes)
        status = wait_for(session, job) if wait else SUCCESS
    raise typer.Exit(status)


def show(
    job: Annotated[
        int | None,
        typer.Argument(metavar="[JOB]", min=1, max=LAST_ID, help="The number of a job; without it, all jobs."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=LAST_ID, help="How many jobs are listed, the newest first.")] = 20,
    data_dir: DataDir = None,
) -> None:
    """List the jobs, or show one with its items and what their receipts prove."""
    with errors_shown():
        session = open_session(data_dir)
        if job is None:
            _show_jobs(session, jobs.list(session.db, session.actor, limit=limit, everybody=True))
        else:
            found = jobs.get(session.db, session.actor, job)
            _show_jobs(session, [found])
            progress.show_items(session.db, session.actor, job)
            say_where(session, found)


def cancel(
    job: JobId,
    item: Annotated[
        int | None,
        typer.Option("--item", metavar="N", min=1, max=LAST_ID, help="Only this item, which must be waiting."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Stop a job that is pending or running, or one item of it that waits."""
    if item is None:
        _change(job, data_dir, jobs.cancel)
        return
    with errors_shown():
        session = open_session(data_dir)
        canceled = jobs.cancel_item(session.db, session.actor, item_at(session, job, item).id)
        say(f"Item {canceled.position} of job {job} is {canceled.state.value}.")


def resume(job: JobId, data_dir: DataDir = None) -> None:
    """Let a canceled job go on."""
    _change(job, data_dir, jobs.resume)


def retry(job: JobId, data_dir: DataDir = None) -> None:
    """Try the failed items of a job again; only what is missing is moved."""
    _change(job, data_dir, jobs.retry)


def verify(job: JobId, data_dir: DataDir = None) -> None:
    """Let a job begin that waits to be verified."""
    _change(job, data_dir, jobs.verify)


def restart(job: JobId, data_dir: DataDir = None) -> None:
    """Do a job that has ended again from the start; its receipts are forgotten."""
    _change(job, data_dir, jobs.restart)


def hurry(
    job: JobId,
    urgent: Annotated[
        bool, typer.Option("--urgent/--not-urgent", help="Go before other jobs, or not any more.")
    ] = True,
    data_dir: DataDir = None,
) -> None:
    """Make a job urgent that has not ended."""
    with errors_shown():
        session = open_session(data_dir)
        found = jobs.hurry(session.db, session.actor, job, urgent)
        say(f"Job {found.id} is {'urgent' if found.urgent else 'not urgent'}.")


def delete(job: JobId, data_dir: DataDir = None) -> None:
    """Remove a job that has not begun."""
    with errors_shown():
        session = open_session(data_dir)
        jobs.delete(session.db, session.actor, job)
        say(f"Job {job} is deleted.")


def item_at(session: Session, job_id: int, position: int) -> Item:
    """The item with this number in its job; raises NotFound."""
    for item in jobs.items(session.db, session.actor, job_id):
        if item.position == position:
            return item
    raise NotFound(f"Job {job_id} has no item {position}.")


def _change(job_id: int, data_dir: Path | None, action: Callable[[Database, Actor, int], Job]) -> None:
    with errors_shown():
        session = open_session(data_dir)
        job = action(session.db, session.actor, job_id)
        say(f"Job {job.id} is {job.state.value}.")


def _wishes(
    studies: Sequence[str], series: Sequence[str], patients: Sequence[str], pseudonyms: Sequence[str]
) -> tuple[StudyWish, ...]:
    if not studies:
        raise BadRequest("Name the studies with --study or --batch.")
    if series and len(studies) > 1:
        raise BadRequest("--series goes with one --study only.")
    columns = (studies, _spread("--patient", patients, studies), _spread("--pseudonym", pseudonyms, studies))
    return tuple(
        StudyWish(study_uid, patient_id, tuple(series), pseudonym)
        for study_uid, patient_id, pseudonym in zip(*columns, strict=True)
    )


def _spread(option: str, values: Sequence[str], studies: Sequence[str]) -> Sequence[str]:
    """One value for each study; one that is given alone counts for all."""
    if len(values) not in {0, 1, len(studies)}:
        raise BadRequest(f"{option}: give it once, or once for each --study.")
    return values if len(values) == len(studies) else [*values, ""][:1] * len(studies)


def _batch(path: Path) -> tuple[StudyWish, ...]:
    rows = read_rows(path, _BATCH_COLUMNS)
    return tuple(StudyWish(row["study_uid"], row["patient_id"], (), row["pseudonym"]) for row in rows)


def _say_what_was_accepted(session: Session, job: Job, wishes: Sequence[StudyWish]) -> None:
    say(f"Job {job.id} is accepted.")
    if job.keep_identity:
        say("The studies keep their patients' identity.")
    else:
        say(f"Profile {job.profile}, rules {job.policy_digest}.")
    if not job.keep_identity and any(not wish.pseudonym for wish in wishes):
        say(f"Pseudonyms that you did not give are generated; adit status {job.id} shows them.")
    say_when_nobody_works(session)


def say_when_nobody_works(session: Session) -> None:
    """Tell people who would wait for ever."""
    if not session.is_up and not session.settings.database_url:
        say("Nobody works on this data directory: start adit up.")


def wait_for(session: Session, job: Job) -> int:
    """Wait for the end of a transfer, show what has become of its items, and return the exit status."""
    ended = watched(session, job)
    progress.show_items(session.db, session.actor, job.id)
    say(f"Job {ended.id}: {ended.state.value}. {ended.message}")
    say_where(session, ended)
    return progress.exit_status(jobs.items(session.db, session.actor, job.id))


def watched(session: Session, job: Job) -> Job:
    """The job when it has ended; who interrupts the waiting is told that it goes on."""
    try:
        return progress.watch(session.db, session.actor, job.id)
    except KeyboardInterrupt:
        say(f"Job {job.id} goes on. adit status {job.id} shows it, adit cancel {job.id} stops it.")
        raise typer.Exit(_INTERRUPTED) from None


def say_where(session: Session, job: Job) -> None:
    """Name the page of the job's flow run, where it has one."""
    if url := session.flow_run_url(job):
        say(f"Prefect: {url}")


def _show_jobs(session: Session, found: Sequence[Job]) -> None:
    counts = jobs.counts(session.db, session.actor, [job.id for job in found])
    rows = [_job_row(job, counts.get(job.id, {})) for job in found]
    show_table("Jobs", ("id", "kind", "owner", "profile", "state", "items", "begun", "ended", "message"), rows)


def _job_row(job: Job, counts: Mapping[State, int]) -> tuple[object, ...]:
    items = ", ".join(f"{count} {state.value}" for state, count in counts.items() if count)
    moments = [f"{moment:%Y-%m-%d %H:%M:%S}" if moment else "" for moment in (job.started_at, job.ended_at)]
    profile = "identity kept" if job.keep_identity else job.profile
    return job.id, job.kind.value, job.owner, profile, job.state.value, items, *moments, job.message
