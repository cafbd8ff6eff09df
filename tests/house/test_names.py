"""Names follow docs/glossary.md, and no file is named after nothing in particular."""

import ast
import re
from collections.abc import Iterator

from models.domain.jobs import State
from models.domain.receipts import Completeness
from tests.house.source_tree import ROOT, modules, parsed, place, tracked_files

GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
EMPTY_NAMES = {"util", "utils", "common", "core", "helper", "helpers", "base", "manager", "managers", "misc"}
EMPTY_VERBS = ("get_", "do_", "handle_", "process_", "manage_")
PRESCRIBED = {"process_bind_param", "process_result_value", "get_route_handler", "get_command"}
"""Names that SQLAlchemy gives to the methods of a column type, FastAPI to one of a route, Typer to one of a group."""
PREFECTS_ROOMS = ("tasks", "flows", "deployments")
NAMED = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def words(name: str) -> set[str]:
    """The words of a name in snake_case or CamelCase, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)}


def names(*packages: str) -> Iterator[tuple[str, str]]:
    """Where, and what name, for every class and function of the packages."""
    for path in modules(*packages):
        for node in ast.walk(parsed(path)):
            if isinstance(node, NAMED):
                yield place(path, node.lineno), node.name


def rejected_words() -> set[str]:
    """The last column of the glossary: words that we do not use for what we mean."""
    rows = [line.split("|")[1:-1] for line in GLOSSARY.splitlines() if line.startswith("| **")]
    return {word.strip() for row in rows for word in row[-1].split(",") if word.strip()}


def test_no_file_is_named_after_nothing_in_particular() -> None:
    parts = {part.split(".")[0] for path in tracked_files() for part in path.relative_to(ROOT).parts}
    assert parts & EMPTY_NAMES == set()


def test_functions_are_named_by_verbs_that_say_something() -> None:
    empty = [f"{where} {name}" for where, name in names() if name.startswith(EMPTY_VERBS) and name not in PRESCRIBED]
    assert empty == []


def test_the_code_uses_the_words_of_the_glossary() -> None:
    assert rejected_words()
    strange = [f"{where} {name}" for where, name in names() if words(name) & rejected_words()]
    assert strange == []


def test_task_and_flow_are_prefects_words() -> None:
    rooms = [package for package in ("models", "dicom", "services") if package not in PREFECTS_ROOMS]
    strange = [
        f"{where} {name}"
        for where, name in names(*rooms)
        if words(name) & {"task", "tasks"} or ("flow" in words(name) and "run" not in words(name))
    ]
    assert strange == []


def test_the_glossary_explains_every_state_and_every_verdict() -> None:
    for word in (*State, *Completeness):
        assert f"`{word.value}`" in GLOSSARY, word.value
