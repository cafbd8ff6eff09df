"""Broadcast: a mail to chosen users or all, with a preview first, and afterwards what has become of each."""

from collections.abc import Collection
from typing import Any

import streamlit as st

from models.domain.errors import BadRequest
from models.domain.mails import Broadcast, Delivery, MailState
from models.domain.people import User
from services.post import broadcasts
from ui import context, session
from ui.parts import drawers, pickers, tables, times
from ui.parts.amounts import counted
from ui.parts.escape import escape_markdown
from ui.parts.forms import Form
from ui.parts.listings import heading
from ui.parts.live import live
from ui.parts.people import address
from ui.parts.refusals import asked
from ui.parts.tables import Column, Look

db, settings = context.database(), context.settings()
ALL, CHOSEN = "All users with an active account", "Chosen users"
STATES = {MailState.WAITING: "Waiting", MailState.SENT: "Sent", MailState.FAILED: "Failed"}
COLOURS = ["gray", "green", "red"]


def total(broadcast: Broadcast) -> int:
    """How many mails a broadcast has."""
    return broadcast.waiting + broadcast.sent + broadcast.failed


LIST = Look[Broadcast](
    [
        Column("Sent at", lambda broadcast: times.moment(broadcast.created_at)),
        Column("Subject", lambda broadcast: broadcast.subject, st.column_config.TextColumn(width="large")),
        Column("Sender", lambda broadcast: broadcast.sender),
        Column("People", total, st.column_config.NumberColumn(width="small")),
        Column("Sent", lambda broadcast: broadcast.sent, st.column_config.NumberColumn(width="small")),
        Column("Waiting", lambda broadcast: broadcast.waiting, st.column_config.NumberColumn(width="small")),
        Column("Failed", lambda broadcast: broadcast.failed, st.column_config.NumberColumn(width="small")),
    ],
    alt="Broadcasts",
    identity=lambda broadcast: broadcast.id,
    noun="broadcast",
    button="Open",
    empty="No broadcast was sent yet. Write the first to tell users about news, changes or maintenance.",
)
DELIVERIES = Look[Delivery](
    [
        Column("Recipient", lambda delivery: delivery.recipient),
        Column(
            "Result",
            lambda delivery: [STATES[delivery.state]],
            st.column_config.MultiselectColumn(options=list(STATES.values()), color=COLOURS),
        ),
        Column("Sent at", lambda delivery: times.moment(delivery.sent_at)),
        Column("Tries", lambda delivery: delivery.attempts, st.column_config.NumberColumn(width="small")),
        Column("Trouble", lambda delivery: delivery.error, st.column_config.TextColumn(width="large")),
    ],
    alt="What has become of each mail",
    identity=lambda delivery: delivery.id,
    noun="mail",
)


def compose() -> None:
    """The drawer in which a broadcast is written."""
    actor = session.actor()
    form = Form("broadcast", "new", lambda: None, drawers.close_drawer)
    people = asked(lambda: broadcasts.recipients(db, actor))
    chosen = pick_recipients(form, people)
    subject = form.text("subject", "Subject", "", max_chars=broadcasts.SUBJECT_LENGTH)
    message = form.long_text(
        "message", "Message", "", height=220, max_chars=broadcasts.MESSAGE_LENGTH, help="Plain text, one mail to each"
    )
    number = len(people) if chosen is None else len(chosen)
    with form.buttons():
        is_shown = form.button("preview", "Preview", icon=":material/visibility:")
        with st.popover("Send ...", type="primary", key=form.key("send-menu")):
            st.markdown(f"This sends a mail to **{counted(number, 'person', 'people')}**. It cannot be taken back.")
            is_sent = form.button("save", f"Send to {counted(number, 'person', 'people')}", type="primary")
    if is_sent:
        done = f"The broadcast is on its way to {counted(number, 'person', 'people')}."
        form.save(lambda: broadcasts.send(db, actor, subject, message, chosen), done)
    if is_shown:
        draw_preview(form, subject, message)


def pick_recipients(form: Form[Any], people: Collection[User]) -> Collection[int] | None:
    """Choose who gets it; None for everybody."""
    kind = form.field(st.radio, "everybody", "Recipients", ALL, options=[ALL, CHOSEN], on_change="rerun")
    chosen: Collection[int] | None = None
    if kind == CHOSEN:
        chosen = pickers.pick_users(
            form,
            "user_ids",
            "Chosen users",
            people,
            (),
            address,
            on_change="rerun",
            placeholder="Type a name or mail address",
        )
    else:
        st.caption(f"{counted(len(people), 'person', 'people')}.")
        form.spot("user_ids", "Recipients")
    return chosen


def draw_preview(form: Form[Any], subject: str, message: str) -> None:
    """The mail as each will get it."""
    try:
        mail = broadcasts.preview(settings, session.actor(), subject, message)
    except BadRequest as error:
        form.refuse(error)
        return
    with st.container(border=True, key="broadcast-letter"):
        st.markdown(f"**{escape_markdown(mail.subject)}**")
        st.caption(f"From {escape_markdown(settings.mail_from)}, to each person alone")
        st.text(mail.body)


def inspect() -> None:
    """The drawer with one broadcast and what has become of each of its mails."""
    broadcast_id = drawers.subject_id()
    known = asked(lambda: broadcasts.get(db, session.actor(), broadcast_id))
    st.caption(f"By {escape_markdown(known.sender)}, {times.moment(known.created_at)}")
    with st.container(border=True):
        st.text(known.message)
    live(is_going_on, draw_progress)


def draw_progress() -> None:
    """How far the broadcast is, and each mail."""
    actor, broadcast_id = session.actor(), drawers.subject_id()
    now = asked(lambda: broadcasts.get(db, actor, broadcast_id))
    words = f"{now.sent} of {counted(total(now), 'mail')} sent, {now.waiting} waiting, {now.failed} failed"
    st.progress((now.sent + now.failed) / max(total(now), 1), words)
    tables.paged_table(
        total(now),
        lambda limit, skip: broadcasts.deliveries(db, actor, broadcast_id, limit, skip),
        DELIVERIES,
        "deliveries",
    )


def is_going_on() -> bool:
    """Whether mails of the broadcast in the drawer still wait."""
    return broadcasts.get(db, session.actor(), drawers.subject_id()).waiting > 0


def draw_list() -> None:
    """All broadcasts, the newest first."""
    actor = session.actor()
    count = asked(lambda: broadcasts.count(db, actor))
    opened = tables.paged_table(
        count, lambda limit, skip: broadcasts.list(db, actor, limit, skip), LIST, "broadcasts"
    ).opened
    if opened:
        drawers.open_drawer(opened.id)
        st.rerun()


def is_sending() -> bool:
    """Whether mails of one of the newest broadcasts still wait."""
    return any(broadcast.waiting for broadcast in asked(lambda: broadcasts.list(db, session.actor())))


heading("Broadcast", "New broadcast")
st.caption("A broadcast is one mail to each of many users. Nobody sees who else gets it.")
live(is_sending, draw_list)
if drawers.is_open() and not drawers.subject_id():
    drawers.show_drawer("New broadcast", compose)
elif drawers.is_open():
    subject = asked(lambda: broadcasts.get(db, session.actor(), drawers.subject_id())).subject
    drawers.show_drawer(subject, inspect)
