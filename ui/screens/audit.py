"""The audit trail: who did what and when, with filters, export, and the check that nothing was changed or taken out."""

from datetime import date, datetime, time, timedelta

import streamlit as st

from models.domain.audit import BEGUN, DONE, AuditAction, AuditEntry, AuditFilter
from services import audit
from ui import audit_file, context, session
from ui.parts import audit_check, drawers, tables, times
from ui.parts.facts import show_facts
from ui.parts.forms import Form
from ui.parts.listings import choose, heading, search
from ui.parts.refusals import asked
from ui.parts.tables import Column, Look

db = context.database()
TIME, ACTION, FROM, ABOUT, REASON = 180, 130, 95, 205, 90
"""Pixels of columns: together they fit into the window of a laptop, and a larger one shares its room among them."""
LOOK = Look[AuditEntry](
    [
        Column("Time", lambda entry: times.exact(entry.at), st.column_config.TextColumn(width=TIME)),
        Column("Who", lambda entry: entry.actor),
        Column("Action", lambda entry: action_word(entry.action), st.column_config.TextColumn(width=ACTION)),
        Column(
            "Outcome",
            lambda entry: [outcome_word(entry)],
            st.column_config.MultiselectColumn(
                options=["Begun", "Done", "Refused", "Failed"],
                color=["gray", "green", "red", "orange"],
                accept_new_options=True,
            ),
        ),
        Column("From", lambda entry: entry.address, st.column_config.TextColumn(width=FROM)),
        Column("About", lambda entry: entry.subject, st.column_config.TextColumn(width=ABOUT)),
        Column("Reason", lambda entry: entry.reason, st.column_config.TextColumn(width=REASON)),
        Column("More", lambda entry: "details" if entry.has_details else ""),
    ],
    alt="Audit trail",
    identity=lambda entry: entry.id,
    noun="entry",
    plural="entries",
    button="Open",
    empty="No entry matches. Take filters away to see more.",
)
REFUSALS = {"NotPermitted", "TooManyTries", "AppLocked", "UnderMaintenance", "OverQuota"}


def action_word(action: AuditAction) -> str:
    """The action as people read it."""
    return action.value.replace("_", " ").capitalize()


def outcome_word(entry: AuditEntry) -> str:
    """How it ended, in a word."""
    if entry.outcome in (BEGUN, DONE):
        return entry.outcome.capitalize()
    return "Refused" if entry.outcome in REFUSALS else "Failed"


def filters() -> AuditFilter:
    """Draw the filters, and return which entries are wanted."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="audit-filters"):
        since = st.date_input("From", None, key="audit-since", bind="query-params", format="YYYY-MM-DD")
        until = st.date_input("Until", None, key="audit-until", bind="query-params", format="YYYY-MM-DD")
        who = search("audit-who", "Who", "Username")
        action = choose("audit-action", "Action", {action: action_word(action) for action in AuditAction})
        text = search("audit-text", "Text", "About, reason, from")
    return AuditFilter(midnight(since), midnight(until, days=1), who, action, text)


def midnight(day: date | None, days: int = 0) -> datetime | None:
    """When a day begins here, some days later; None for none."""
    return datetime.combine(day + timedelta(days), time(), context.time_zone()) if day else None


def inspect() -> None:
    """The drawer with one entry; what is kept encrypted is shown to those who say why they look."""
    actor, entry_id = session.actor(), drawers.subject_id()
    form = Form("entry", entry_id, lambda: asked(lambda: audit.get(db, actor, entry_id)), drawers.close_drawer)
    entry = form.subject
    facts = {
        "Entry": str(entry.id),
        "Time": times.exact(entry.at),
        "Who": entry.actor,
        "Action": action_word(entry.action),
        "Outcome": entry.outcome,
        "About": entry.subject or times.NONE,
        "Reason": entry.reason or times.NONE,
        "From": entry.address or times.NONE,
        "Seal": entry.digest or "none: older than the seals",
    }
    show_facts(facts, "entry-facts")
    if not entry.has_details:
        st.caption("Nothing more is kept about this entry.")
        return
    st.caption("More is kept encrypted, such as the keys of a search. Looking at it is itself written down.")
    reason = form.text("reason", "Why do you need to see it?", "", max_chars=500)
    with form.buttons():
        is_asked = form.button("details", "Show details", type="primary", icon=":material/key:")
    if is_asked:
        form.attempt(lambda: show_facts(dict(audit.details(db, actor, entry_id, reason)), "entry-more"))


heading("Audit trail")
st.caption("Who signed in, searched, transferred, downloaded, looked up identities, or changed rights and nodes.")
wanted = filters()
number = asked(lambda: audit.count(db, session.actor(), wanted))
opened = tables.paged_table(
    number, lambda limit, skip: audit.entries(db, session.actor(), wanted, limit, skip), LOOK, "audit"
).opened
with st.container(horizontal=True):
    st.link_button(
        "Export CSV", audit_file.address(wanted), icon=":material/download:", key="audit-export", disabled=not number
    )
audit_check.draw()
if opened:
    drawers.open_drawer(opened.id)
if drawers.is_open():
    drawers.show_drawer(f"Entry {drawers.subject_id()}", inspect)
