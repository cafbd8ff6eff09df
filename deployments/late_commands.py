"""Commands that are imported when they are called: importing all of them takes longer than most of them work."""

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from deployments.garbage import importing


class LateGroup(TyperGroup):
    """A group whose commands are known by their names, and imported when they are called or explain themselves.

    Its own help page, and completion, show of each what its source says of it. ``commands`` has the commands
    themselves.
    """

    places: ClassVar[Mapping[str, str]] = {}
    """Where each command is, as ``module:function`` or ``module:app``, by its name; in the order of the help page."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = cast(Any, _Commands(self.places))

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.places)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Something with the name and the help text of a command, which can do nothing."""
        return TyperCommand(cmd_name, help=_help(self.places[cmd_name])) if cmd_name in self.places else None

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that the words begin with, itself, and the words behind it."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, self.commands[name] if name else None, rest


class _Commands(Mapping[str, Any]):
    """Commands by their names, imported when they are asked for."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def __getitem__(self, name: str) -> Any:
        module, _, attribute = self._places[name].partition(":")
        found = getattr(_imported(module), attribute)
        whole = typer.Typer()
        if isinstance(found, typer.Typer):
            whole.add_typer(found, name=name)
        else:
            whole.command(name)(found)
        return get_group(whole).commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _imported(name: str) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    with importing():
        return import_module(name)


def _help(place: str) -> str:
    """What a command says of itself: the docstring of a function, or the ``help`` with which a group is made."""
    module, _, attribute = place.partition(":")
    statement = _statements(module)[attribute]
    if isinstance(statement, ast.FunctionDef):
        return ast.get_docstring(statement) or ""
    made = cast(ast.Call, statement.value)
    return next(str(ast.literal_eval(keyword.value)) for keyword in made.keywords if keyword.arg == "help")


@cache
def _statements(module: str) -> Mapping[str, ast.FunctionDef | ast.Assign]:
    """The functions and values of a module by their names, as its source has them; it is not imported."""
    spec = find_spec(module)
    assert spec and spec.origin, f"{module} is not there"
    found: dict[str, ast.FunctionDef | ast.Assign] = {}
    for statement in ast.parse(Path(spec.origin).read_bytes()).body:
        if isinstance(statement, ast.FunctionDef):
            found[statement.name] = statement
        elif isinstance(statement, ast.Assign) and isinstance(target := statement.targets[0], ast.Name):
            found[target.id] = statement
    return found
