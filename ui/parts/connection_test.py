"""Tests of a connection, asked for in a drawer: a thread asks, and each finding stands there in a sentence."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from models.domain.nodes import Node
from services.checks import connections
from services.checks.connections import Finding
from ui import context, session
from ui.parts.escape import escape_markdown
from ui.parts.forms import Form
from ui.parts.searching import Search, watch

_TEST = "connection-test"
_QUICK_S = 1.0


def begin(form: Form[Any], node: Node) -> None:
    """Test a node as it was entered, saved or not."""
    db, settings, actor = context.database(), context.settings(), session.actor()
    running = Search(lambda: connections.test(db, settings, actor, node))
    form.remember(_TEST, running)
    running.settle(_QUICK_S)


def show(form: Form[Any]) -> None:
    """Draw what the last test of this form has found so far, if there was one."""
    running: Search[Finding] | None = form.remembered(_TEST, None)
    if running is None:
        return
    if running.is_running:
        watch(running, lambda _: st.caption(":material/hourglass_top: Testing the connection ..."))
    elif running.error:
        form.refuse(running.error)
    else:
        draw(running.answers())


def draw(findings: Sequence[Finding]) -> None:
    """Each finding with what was tested, how it went, and how long it took."""
    with st.container(border=True, key="connection-findings"):
        failed = sum(not finding.is_ok for finding in findings)
        told = f"{failed} of {len(findings)} tests failed" if failed else "Everything that was tested works"
        st.markdown(f"**{told}**")
        for finding in findings:
            icon = ":green[:material/check_circle:] ok" if finding.is_ok else ":red[:material/error:] failed"
            words = escape_markdown(f"{finding.text}")
            st.markdown(f"{icon} **{escape_markdown(finding.what)}** ({finding.seconds:.1f} s): {words}")
