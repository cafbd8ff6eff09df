"""The Accept header of DICOMweb: what nobody means well costs no more than what is sent every day."""

import pytest
from fastapi import Request

from api.gateway import accepting, retrieving
from api.gateway.accepting import INSTANCES, check_accepts
from api.problems import Problem
from models.domain.errors import BadRequest


@pytest.mark.parametrize("text", ['"' + '\\"' * 400, '"' + "\\" * 401, "a" * 20 + ';b="' + "\\\n" * 300])
def test_a_quote_that_is_never_closed_runs_to_the_end_and_is_read_once(text: str) -> None:
    assert accepting._RANGES.findall(text) == [text]
    assert len(list(accepting._ranges(text))) == 1
    assert len(accepting._PIECES.findall(text)) == 1 + (";" in text)


def test_a_header_that_is_longer_than_any_real_one_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(accepting, "_ranges", lambda header: read.append(header) or iter(()))
    for header in ("*/*, " * 4000, '"' + '\\"' * 10_000):
        with pytest.raises(Problem) as caught:
            check_accepts(header, *INSTANCES)
        assert caught.value.status == 406
    assert read == []


@pytest.mark.parametrize("header", [";", ";;;", ",;,", " ; "])
def test_a_range_of_semicolons_alone_names_nothing(header: str) -> None:
    with pytest.raises(Problem) as caught:
        check_accepts(header, *INSTANCES)
    assert (caught.value.status, set(caught.value.errors)) == (406, {"Accept"})


def test_commas_and_semicolons_in_quotes_separate_nothing() -> None:
    check_accepts('text/x; a="b,c;d\\"", multipart/related; type="application/dicom"; transfer-syntax="*"', *INSTANCES)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("pseudonym=a&profile=b&pseudonym=a", ["pseudonym"]),
        ("profile=a&pseudonym=b&pseudonym=&profile=a", ["profile", "pseudonym"]),
        ("&".join(["pseudonym=a"] * 20_000), []),
        ("&".join(f"{number}=a" for number in range(20_000)), []),
    ],
)
def test_parameters_of_a_retrieval_are_few_and_stand_there_once(query: str, named: list[str]) -> None:
    request = Request({"type": "http", "headers": [], "query_string": query.encode()})
    with pytest.raises(BadRequest) as caught:
        retrieving._check(request, retrieving.Parameters(), *INSTANCES)
    assert sorted(caught.value.problems) == named
    assert len(caught.value.message) < 200
