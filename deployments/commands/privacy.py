"""`adit review`, `escrow`, `audit`: what reviewers and trustees do with held instances and with identities."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from deployments.commands.jobs import LAST_ID, ItemNumber, JobId, item_at
from deployments.commands.session import DataDir, open_session
from deployments.screen import FAILURE, errors_shown, say, show_table
from models.domain.audit import AuditAction, AuditFilter
from models.domain.errors import BadRequest, WriteFailed
from services import audit as trail
from services import escrow as escrows
from services import nodes, review

Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept. It must not name the patient.")]
Uids = Annotated[
    list[str] | None, typer.Option("--uid", metavar="UID", help="Only this instance; may be repeated. Else all held.")
]
Trial = Annotated[str, typer.Option("--trial", metavar="ID", help="The trial in which the pseudonym is valid.")]
JobWithoutTrial = Annotated[int, typer.Option("--job", metavar="JOB", help="Instead: a job without a trial.")]


Since = Annotated[datetime | None, typer.Option("--since", help="From this time on (UTC).")]
Until = Annotated[datetime | None, typer.Option("--until", help="Before this time (UTC).")]
Who = Annotated[str, typer.Option("--who", metavar="NAME", help="By people with this in their name.")]
Action = Annotated[AuditAction | None, typer.Option("--action", help="Only this action.")]
About = Annotated[str, typer.Option("--about", metavar="TEXT", help="With this in subject, reason or address.")]


class _ListGroup(TyperGroup):
    """Lists when no command is named; a number in its place is handed on, for the job to list."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_plain = not args or args[0].isdecimal() or (args[0].startswith("-") and args[0] != "--help")
        return super().parse_args(ctx, ["list", *args] if is_plain else args)


review_app = typer.Typer(cls=_ListGroup, help="See held instances, and release or reject them.")
audit_app = typer.Typer(cls=_ListGroup, help="Show, check and export the trail of who did what.")
escrow_app = typer.Typer(no_args_is_help=True, help="Find the patient behind a pseudonym, or make that impossible.")


