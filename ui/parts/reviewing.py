"""The held instances of one job, with the choice to release or reject them and the reason for it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import streamlit as st

from models.domain.errors import NotFound
from models.domain.jobs import Item
from models.domain.reviews import HeldInstance
from services import jobs, nodes, review
from ui import context, session
from ui.parts import amounts, links, tables
from ui.parts.escape import escape_markdown
from ui.parts.flash import flash
from ui.parts.refusals import tried

_LONGEST = 500
_WHY_PIXELS = 290
"""The sentence stands above the table, too; the UIDs beside it are long."""


def show_job(job_id: int, count: int) -> None:
    """Draw one job; its instances are fetched when somebody opens it."""
    label = f"Job {job_id}: {amounts.counted(count, 'instance')} held"
    with st.expander(label, key=f"held-{job_id}", on_change="rerun") as box:
        if box.open:
            _instances(job_id)


def _instances(job_id: int) -> None:
    _way_to_job(job_id)
    held = review.held(context.database(), session.actor(), job_id)
    _say_where(held)
    for reason, count in Counter(instance.reason for instance in held).most_common():
        st.caption(f"{count:,} x {escape_markdown(reason)}")
    picked = tables.paged_table(len(held), _page(held), _look(), f"held-table-{job_id}")
    everything = st.checkbox(
        f"All {amounts.counted(len(held), 'instance')} of the job, on every page", key=f"held-all-{job_id}"
    )
    chosen = held if everything else picked.ticked
    reason = st.text_area(
        "Reason",
        key=f"reason-{job_id}",
        max_chars=_LONGEST,
        height=80,
        placeholder="Such as: looked at all frames in the archive, no name is visible",
        help="At least 10 characters. It is kept in the audit trail: name no patient.",
    )
    _buttons(job_id, chosen, reason or "")


def _way_to_job(job_id: int) -> None:
    """Draw the way to the job's page, for those of the reviewers to whom the job exists."""
    with suppress(NotFound):
        jobs.get(context.database(), session.actor(), job_id)
        links.job_link(job_id, f"Open job {job_id}")


def _say_where(held: Sequence[HeldInstance]) -> None:
    """Say in which archive the instances can be looked at, and where they go when they are released."""
    names = nodes.names(context.database())
    ways = sorted({(names.get(one.source_id, "?"), names.get(one.destination_id, "?")) for one in held})
    for source, destination in ways:
        st.markdown(
            f"Look at them in **{escape_markdown(source)}**. What is released goes to "
            f"**{escape_markdown(destination)}**."
        )


def _buttons(job_id: int, chosen: Sequence[HeldInstance], reason: str) -> None:
    words = amounts.counted(len(chosen), "instance") if chosen else ""
    if not chosen:
        st.caption("Tick instances above, or all of them, to release or reject them.")
    with st.container(horizontal=True):
        is_release = st.button(f"Release {words}".strip(), type="primary", key=f"release-{job_id}", disabled=not chosen)
        is_reject = st.button(f"Reject {words}".strip(), key=f"reject-{job_id}", disabled=not chosen)
    if is_release and _decide(review.release, chosen, reason):
        flash(f"Released {words}. They are fetched again and delivered.")
        st.rerun()
    if is_reject and _decide(review.reject, chosen, reason):
        flash(f"Rejected {words}. They are left out for good.")
        st.rerun()


def _decide(act: Callable[..., Item], chosen: Sequence[HeldInstance], reason: str) -> bool:
    """Decide item by item, as the services do; what was decided before an error stays so."""
    db, actor = context.database(), session.actor()
    by_item: dict[int, list[str]] = defaultdict(list)
    for instance in chosen:
        by_item[instance.item_id].append(instance.sop_uid)
    return all(tried(partial(act, db, actor, item_id, uids, reason)) for item_id, uids in by_item.items())


def _page(held: Sequence[HeldInstance]) -> Callable[[int, int], Sequence[HeldInstance]]:
    return lambda limit, offset: held[offset : offset + limit]


def _look() -> tables.Look[HeldInstance]:
    columns = [
        tables.Column[HeldInstance]("Item", lambda held: held.position, st.column_config.NumberColumn(width="small")),
        tables.Column[HeldInstance]("Why", lambda held: held.reason, st.column_config.TextColumn(width=_WHY_PIXELS)),
        tables.Column[HeldInstance]("Instance", lambda held: held.sop_uid),
        tables.Column[HeldInstance]("Study", lambda held: held.study_uid),
    ]
    return tables.Look(columns, "Held instances", lambda held: held.sop_uid, "instance", ticks=True)
