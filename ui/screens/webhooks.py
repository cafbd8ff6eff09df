"""Webhooks: addresses of other programs that are told what becomes of jobs, and what has become of each notice."""

from typing import Any

import streamlit as st

from models.domain.webhooks import JOB_EVENTS, Event, Notice, NoticeState, Webhook, WebhookWish
from services.webhooks import administration
from ui import context, session
from ui.parts import drawers, new_secret, tables, times
from ui.parts.escape import escape_markdown
from ui.parts.flash import flash
from ui.parts.forms import Form
from ui.parts.listings import heading, removal
from ui.parts.live import live
from ui.parts.refusals import asked, tried
from ui.parts.tables import Column, Look

db, settings = context.database(), context.settings()
EVENTS = {
    Event.ACCEPTED: "Job accepted",
    Event.STARTED: "Job started",
    Event.FINISHED: "Job finished",
    Event.CANCELED: "Job canceled",
    Event.DELETED: "Job deleted",
    Event.TEST: "Test",
}
STATES = {NoticeState.WAITING: "Waiting", NoticeState.SENT: "Sent", NoticeState.FAILED: "Given up"}
COLOURS = ["gray", "green", "red"]
STANDINGS = {"Active": "green", "Not active": "gray", "Failing": "red"}
SMALL, MEDIUM, LARGE = (st.column_config.TextColumn(width=width) for width in ("small", "medium", "large"))


def standing(webhook: Webhook) -> str:
    """How a webhook stands, in a word."""
    if not webhook.is_active:
        return "Not active"
    return "Failing" if webhook.is_failing else "Active"


LIST = Look[Webhook](
    [
        Column("Description", lambda webhook: webhook.description, MEDIUM),
        Column("Address", lambda webhook: webhook.url, LARGE),
        Column("Events", lambda webhook: ", ".join(EVENTS[event] for event in JOB_EVENTS if event in webhook.events)),
        Column(
            "Status",
            lambda webhook: [standing(webhook)],
            st.column_config.MultiselectColumn(options=list(STANDINGS), color=list(STANDINGS.values()), width=100),
        ),
        Column("Since", lambda webhook: times.moment(webhook.failing_since_at), SMALL),
    ],
    alt="Webhooks",
    identity=lambda webhook: webhook.id,
    noun="webhook",
    button="Open",
    empty="There is no webhook. Add one to let another program know what becomes of jobs.",
)
NOTICES = Look[Notice](
    [
        Column("At", lambda notice: times.moment(notice.created_at), st.column_config.TextColumn(width=130)),
        Column("Event", lambda notice: EVENTS[notice.event], st.column_config.TextColumn(width=100)),
        Column("Job", lambda notice: notice.job_id, st.column_config.NumberColumn(width=60)),
        Column(
            "Result",
            lambda notice: [STATES[notice.state]],
            st.column_config.MultiselectColumn(options=list(STATES.values()), color=COLOURS, width=90),
        ),
        Column("Tries", lambda notice: notice.attempts, st.column_config.NumberColumn(width=50)),
        Column("Trouble", lambda notice: notice.trouble, MEDIUM),
    ],
    alt="Notices",
    identity=lambda notice: (notice.id, notice.attempts, notice.state),
    noun="notice",
    button="Resend",
    empty="It has not been told of anything yet.",
    size=10,
)


def add() -> None:
    """The drawer for a new webhook."""
    form: Form[None] = Form("webhook", "new", lambda: None, drawers.close_drawer)
    wish = fields(form, WebhookWish("https://"))
    with form.buttons():
        is_saved = form.save_button("Add webhook")
    if is_saved:
        actor = session.actor()
        form.save(lambda: new_secret.keep(administration.add(db, settings, actor, wish)), "The webhook was added.")


