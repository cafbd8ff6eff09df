"""Whoever sees an error is told what to do about it."""

import pytest

from models.domain import errors
from models.domain.advice import Advice, advice
from models.domain.errors import AditError


def codes(error: type[AditError] = AditError) -> set[str]:
    ours = [below for below in error.__subclasses__() if below.__module__ == errors.__name__]
    return {error.__name__}.union(*map(codes, ours))


def told() -> dict[str, Advice]:
    return {code: advice(code) for code in codes()}


def test_every_error_has_advice_of_its_own() -> None:
    general = {code for code, said in told().items() if said == advice("Bug")}
    assert general == {"Bug"}


@pytest.mark.parametrize("code", sorted(codes()))
def test_advice_is_a_sentence_for_each_of_the_two(code: str) -> None:
    said = advice(code)
    assert said.for_user != said.for_admin
    for sentence in (said.for_user, said.for_admin):
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert len(sentence) < 130


def test_a_code_that_there_is_not_is_a_bug() -> None:
    assert advice("NoSuchError") == advice("Bug")
