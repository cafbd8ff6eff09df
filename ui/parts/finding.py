"""The first step of a transfer: a source, a query, and the studies that come in and can be ticked."""

from collections.abc import Mapping, Sequence

import streamlit as st

from models.domain.errors import BadRequest
from models.domain.nodes import NodeName
from models.domain.refs import StudyFound, StudyQuery
from services.searching import search
from ui import context, session
from ui.parts import amounts, studies, tables
from ui.parts.draft import Draft
from ui.parts.escape import escape_markdown
from ui.parts.refusals import said
from ui.parts.searching import Progress, Search, watch
from ui.parts.study_query import other_problems, query_form

_QUICK_S = 0.4
_TALLEST_PIXELS = 460


def choose_source(draft: Draft, sources: Sequence[NodeName], remembered: Mapping[str, object]) -> None:
    """Draw the choice of the source; another one clears what was found and chosen."""
    known = [node.id for node in sources]
    last = draft.source_id or remembered.get("source")
    only = 0 if len(known) == 1 else None
    chosen = st.selectbox(
        "Source",
        sources,
        index=known.index(last) if isinstance(last, int) and last in known else only,
        format_func=lambda node: node.name,
        key="source",
        placeholder="Choose the server to search",
        persist_state="session",
    )
    draft.use_source(chosen.id if chosen else 0)


def find_studies(draft: Draft) -> None:
    """Draw the query form, and what a search has found so far."""
    running = draft.search
    error = running.error if running else None
    query = query_form(error.problems if isinstance(error, BadRequest) else {})
    if query:
        _begin(draft, query)
        st.rerun()
    if running is None:
        return
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        place = st.container()
        if running.is_running:
            st.button("Cancel", icon=":material/close:", on_click=running.cancel, key="cancel-search")
    if running.is_running:
        watch(running, lambda found: _show_running(found))
        return
    found = _sorted(running.answers())
    with place:
        _say_how_it_ended(running, found)
    if found:
        _choose(draft, found)


def _begin(draft: Draft, query: StudyQuery) -> None:
    if draft.search:
        draft.search.cancel()
    db, settings, actor, source = context.database(), context.settings(), session.actor(), draft.source_id
    draft.search = Search(lambda: search.studies(db, settings, actor, source, query))
    draft.search.settle(_QUICK_S)


def _show_running(found: Sequence[StudyFound]) -> None:
    st.caption(f":material/hourglass_top: Searching ... {amounts.counted(len(found), 'study')} so far")
    if found:
        tables.table(_sorted(found), _look(ticks=False), "studies-so-far")


def _say_how_it_ended(running: Search[StudyFound], found: Sequence[StudyFound]) -> None:
    count = amounts.counted(len(found), "study")
    if isinstance(running.error, BadRequest) and running.error.problems:
        lines = [
            "Nothing was searched yet. Please correct what is marked above.",
            *other_problems(running.error.problems),
        ]
        st.error(escape_markdown(" ".join(lines)), icon=":material/error:")
    elif running.error:
        st.error(said(running.error), icon=":material/error:")
    elif running.progress is Progress.CANCELED:
        st.warning(f"The search was stopped. {count} had come in until then.", icon=":material/close:")
    elif isinstance(running.source, search.StudySearch) and running.source.has_more:
        st.warning(f"More than {count} match. Narrow the search to see the others.", icon=":material/warning:")
    elif not found:
        st.info("No study matches.", icon=":material/search_off:")
    else:
        st.caption(f"{count} found. Tick those that you want to transfer.")


def _choose(draft: Draft, found: Sequence[StudyFound]) -> None:
    key = f"studies-{draft.removals}"
    picked = tables.table(found, _look(ticks=True), key, lambda study: study.study_uid in draft.chosen)
    draft.tick(found, picked.ticked)


def _sorted(found: Sequence[StudyFound]) -> Sequence[StudyFound]:
    """Newest first; those without a date last."""
    return sorted(found, key=lambda study: (study.study_date, study.study_time), reverse=True)


def _look(ticks: bool) -> tables.Look[StudyFound]:
    columns = [
        tables.Column[StudyFound]("Patient ID", lambda study: study.patient_id),
        tables.Column[StudyFound]("Patient name", lambda study: studies.person(study.patient_name)),
        tables.Column[StudyFound]("Birth date", lambda study: studies.day(study.birth_date)),
        tables.Column[StudyFound]("Study date", studies.day_and_time),
        tables.Column[StudyFound]("Modality", lambda study: ", ".join(study.modalities)),
        tables.Column[StudyFound]("Images", lambda study: study.instance_count),
        tables.Column[StudyFound]("Description", lambda study: study.study_description),
        tables.Column[StudyFound]("Accession number", lambda study: study.accession_number),
    ]
    return tables.Look(
        columns,
        "Studies found",
        lambda study: study.study_uid,
        "study",
        "studies",
        ticks=ticks,
        tallest=_TALLEST_PIXELS,
    )
