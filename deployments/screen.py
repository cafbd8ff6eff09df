"""What the `adit` command shows: tables, one red line for an error, and the exit status."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.domain.errors import AditError

SUCCESS, WARNING, FAILURE = 0, 1, 2
"""Exit statuses. 2 stands for whatever did not work: a failed or canceled job, a refusal, a wrong option."""

_UNMEASURED_WIDTH = 140
"""Columns, where output goes to a file or pipe; rich would take 80 and cut UIDs."""


def _console(is_for_errors: bool) -> Console:
    console = Console(stderr=is_for_errors, highlight=False)
    return console if console.is_terminal else Console(stderr=is_for_errors, highlight=False, width=_UNMEASURED_WIDTH)


console = _console(is_for_errors=False)
_errors = _console(is_for_errors=True)


@contextmanager
def errors_shown() -> Generator[None]:
    """Print an error of ours as one line and end the command with status 2; other errors keep their traceback."""
    try:
        yield
    except AditError as error:
        _errors.print(f"[bold red]{error.code}:[/] ", end="")
        _errors.print(error.message, style="red", markup=False, soft_wrap=True)
        raise typer.Exit(FAILURE) from error


def show_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print rows; an empty table is printed as its title with the word none."""
    table = Table(*columns, title=title, title_justify="left", title_style="bold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    if table.row_count:
        console.print(table)
    else:
        console.print(f"{title}: none")


def say(line: str) -> None:
    """Print a line as it is."""
    console.print(line, markup=False, soft_wrap=True)


def _cell(value: object) -> str:
    return escape(str(value))
