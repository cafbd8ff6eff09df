"""The documentation tells the truth: links lead somewhere, commands and settings exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from models.settings import Settings
from tests.house.source_tree import ROOT, place, tracked_files

PAGES = [path for path in tracked_files() if path.suffix == ".md"]
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)#]*)(#[^)]*)?\)")
VARIABLE = re.compile(r"\bADIT_[A-Z][A-Z0-9_]*[A-Z0-9]\b")
BLOCK = re.compile(r"^```(?:bash|sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:adit|make) [^`]+)`")


def ids(path: Path) -> str:
    return place(path)


def calls(program: str) -> list[Any]:
    """Every call of a program in the documentation, as a shell splits it."""
    found = {
        (place(path), call): shlex.split(call)[1:]
        for path in PAGES
        for call in shell_lines(path.read_text(encoding="utf-8"))
        if call.split()[0] == program
    }
    return [pytest.param(where, words, id=f"{where}: {call}") for (where, call), words in found.items()]


def shell_lines(page: str) -> Iterator[str]:
    """Commands in blocks and in the text, without prompts and comments."""
    blocks = "".join(block.replace("\\\n", " ") for block in BLOCK.findall(page))
    for line in [*blocks.splitlines(), *INLINE.findall(page)]:
        call = shlex.join(shlex.split(line.removeprefix("$ ").removeprefix(".venv/bin/"), comments=True))
        if call:
            yield call


def check_call(command: Any, call: list[str]) -> None:
    """Follow a call down to its command; every word that is no argument must be a command or an option of it."""
    below: dict[str, Any] = getattr(command, "commands", {})
    if below and call and not call[0].startswith("-"):
        assert call[0] in below, f"there is no command {call[0]!r}"
        check_call(below[call[0]], call[1:])
        return
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in call if word.startswith("--") and word.split("=")[0] not in known | {"--help"}]
    assert unknown == [], f"{command.name} has no {unknown}"


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_links_lead_to_files(path: Path) -> None:
    targets = [target for target, _ in LINK.findall(path.read_text(encoding="utf-8")) if target]
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_variables_are_settings(path: Path) -> None:
    known = {f"ADIT_{name.upper()}" for name in Settings.model_fields}
    assert set(VARIABLE.findall(path.read_text(encoding="utf-8"))) <= known


@pytest.mark.parametrize("where, call", calls("adit"))
def test_documented_adit_commands_exist(where: str, call: list[str]) -> None:
    from deployments.cli import app

    check_call(typer.main.get_command(app), call)


@pytest.mark.parametrize("where, call", calls("make"))
def test_documented_make_targets_exist(where: str, call: list[str]) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {word for word in call if "=" not in word} <= targets


def test_every_setting_is_explained_to_operators() -> None:
    """One table row each in docs/operations.md, with the default that the code has."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| `(ADIT_[A-Z_]+)` \|", page, re.MULTILINE)
    assert shown == [f"ADIT_{name.upper()}" for name in Settings.model_fields]
