"""The documentation tells the truth: links lead somewhere, commands and settings exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from deployments import progress
from models.settings import Settings
from tests.house.source_tree import ROOT, place, tracked_files
from ui import navigation

PAGES = [path for path in tracked_files() if path.suffix == ".md"]
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)#]*)(#[^)]*)?\)")
VARIABLE = re.compile(r"\bADIT_[A-Z][A-Z0-9_]*[A-Z0-9]\b")
BLOCK = re.compile(r"^```(?:bash|sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FENCED = re.MULTILINE | re.DOTALL
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


def anchors(path: Path) -> set[str]:
    """The anchors that a page on GitHub has: its headings in lower case, without marks, with hyphens for spaces."""
    headings = re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=FENCED), re.M
    )
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", heading)).lower() for heading in headings]
    return {f"#{heading.replace(' ', '-')}" for heading in plain}


def named_tests(section: str) -> Iterator[tuple[str, str]]:
    """Each test that a section of the admin guide names, with the files in which it may be."""
    table = "".join(line for line in section.splitlines(keepends=True) if line.startswith("|"))
    files = re.findall(r"`(tests/[\w/]+\.py)`", section.replace(table, "")) or ["tests/acceptance/test_admin_guide.py"]
    for file, name in re.findall(r"`(?:(tests/[\w/]+\.py)::)?(test_\w+)`", table):
        yield name, "".join((ROOT / one).read_text(encoding="utf-8") for one in ([file] if file else files))


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
def test_links_into_pages_lead_to_headings(path: Path) -> None:
    links = [(target, anchor) for target, anchor in LINK.findall(path.read_text(encoding="utf-8")) if anchor]
    assert [link for link in links if link[1] not in anchors(path.parent / link[0] if link[0] else path)] == []


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


def test_the_admin_guide_names_tests_where_they_are() -> None:
    sections = (ROOT / "docs" / "admin-guide.md").read_text(encoding="utf-8").split("\n## ")[1:]
    named = [found for section in sections for found in named_tests(section)]
    assert len(named) > 20
    assert [name for name, source in named if f"def {name}(" not in source] == []


def test_the_tutorial_explains_every_figure_of_an_item() -> None:
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    table = page.partition("| column | means |")[2].partition("\n\n")[0]
    figures = progress._COLUMNS[progress._COLUMNS.index("expected") :]
    assert [name for name in ("verdict", *figures) if f"| {name} |" not in table] == []


def test_the_client_readme_names_the_pages_by_their_titles() -> None:
    page = (ROOT / "client" / "README.md").read_text(encoding="utf-8")
    begin = page.partition("## Begin")[2].partition("```")[0]
    named = re.findall(r"\*([A-Z][^*]+)\*", begin)
    assert named and set(named) <= {screen.title for screen in navigation.ALL}
