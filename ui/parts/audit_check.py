"""The check whether the audit trail is whole, for those who may read it."""

import streamlit as st

from models.domain.audit import Verdict
from services import audit
from ui import context, session
from ui.parts.amounts import counted
from ui.parts.escape import escape_markdown
from ui.parts.searching import Search, watch

_CHECK = "audit-check"
_QUICK_S = 2.0


def draw() -> None:
    """Draw the button that checks every seal, and the verdict."""
    st.header("Is the trail whole?", anchor=False)
    st.caption(
        "Every entry carries a seal over itself and all before it. What was changed, or taken out in between, breaks "
        "it. To notice entries that were cut off at the end, keep the newest seal elsewhere, and give it here later."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kept = st.text_input("Seal that you kept (optional)", key="audit-kept", autocomplete="off", max_chars=64)
        if st.button("Verify", key="audit-verify", icon=":material/verified:"):
            _begin((kept or "").strip())
    running: Search[Verdict] | None = st.session_state.get(_CHECK)
    if running is None:
        return
    if running.is_running:
        watch(running, lambda _: st.caption(":material/hourglass_top: Checking every seal ..."))
    elif running.error:
        st.error(escape_markdown(running.error.message), icon=":material/error:")
    else:
        _show(*running.answers())


def _begin(kept: str) -> None:
    db, actor = context.database(), session.actor()

    def verdict() -> tuple[Verdict]:
        audit.count(db, actor)  # refuses those who may not read it
        return (audit.verify(db, kept),)

    running = Search(verdict)
    st.session_state[_CHECK] = running
    running.settle(_QUICK_S)


def _show(verdict: Verdict) -> None:
    told = f"{counted(verdict.count, 'entry')} checked."
    if verdict.broken_at is not None:
        told += (
            f" The trail is broken at entry {verdict.broken_at}: it was changed, moved or put in, or one is missing."
        )
        st.error(told, icon=":material/error:")
    elif not verdict.has_expected:
        st.error(f"{told} The seal that you kept is not there any more: entries were cut off.", icon=":material/error:")
    else:
        older = f" {counted(verdict.older, 'entry')} are older than the seals." if verdict.older else ""
        st.success(f"{told} All are as they were written.{older}", icon=":material/verified:")
    if verdict.newest:
        st.markdown("The newest seal, to keep elsewhere:")
        st.code(verdict.newest, language=None)
