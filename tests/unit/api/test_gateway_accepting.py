"""The Accept header of DICOMweb: what nobody means well costs no more than what is sent every day."""

import pytest

from api.gateway import accepting
from api.gateway.accepting import INSTANCES, check_accepts
from api.problems import Problem


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


def test_commas_and_semicolons_in_quotes_separate_nothing() -> None:
    check_accepts('text/x; a="b,c;d\\"", multipart/related; type="application/dicom"; transfer-syntax="*"', *INSTANCES)
