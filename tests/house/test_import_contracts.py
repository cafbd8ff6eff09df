"""The direction of imports is the one that docs/adr/0001-layout-and-direction.md draws."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.house.source_tree import PACKAGES, ROOT, modules, parsed, place


def test_every_import_contract_is_kept() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_domain_imports_nothing_but_the_standard_library_and_itself() -> None:
    foreign = [
        f"{place(path, line)} imports {name}"
        for path in modules("models/domain")
        for line, name in imported_names(parsed(path))
        if name.split(".")[0] not in sys.stdlib_module_names and not name.startswith("models.domain")
    ]
    assert foreign == []


def test_every_package_of_the_tree_is_under_contract() -> None:
    """A new top-level package has to be placed in the direction of imports, and in the wheel."""
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"} | {"client/adit_client"}
    assert found == set(PACKAGES)


def test_every_directory_of_modules_is_a_package() -> None:
    """A directory without ``__init__.py`` is invisible to the import contracts."""
    directories = {path.parent for path in modules() if "versions" not in path.parts}
    bare = [place(directory) for directory in directories if not (directory / "__init__.py").exists()]
    assert [name for name in sorted(bare) if "/migrations" not in name] == []


def imported_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")
