"""Tables know rows by what they are: a click or tick never counts for another row that stands in the same place."""

from streamlit.testing.v1 import AppTest

from ui.parts import tables


def page() -> None:
    """The script of a page; it runs by itself, without what is around it here."""
    from collections.abc import Sequence

    import streamlit as st

    from ui.parts import tables

    total: int = st.session_state.get("total", 30)

    def load(limit: int, offset: int) -> Sequence[int]:
        return range(total)[offset : offset + limit]

    columns = [tables.Column[int]("Number", lambda row: row)]
    look = tables.Look(columns, "Numbers", lambda row: row, "number", button="Open", ticks=True, size=10)
    picked = tables.paged_table(total, load, look, "numbers")
    st.session_state["picked"] = (picked.opened, picked.ticked)


def test_one_page_is_fetched_and_shown() -> None:
    at = AppTest.from_function(page, default_timeout=30).run()
    assert list(at.dataframe[0].value["Number"]) == [*range(10)]
    at.session_state["numbers-page"] = 3
    at.run()
    assert list(at.dataframe[0].value["Number"]) == [*range(20, 30)]


def test_a_tick_counts_for_the_rows_it_was_made_in_only() -> None:
    at = AppTest.from_function(page, default_timeout=30).run()
    at.session_state[key(range(10))] = {"selection": {"rows": [0, 3], "columns": []}}
    at.run()
    assert at.session_state["picked"] == (None, (0, 3))
    at.session_state["numbers-page"] = 2
    at.run()
    assert at.session_state["picked"] == (None, ())


def test_a_shorter_list_begins_at_its_first_page() -> None:
    at = AppTest.from_function(page, default_timeout=30).run()
    at.session_state["numbers-page"] = 3
    at.run()
    at.session_state["total"] = 12
    at.run()
    assert list(at.dataframe[0].value["Number"]) == [*range(10)]


def test_an_empty_list_says_so() -> None:
    at = AppTest.from_function(page, default_timeout=30)
    at.session_state["total"] = 0
    at.run()
    assert [caption.value for caption in at.caption] == ["There is nothing here."]


def test_the_name_of_a_table_depends_on_its_rows_and_their_order() -> None:
    assert len({tables.mark(rows) for rows in ([1, 2], [2, 1], [1], [], ["1", "2"])}) == 5


def key(rows: range) -> str:
    return f"numbers-{tables.mark(rows)}"
