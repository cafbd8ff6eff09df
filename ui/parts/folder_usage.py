"""How full a folder is, as a bar and in words, and measuring it anew."""

from collections.abc import Iterable
from typing import Any

import streamlit as st

from models.domain.nodes import Folder
from models.domain.quotas import Usage, readable
from services import quotas
from ui import context, session
from ui.parts import times
from ui.parts.escape import escape_markdown
from ui.parts.forms import Form
from ui.parts.searching import Search, watch

_WALK = "walk"
_QUICK_S = 0.8


def draw(form: Form[Any], usage: Usage) -> None:
    """Draw how full the folder of a form is, and the button that has it measured."""
    with st.container(border=True, key=form.key("usage")):
        if usage.percent is not None:
            st.progress(min(usage.percent / 100, 1.0), f"Usage: {escape_markdown(usage.sentence)}")
        else:
            st.markdown(f"Usage: {escape_markdown(usage.sentence)}")
        if usage.warns and usage.warn_at_bytes is not None:
            told = f"It has reached {readable(usage.warn_at_bytes)}, at which administrators are informed."
            st.warning(told, icon=":material/hard_drive:")
        with st.container(horizontal=True, vertical_alignment="center"):
            if form.button("measure", "Measure now", icon=":material/straighten:"):
                _begin(form, usage.folder_id)
            st.caption(f"Last measured: {times.moment(usage.measured_at)}")
        _show(form)


def warn(usages: Iterable[Usage]) -> None:
    """Say which folders are fuller than administrators want them to be."""
    full = ", ".join(escape_markdown(usage.folder_name) for usage in usages if usage.warns)
    if full:
        st.warning(f"Above the threshold at which administrators are informed: {full}.", icon=":material/hard_drive:")


def threshold(folder: Folder) -> str:
    """When administrators want to be told, in words."""
    told = [f"at {folder.warn_at_percent:g} %"] if folder.warn_at_percent is not None else []
    told += [f"at {folder.warn_at_gb:g} GB"] if folder.warn_at_gb is not None else []
    return ", ".join(told) or "never"


def _begin(form: Form[Any], folder_id: int) -> None:
    """A walk may take minutes: a thread goes, and goes on to the end even when nobody looks any more."""
    db, actor = context.database(), session.actor()
    running = Search(lambda: (quotas.measure_now(db, actor, folder_id),))
    form.remember(_WALK, running)
    running.settle(_QUICK_S)
    if not running.is_running and not running.error:
        st.rerun()


def _show(form: Form[Any]) -> None:
    running: Search[Usage] | None = form.remembered(_WALK, None)
    if running is None:
        return
    if running.is_running:
        watch(running, lambda _: st.caption(":material/hourglass_top: Measuring. You may close this."))
    elif running.error:
        st.error(escape_markdown(running.error.message), icon=":material/error:")
