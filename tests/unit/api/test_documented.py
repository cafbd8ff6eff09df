"""What docs/api.md shows works as it is written."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from models.domain.refs import StudyFound
from tests.api_site import Site, play
from tests.unit.api.test_batches import work

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
OPTIONS = {"-H": "header", "-d": "data", "-X": "method", "-F": "form", "-o": "output"}

MAKERS = {"/v1/batch-queries": "$QUERY", "/v1/batch-checks": "$CHECK"}
"""How the page calls the jobs that these calls make."""


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
    files = {"patients.csv": b"PatientID,Modality\nDOE-1,CT\nNOBODY,CT\n"}
    jobs: dict[str, int] = {}
    for call in calls():
        method, headers, address, output = "", {}, "", ""
        sent: dict[str, Any] = {}
        words = iter(call)
        for word in words:
            kind = OPTIONS.get(word)
            if kind == "header":
                name, _, value = next(words).partition(": ")
                headers[name] = value.replace("$TOKEN", token)
            elif kind == "data":
                sent["content"] = next(words)
            elif kind == "form":
                name, _, value = next(words).partition("=")
                if value.startswith("@"):
                    sent["files"] = {name: (value[1:], files[value[1:]])}
                else:
                    sent.setdefault("data", {})[name] = value
            elif kind == "output":
                output = next(words)
            elif kind == "method":
                method = next(words)
            elif word != "-N":
                address = word.replace("$ADIT", "/v1")
        method = method or ("POST" if sent else "GET")
        for name, job_id in jobs.items():
            address = address.replace(name, str(job_id))
        answer = site.ask(method, address, headers=headers, **sent)
        if output:
            files[output] = answer.content
        if answer.status_code == 201 and (name := MAKERS.get(address)):
            jobs[name] = answer.json()["id"]
            work(site, jobs[name])
        answers.append((f"{method} {address}", answer.status_code))
    assert len(answers) >= 24
    assert [each for each in answers if each[1] >= 300] == [("DELETE /v1/tokens/1", 404)]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 415, 422, 423, 429, 500, 502, 503, 504, 507])
def test_every_status_is_explained(status: int) -> None:
    assert re.search(rf"^\| .*\b{status}\b.* \|", PAGE, re.MULTILINE)
