"""No cell of a file of ours is a formula, and what was guarded can be read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.formula_guard import guarded, is_dangerous, plain

SIGNS = "\uff1d\uff0b\uff0d\uff20"
"""Full-width twins of those that begin a formula."""


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", *SIGNS, " =", "\ufeff=", "\t=", "'=", "''+"])
def test_what_a_program_may_take_for_a_formula_gets_an_apostrophe(begin: str) -> None:
    assert guarded(f"{begin}HYPERLINK()") == f"'{begin}HYPERLINK()"


@pytest.mark.parametrize("text", ["", "1", "Doe, Jane", "'", "'quoted'", "a=b", "2023-12-31", "O'Neill", " x"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert guarded(text) == plain(text) == text


@given(st.text(st.sampled_from("'=+-@\t\r\n a\uff1d"), max_size=6) | st.text())
def test_every_text_comes_back_and_none_begins_like_a_formula(text: str) -> None:
    written = guarded(text)
    assert plain(written) == text
    assert not written.lstrip().startswith(("=", "+", "-", "@"))
    assert written.startswith("'") or not is_dangerous(written)