@review_app.command("list")
def list_held(
    job: Annotated[
        int | None,
        typer.Argument(metavar="[JOB]", min=1, max=LAST_ID, help="Without it, all jobs with held instances."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """List the instances that wait for a person's review; `adit review JOB` does the same."""
    with errors_shown():
        session = open_session(data_dir)
        if job is None:
            waiting = review.waiting(session.db, session.actor)
            show_table("Jobs with held instances", ("job", "held"), waiting.items())
        else:
            held = review.held(session.db, session.actor, job)
            names = nodes.names(session.db)
            rows = [
                (one.position, names.get(one.source_id, "?"), one.study_uid, one.sop_uid, one.reason) for one in held
            ]
            show_table(f"Held instances of job {job}", ("item", "source", "study", "instance", "reason"), rows)


@review_app.command()
def release(job: JobId, item: ItemNumber, reason: Reason, uid: Uids = None, data_dir: DataDir = None) -> None:
    """Let held instances of an item pass. The next attempt fetches and sends them; nothing else is moved again."""
    with errors_shown():
        session = open_session(data_dir)
        chosen = item_at(session, job, item)
        released = review.release(session.db, session.actor, chosen.id, uid, reason)
        say(f"Released. Item {released.position} of job {job} is {released.state.value}.")


@review_app.command()
def reject(job: JobId, item: ItemNumber, reason: Reason, uid: Uids = None, data_dir: DataDir = None) -> None:
    """Leave held instances of an item out for good."""
    with errors_shown():
        session = open_session(data_dir)
        review.reject(session.db, session.actor, item_at(session, job, item).id, uid, reason)
        say("Rejected.")


@escrow_app.command()
def find(
    pseudonym: Annotated[str, typer.Argument(help="The pseudonym.")],
    reason: Reason,
    trial: Trial = "",
    job: JobWithoutTrial = 0,
    data_dir: DataDir = None,
) -> None:
    """Show the patient ID behind a pseudonym. The audit trail tells who asked, and why."""
    with errors_shown():
        session = open_session(data_dir)
        say(escrows.look_up(session.db, session.actor, _place(trial, job), pseudonym, reason))


@escrow_app.command()
def forget(
    reason: Reason,
    trial: Trial = "",
    job: JobWithoutTrial = 0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Destroy the linkage key of a trial, its pseudonym bindings and its escrow. This cannot be undone."""
    with errors_shown():
        place = _place(trial, job)
        session = open_session(data_dir)
        if not yes:
            typer.confirm("Nobody can ever tell again who is behind its pseudonyms. Go on?", abort=True)
        is_gone = escrows.forget(session.db, session.actor, place, reason)
        say("Forgotten. Copies of the database from before, such as backups, still know.")
        if not is_gone:
            say("So does the database's own log until adit up has ended, or with PostgreSQL until the next VACUUM.")


@audit_app.command("list")
def list_audit(
    since: Since = None,
    until: Until = None,
    who: Who = "",
    action: Action = None,
    about: About = "",
    limit: Annotated[int, typer.Option(min=1, help="How many lines are shown, the newest first.")] = 50,
    data_dir: DataDir = None,
) -> None:
    """Show who did what, and who tried to; `adit audit` does the same."""
    with errors_shown():
        session = open_session(data_dir)
        wanted = _wanted(since, until, who, action, about)
        rows = [
            (
                line.id,
                f"{line.at:%Y-%m-%d %H:%M:%S}",
                line.actor,
                line.address,
                line.action.value,
                line.subject,
                line.outcome,
                line.reason,
                "details" if line.has_details else "",
            )
            for line in trail.entries(session.db, session.actor, wanted, limit)
        ]
        show_table("Audit trail", ("id", "at (UTC)", "who", "from", "what", "about", "outcome", "reason", "more"), rows)


@audit_app.command("details")
def show_details(
    entry: Annotated[int, typer.Argument(metavar="ENTRY", min=1, max=LAST_ID, help="The entry's id in the trail.")],
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why you look; it stands in the trail. Name no patient.")
    ],
    data_dir: DataDir = None,
) -> None:
    """Show what an entry keeps encrypted, such as the reason of a review or the keys of a search; it may name patients.

    The audit trail tells who looked, and why.
    """
    with errors_shown():
        session = open_session(data_dir)
        kept = trail.details(session.db, session.actor, entry, reason)
        for name, value in kept.items():
            say(f"{name}: {value}")
        if not kept:
            say("Nothing more is kept about this entry.")


@audit_app.command("export")
def export_audit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new CSV file, readable for you only.")],
    since: Since = None,
    until: Until = None,
    who: Who = "",
    action: Action = None,
    about: About = "",
    data_dir: DataDir = None,
) -> None:
    """Write the audit trail with its digests to a CSV file. The trail tells who did so."""
    with errors_shown():
        session = open_session(data_dir)
        try:
            target = os.fdopen(
                os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", newline="", encoding="utf-8"
            )
        except OSError as exc:
            raise WriteFailed(f"{file} cannot be made. Name a file that does not exist yet.") from exc
        with target:
            target.writelines(trail.export(session.db, session.actor, _wanted(since, until, who, action, about)))
        say(f"Written to {file}.")


@audit_app.command("verify")
def verify_audit(
    expect: Annotated[
        str, typer.Option("--expect", metavar="DIGEST", help="A digest from before that must still be there.")
    ] = "",
    data_dir: DataDir = None,
) -> None:
    """Check that no line of the audit trail was changed, removed or put in; exit status 2 when one was.

    Lines cut off at the end are missed only with --expect: keep the digest shown here where no database administrator
    can change it.
    """
    with errors_shown():
        verdict = trail.verify(open_session(data_dir).db, expect.strip())
        say(f"{verdict.count} entries, {verdict.older} of them older than seals.")
        if verdict.newest:
            say(f"Newest digest: {verdict.newest}")
        if verdict.broken_at is not None:
            say(f"Entry {verdict.broken_at} does not fit: it was changed, moved or put in, or one before it is gone.")
        if not verdict.has_expected:
            say("The expected digest is not there: entries were cut off or replaced.")
        if not verdict.is_whole:
            raise typer.Exit(FAILURE)
        say("Every entry is as it was written.")


def _wanted(
    since: datetime | None, until: datetime | None, who: str, action: AuditAction | None, about: str
) -> AuditFilter:
    """The filter of the options, whose times are UTC, as those that are shown."""
    return AuditFilter(since and since.replace(tzinfo=UTC), until and until.replace(tzinfo=UTC), who, action, about)


def _place(trial: str, job_id: int) -> escrows.Place:
    if bool(trial) is bool(job_id):
        raise BadRequest("Name the trial with --trial, or a job without a trial with --job.")
    return trial or job_id
