"""People wait for what a program imports at its start: none imports what it has no use for."""

import subprocess
import sys

import pytest

from tests.house.source_tree import ROOT

HEAVY = {"prefect", "alembic", "pydicom", "pynetdicom", "numpy", "dicognito", "streamlit", "fastapi"}
HEAVIER = HEAVY | {"sqlalchemy", "pydantic", "httpx", "cryptography"}


def imported(statements: str, *words: str) -> set[str]:
    """The packages that are imported at the end of a program with these statements and arguments."""
    program = f"import atexit, sys\natexit.register(lambda: print(*sys.modules, file=sys.stderr))\n{statements}"
    ended = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    return {name.partition(".")[0] for name in ended.stderr.splitlines()[-1].split()}


@pytest.mark.parametrize(
    "words, useless",
    [
        (["--help"], HEAVIER | {"models", "services"}),
        (["node", "list", "--help"], HEAVY | {"httpx"}),
        (["generate-auth-token"], HEAVY | {"sqlalchemy", "httpx"}),
        (["up", "--help"], HEAVY),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_commands_import_what_they_need(words: list[str], useless: set[str]) -> None:
    assert imported("from deployments.cli import app\napp()", *words) & useless == set()


@pytest.mark.parametrize(
    "module, useless",
    [
        ("deployments.dispatcher", HEAVY - {"prefect"}),
        ("deployments.receiver", {"prefect", "alembic", "dicognito", "streamlit", "fastapi"}),
        ("flows.selective_transfer", {"alembic", "streamlit", "fastapi"}),
        ("services.work", HEAVY | {"httpx"}),
    ],
)
def test_programs_import_what_they_need(module: str, useless: set[str]) -> None:
    assert imported(f"import {module}") & useless == set()
