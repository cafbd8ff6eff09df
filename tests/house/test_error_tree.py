"""The drawing at the top of models/domain/errors.py and the reference page are the classes."""

import re

import pytest

from models.domain import errors
from models.domain.errors import AditError, Retry
from tests.house.source_tree import ROOT

PAGE = ROOT / "docs" / "reference" / "errors.md"
BRANCH = re.compile(r"^(?P<depth>(?:│   |    )*)[├└]── (?P<names>\w+(?: · \w+)*)(?P<note>.*)$")


def classes(root: type[AditError] = AditError) -> list[type[AditError]]:
    """The tree in the order of the module, each class before those below it."""
    below = [
        found for child in root.__subclasses__() if child.__module__ == errors.__name__ for found in classes(child)
    ]
    return [root, *below]


def drawn() -> dict[str, tuple[str, str]]:
    """Name to the name above it and the note at the end of its line."""
    found: dict[str, tuple[str, str]] = {}
    above = ["AditError"]
    for line in (errors.__doc__ or "").splitlines():
        if match := BRANCH.match(line):
            depth = len(match["depth"]) // 4
            names = match["names"].split(" · ")
            found |= {name: (above[depth], match["note"].strip()) for name in names}
            above[depth + 1 :] = [names[-1]]
    return found


def row(error: type[AditError]) -> str:
    indent = "&emsp;" * (error.__mro__.index(AditError) - 1)
    tried_again = "no" if error.retry is Retry.NEVER else "yes"
    return f"| {indent}`{error.__name__}` | {error().message} | {tried_again} |"


def test_the_drawing_shows_every_class_under_its_parent() -> None:
    assert {name: parent for name, (parent, _) in drawn().items()} == {
        error.__name__: error.__bases__[0].__name__ for error in classes()[1:]
    }


def test_the_drawing_says_truly_what_is_retried() -> None:
    by_name = {error.__name__: error for error in classes()}
    for name, (_, note) in drawn().items():
        if note in {"(retried)", "(never)"}:
            assert (by_name[name].retry is not Retry.NEVER) is (note == "(retried)"), name


def test_the_reference_page_lists_every_error_with_its_message() -> None:
    rows = [row(error) for error in classes()[1:]]
    shown = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ") and "`" in line]
    assert shown == rows, "docs/reference/errors.md should hold these rows:\n" + "\n".join(rows)


@pytest.mark.parametrize("error", classes(), ids=lambda error: error.__name__)
def test_every_error_has_a_message_without_one_being_given(error: type[AditError]) -> None:
    message = error().message
    assert message.endswith(".")
    assert message.splitlines() == [message]
