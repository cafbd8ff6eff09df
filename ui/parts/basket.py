"""The studies that are chosen for a transfer, each with its series to look at and to choose from."""

from collections.abc import Sequence

import streamlit as st

from models.domain.refs import SeriesFound, StudyRef
from services.searching import search
from ui import context, session
from ui.parts import amounts, studies, tables
from ui.parts.draft import Chosen, Draft
from ui.parts.escape import escape_markdown
from ui.parts.refusals import said
from ui.parts.searching import Search, watch

_AT_ONCE = 10
_QUICK_S = 0.4
_WHOLE, _SOME = "Whole study", "Only some series"


def show_basket(draft: Draft) -> None:
    """Draw the chosen studies, a few at a time; those of earlier searches are among them."""
    chosen = [*draft.chosen.values()]
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        people = amounts.counted(len(draft.patients()), "patient")
        st.write(f"**{amounts.counted(len(chosen), 'study')}** of {people}")
        st.button("Remove all", type="tertiary", icon=":material/delete:", on_click=draft.clear, key="clear-basket")
    place = st.container()
    page = tables.pager(len(chosen), "basket-page", _AT_ONCE)
    with place:
        for each in chosen[(page - 1) * _AT_ONCE : page * _AT_ONCE]:
            _study(draft, each)


def _study(draft: Draft, chosen: Chosen) -> None:
    uid = chosen.study.study_uid
    mark = tables.mark([uid])
    with st.container(horizontal=True, wrap=False, vertical_alignment="top", key=f"chosen-{mark}"):
        box = st.expander(escape_markdown(_label(chosen)), key=f"study-{mark}", on_change="rerun")
        st.button(
            "Remove",
            type="tertiary",
            key=f"remove-{mark}",
            on_click=draft.remove,
            args=(uid,),
            help="Take it out again",
        )
    with box:
        if box.open:
            _series(draft, chosen, mark)


def _label(chosen: Chosen) -> str:
    what = amounts.counted(len(chosen.series_uids), "series", "series") if chosen.series_uids else "whole study"
    return f"{studies.title(chosen.study)} | {what}"


def _series(draft: Draft, chosen: Chosen, mark: str) -> None:
    uid = chosen.study.study_uid
    asked = draft.series.get(uid)
    if asked is None:
        asked = draft.series[uid] = _ask(draft.source_id, chosen)
        asked.settle(_QUICK_S)
    if asked.is_running:
        watch(asked, lambda _: st.caption("Asking the server for the series ..."))
    elif asked.error:
        st.error(said(asked.error))
        st.button("Ask again", key=f"again-{mark}", on_click=draft.forget_series, args=(uid,))
    else:
        _choose(chosen, asked.answers(), mark)


def _ask(source_id: int, chosen: Chosen) -> Search[SeriesFound]:
    db, settings, actor = context.database(), context.settings(), session.actor()
    study = StudyRef(chosen.study.study_uid, chosen.study.patient_id)
    return Search(lambda: search.series(db, settings, actor, source_id, study))


def _choose(chosen: Chosen, found: Sequence[SeriesFound], mark: str) -> None:
    extent = st.radio(
        "What to transfer", (_WHOLE, _SOME), index=int(bool(chosen.series_uids)), key=f"extent-{mark}", horizontal=True
    )
    look = _look(ticks=extent == _SOME)
    picked = tables.table(found, look, f"series-{mark}", lambda series: series.series_uid in chosen.series_uids)
    wanted = tuple(series.series_uid for series in picked.ticked)
    if wanted != chosen.series_uids:
        chosen.series_uids = wanted
        st.rerun()
    if extent == _SOME and not wanted:
        st.caption("No series is ticked yet, so the whole study counts.")


def _look(ticks: bool) -> tables.Look[SeriesFound]:
    excluded = context.settings().exclude_modalities
    columns = [
        tables.Column[SeriesFound]("Number", lambda series: series.number),
        tables.Column[SeriesFound]("Modality", lambda series: series.modality),
        tables.Column[SeriesFound]("Description", lambda series: series.description),
        tables.Column[SeriesFound]("Images", lambda series: series.instance_count),
    ]
    if excluded:
        words = "left out when pseudonymized"
        columns.append(tables.Column("Note", lambda series: words if series.modality in excluded else ""))
    return tables.Look(
        columns, "Series of the study", lambda series: series.series_uid, "series", "series", ticks=ticks
    )
