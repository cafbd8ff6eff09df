"""What is public says what it gives: modules, classes, functions and methods have a docstring."""

import ast
from collections.abc import Iterator

from tests.house.source_tree import modules, parsed, place

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
GENERATED = ("migrations",)
PRESCRIBED = {"close", "process_bind_param", "process_result_value"}
"""Names that Python and SQLAlchemy give."""


def test_every_module_says_what_it_is_for() -> None:
    silent = [place(path) for path in modules() if path.read_text().strip() and not ast.get_docstring(parsed(path))]
    assert silent == []


def test_every_public_class_and_function_has_a_docstring() -> None:
    silent = [
        f"{place(path, node.lineno)} {node.name}"
        for path in modules()
        if not set(GENERATED) & set(path.parts)
        for node in public(parsed(path))
        if not ast.get_docstring(node)
    ]
    assert silent == []


def test_docstrings_begin_on_the_first_line_with_a_sentence() -> None:
    odd = [
        f"{place(path)} {getattr(node, 'name', '')}"
        for path in modules()
        for node in ast.walk(parsed(path))
        if isinstance(node, Documented) and is_odd(ast.get_docstring(node, clean=False))
    ]
    assert odd == []


def is_odd(docstring: str | None) -> bool:
    return docstring is not None and (not docstring.strip() or docstring[0].isspace())


def public(tree: ast.Module) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Public classes, and the functions and methods whose name and signature do not say it all."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node
            yield from (method for method in node.body if isinstance(method, FUNCTIONS) and needs_words(method))
        elif isinstance(node, FUNCTIONS) and needs_words(node):
            yield node


def needs_words(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Not what is private or has one statement, and not what a port of ours or a library describes."""
    describes_itself = node.name.startswith("_") or len(node.body) == 1
    return not (describes_itself or node.name in PORT_METHODS | PRESCRIBED or is_setter(node))


def is_setter(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(mark, ast.Attribute) and mark.attr == "setter" for mark in node.decorator_list)


def protocol_methods() -> Iterator[str]:
    for path in modules():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef) and any(base_name(base) == "Protocol" for base in node.bases):
                yield from (method.name for method in node.body if isinstance(method, FUNCTIONS))


def base_name(base: ast.expr) -> str:
    return base.id if isinstance(base, ast.Name) else getattr(base, "attr", "")


PORT_METHODS = frozenset(protocol_methods())


def test_the_search_for_ports_finds_them() -> None:
    assert {"find_studies", "retrieve", "send", "abort"} <= PORT_METHODS
