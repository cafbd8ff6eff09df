"""What docs/api.md shows works as it is written."""

import re
import shlex
from pathlib import Path

import pytest

from models.domain.refs import StudyFound
from tests.api_site import Site, play

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
OPTIONS = {"-H": "header", "-d": "data", "-X": "method"}


def calls() -> list[list[str]]:
    """Every curl command of the page, as a shell splits it."""
    words = [shlex.split(block.replace("\\\n", " ")) for block in BLOCKS]
    found: list[list[str]] = []
    for block in words:
        for word in block:
            if word == "curl":
                found.append([])
            elif found:
                found[-1].append(word)
    return [[word for word in call if not word.startswith(("export", "ADIT=", "TOKEN="))] for call in found]


def test_every_documented_call_works(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, StudyFound("1.2.840.113619.2.55.3", "1001", "Doe^John"))
    token = site.token("eve")  # the token with the id 1, which the page revokes, is eve's; so it cannot
    token = site.token("ada")
    answers = []
    for call in calls():
        method, headers, content, address = "", {}, None, ""
        words = iter(call)
        for word in words:
            kind = OPTIONS.get(word)
            if kind == "header":
                name, _, value = next(words).partition(": ")
                headers[name] = value.replace("$TOKEN", token)
            elif kind == "data":
                content = next(words)
            elif kind == "method":
                method = next(words)
            elif word != "-N":
                address = word.replace("$ADIT", "/v1")
        method = method or ("GET" if content is None else "POST")
        answer = site.ask(method, address, headers=headers, content=content)
        answers.append((f"{method} {address}", answer.status_code))
    assert len(answers) >= 15
    assert [each for each in answers if each[1] >= 300] == [("DELETE /v1/tokens/1", 404)]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 423, 429, 500, 502, 503, 504, 507])
def test_every_status_is_explained(status: int) -> None:
    assert re.search(rf"^\| .*\b{status}\b.* \|", PAGE, re.MULTILINE)
