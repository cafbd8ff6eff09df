"""`adit deidentify`: the same de-identification as transfers have, for files of this machine."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deployments.commands.session import DataDir, open_session
from deployments.offline import outcomes
from deployments.offline.outcomes import Fate, Outcome
from deployments.offline.run import Run, read_pseudonyms
from deployments.screen import FAILURE, SUCCESS, WARNING, console, errors_shown, say, show_table
from models.domain.errors import BadRequest

_MOST_SHOWN = 20


def deidentify(
    source: Annotated[Path, typer.Argument(metavar="IN_DIR", help="A folder with DICOM files, at any depth.")],
    destination: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="A folder for the results, made if missing.")],
    scope: Annotated[
        str,
        typer.Option(
            "--scope", metavar="NAME", help="The trial: its jobs and files have the same pseudonyms, UIDs, date shifts."
        ),
    ],
    profile: Annotated[str, typer.Option(metavar="NAME", help="The profile; without it, that of the settings.")] = "",
    pseudonyms: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="File with the columns patient_id, pseudonym. Others get generated ones."),
    ] = None,
    trial_name: Annotated[str, typer.Option(help="The trial's name, for the results.")] = "",
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV", help="What became of each file. Ties originals to results: keep it with the former."
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="How many processes work at the same time.")
    ] = os.cpu_count() or 1,
    data_dir: DataDir = None,
) -> None:
    """De-identify files. Exits with 0 when all were done, 1 when some were left out or held, 2 when some failed.

    Whatever is interrupted can be repeated with the same result.
    """
    with errors_shown():
        if report is not None and destination.resolve() in report.resolve().parents:
            raise BadRequest("--report: it must not be in OUT_DIR, since it ties originals to results.")
        if report is not None:
            outcomes.write_report(report, [])
        session = open_session(data_dir, makes_key=True)
        wishes = read_pseudonyms(pseudonyms) if pseudonyms else []
        name = profile or session.settings.profile
        with _bar() as bar:
            task = bar.add_task("Looking", total=None)
            run = Run(
                session.db,
                session.settings,
                session.actor,
                workers,
                lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
            )
            found = run.deidentify(source, destination, name, scope, trial_name, wishes)
        if report is not None:
            outcomes.write_report(report, found)
        _show(found)
    raise typer.Exit(_status(found))


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )


def _show(found: list[Outcome]) -> None:
    show_table(f"{len(found)} files", ("outcome", "code", "reason", "files"), outcomes.counts(found))
    others = [outcome for outcome in found if outcome.fate is not Fate.DONE]
    for outcome in others[:_MOST_SHOWN]:
        say(f"{outcome.fate.value}: {os.fsencode(outcome.path).decode('utf-8', 'backslashreplace')}")
    if len(others) > _MOST_SHOWN:
        say(f"and {len(others) - _MOST_SHOWN} more; --report names all.")


def _status(found: list[Outcome]) -> int:
    fates = {outcome.fate for outcome in found}
    if Fate.FAILED in fates:
        return FAILURE
    return SUCCESS if fates <= {Fate.DONE} else WARNING