def edit() -> None:
    """The drawer with one webhook, what can be done with it, and its notices."""
    webhook_id = drawers.subject_id()
    form: Form[Webhook] = Form("webhook", webhook_id, lambda: asked(lambda: find(webhook_id)), drawers.close_drawer)
    known = form.subject
    wish = fields(form, WebhookWish(known.url, known.description, known.events, known.is_active))
    with form.buttons():
        is_saved = form.save_button()
        is_tested = form.button("test", "Send a test", icon=":material/send:")
        draw_secret_menu(form, known)
        lost = "It is told of nothing any more, and what waits is not sent."
        removal(form, "Delete webhook", "delete", lost, lambda: delete(webhook_id), "The webhook was deleted.")
    if is_tested and form.attempt(lambda: administration.test(db, session.actor(), webhook_id)):
        st.caption("The test is on its way; what becomes of it stands below.")
    if is_saved:
        actor = session.actor()
        form.save(
            lambda: administration.update(db, settings, actor, webhook_id, wish, known.version),
            "The webhook was saved.",
        )
    drawers.section("Notices")
    live(is_going_on, draw_notices)


def find(webhook_id: int) -> Webhook:
    """The webhook that the drawer is about."""
    return administration.get(db, session.actor(), webhook_id)


def delete(webhook_id: int) -> None:
    """Delete the webhook that the drawer is about."""
    administration.delete(db, session.actor(), webhook_id)


def fields(form: Form[Any], known: WebhookWish) -> WebhookWish:
    """Draw the fields of a webhook, and return it as entered."""
    hint = "Begins with https://. This machine, and hosts of ADIT_WEBHOOK_HTTP_HOSTS, may also be reached by http://"
    url = form.text("url", "Address", known.url, help=hint, max_chars=2000, autocomplete="off")
    hint = "What listens there, so that others recognize it"
    longest = administration.DESCRIPTION_LENGTH
    description = form.text(
        "description", "Description (optional)", known.description, help=hint, max_chars=longest, autocomplete="off"
    )
    events = form.field(
        st.multiselect,
        "events",
        "Events",
        [event for event in JOB_EVENTS if event in known.events],
        options=list(JOB_EVENTS),
        format_func=EVENTS.__getitem__,
        placeholder="Choose at least one",
    )
    hint = "While it is not active nothing is sent, and what happens then is not told later"
    is_active = form.tick("is_active", "Active", known.is_active, help=hint)
    return WebhookWish(url, description, frozenset(map(Event, events)), is_active)


def draw_secret_menu(form: Form[Webhook], known: Webhook) -> None:
    """Offer another secret, and say until when the old one is good."""
    with st.popover("New secret", icon=":material/key:", key=form.key("secret-menu")):
        st.markdown("Another secret is made and shown once. For a day requests are signed with the old one, too.")
        if administration.signs_with_both(known, db.clock()):
            st.caption(f"The one before is still good until {times.moment(known.old_secret_until_at)}.")
        if form.button("secret", "Make a new secret", type="primary"):
            actor = session.actor()
            form.save(
                lambda: new_secret.keep(administration.renew_secret(db, actor, known.id)), "There is a new secret."
            )


def draw_notices() -> None:
    """What the webhook was told and is to be told, newest first."""
    actor, webhook_id = session.actor(), drawers.subject_id()
    total = asked(lambda: administration.count_notices(db, actor, webhook_id))
    again = tables.paged_table(
        total, lambda limit, skip: administration.notices(db, actor, webhook_id, limit, skip), NOTICES, "notices"
    ).opened
    if again and tried(lambda: administration.send_again(db, actor, webhook_id, again.id)):
        flash("The notice is sent again.")
        st.rerun()


def is_going_on() -> bool:
    """Whether a notice of the webhook in the drawer still waits."""
    webhook_id = drawers.subject_id()
    return bool(administration.count_notices(db, session.actor(), webhook_id, NoticeState.WAITING))


heading("Webhooks", "Add webhook")
st.caption("A webhook tells another program what becomes of jobs: their numbers, states and counts, and no patients.")
new_secret.show()
found = asked(lambda: administration.list(db, session.actor()))
for each in found:
    if each.is_failing:
        name = escape_markdown(each.description or f"Webhook {each.id}")
        st.warning(f"{name} has not taken what it is told since {times.moment(each.failing_since_at)}.")
opened = tables.paged_table(len(found), lambda limit, skip: found[skip : skip + limit], LIST, "webhooks").opened
if opened:
    drawers.open_drawer(opened.id)
if drawers.is_open():
    drawers.show_drawer(*(("Webhook", edit) if drawers.subject_id() else ("Add webhook", add)))
