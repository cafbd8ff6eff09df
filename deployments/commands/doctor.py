"""`adit doctor`: what is wrong with this installation, and what to do about it."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated

import typer

from deployments.commands.session import DataDir
from deployments.doctor.examination import examine
from deployments.doctor.findings import Finding, Level
from deployments.screen import FAILURE, SUCCESS, WARNING, console, say
from dicom.quiet import silence_libraries

_STATUS = {Level.OK: SUCCESS, Level.WARNING: WARNING, Level.PROBLEM: FAILURE}
_COLORS = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}
_WIDTH = len(Level.PROBLEM)


def doctor(
    asks_nodes: Annotated[
        bool, typer.Option("--nodes", help="Also connect to every server and try its services.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Look at everything that can be looked at, and tell for each thing that is wrong how to put it right.

    Exit status: 0 when all is well, 1 when there are warnings, 2 when there is a problem.
    """
    silence_libraries()
    found = examine(data_dir, asks_nodes)
    findings = [*found] if as_json else [*_shown(found)]
    worst = max((finding.level for finding in findings), key=lambda level: _STATUS[level], default=Level.OK)
    if as_json:
        document = {"status": worst.value, "findings": [asdict(finding) for finding in findings]}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _conclude(findings)
    raise typer.Exit(_STATUS[worst])


def _shown(findings: Iterable[Finding]) -> Iterable[Finding]:
    """Print each finding when it is there: some take seconds."""
    for finding in findings:
        console.print(f"{finding.level.value:<{_WIDTH}}  ", style=_COLORS[finding.level], end="")
        console.print(f"{finding.what}: {finding.text}", markup=False, soft_wrap=True)
        if finding.remedy:
            console.print(f"{'':<{_WIDTH}}  -> {finding.remedy}", markup=False, soft_wrap=True)
        yield finding


def _conclude(findings: Iterable[Finding]) -> None:
    levels = [finding.level for finding in findings]
    problems, warnings = levels.count(Level.PROBLEM), levels.count(Level.WARNING)
    say(
        f"{len(levels)} things looked at: {problems} problems, {warnings} warnings."
        if problems or warnings
        else "All is well."
    )
