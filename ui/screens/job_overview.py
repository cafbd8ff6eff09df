"""Job overview: counts by kind and status that follow the work, and every job of everybody with its history."""

from collections.abc import Mapping, Sequence

import streamlit as st

from models.domain.jobs import Job, JobKind, State
from services import holding, jobs, project
from services.jobs import Filters
from services.people import accounts
from ui import context, session
from ui.parts import job_counts, links, status, tables
from ui.parts.escape import escape_markdown
from ui.parts.job_tables import jobs_look
from ui.parts.listings import choose, heading, search
from ui.parts.refusals import asked
from ui.parts.tables import Column, Look

db, settings = context.database(), context.settings()
EVERY_S = 3.0
EVERYBODY = 100_000
URGENT, RUN = 65, 50
"""Pixels of columns, so that all fit into the window of a laptop."""


def at_work(count: int) -> str:
    """How many items are at work: what has to be none before an update."""
    if not project.get(db).maintenance:
        return f"**Items at work:** {count:,}"
    rest = "Wait until none is." if count else "Nothing is at work any more."
    return f"**Items at work:** {count:,}. There is maintenance, so no other begins. {rest}"


@st.fragment(run_every=EVERY_S)
def counts(shown: Mapping[JobKind, Mapping[State, int]]) -> None:
    """The numbers of this moment; the whole page follows when they are not those that it was drawn with."""
    now = asked(lambda: jobs.overview(db, session.actor()))
    for reason in holding.reasons(db).values():
        st.info(escape_markdown(reason.message), icon=":material/schedule:")
    st.markdown(at_work(asked(lambda: jobs.at_work(db, session.actor()))))
    job_counts.draw(now)
    if now != shown:
        st.rerun()


def filters() -> Filters:
    """Draw the filters of the list, and return which jobs are meant."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="overview-filters"):
        text = search("overview-q", "Search", "Trial, owner or job number")
        kind = choose(job_counts.KIND, "Kind", {kind: status.kind_word(kind) for kind in JobKind}, every="Any")
        words = [status.word(state) for state in State]
        chosen = st.multiselect("State", words, key=job_counts.STATE, bind="query-params", placeholder="Any")
        people = {user.username: user.username for user in accounts.list(db, session.actor(), limit=EVERYBODY)}
        owner = choose("overview-owner", "Owner", people, every="Anybody")
    found = Filters(everybody=True, text=text)
    if kind:
        found["kinds"] = (kind,)
    if chosen:
        found["states"] = status.of_words(chosen)
    if owner:
        found["owner"] = owner
    return found


def look(counts: Mapping[int, Mapping[State, int]]) -> Look[Job]:
    """The list of jobs with their owners and their runs in Prefect."""
    hint = "Opens the flow run in Prefect, whose page asks for a password of its own"
    link = st.column_config.LinkColumn(display_text=":material/open_in_new:", help=hint, width=RUN)
    more = [
        Column[Job]("Urgent", lambda job: job.urgent, st.column_config.CheckboxColumn(width=URGENT)),
        Column[Job]("Run", lambda job: jobs.flow_run_url(settings, job), link),
    ]
    empty = "No job matches. Choose other filters to see the whole history."
    return jobs_look(counts, with_owner=True, more=more, empty=empty)


def draw_jobs(wanted: Filters) -> None:
    """One page of the jobs that are meant, each a way to its items, receipts and log."""
    actor, items = session.actor(), dict[int, Mapping[State, int]]()

    def load(limit: int, offset: int) -> Sequence[Job]:
        found = jobs.list(db, actor, limit, offset, **wanted)
        items.update(jobs.counts(db, actor, [job.id for job in found]))
        return found

    opened = tables.paged_table(jobs.count(db, actor, **wanted), load, look(items), "overview").opened
    if opened:
        links.go_to_job(opened.id)


heading("Job Overview")
st.caption("How many jobs of everybody there are by status, at this moment. Click a number to see those jobs below.")
counts(asked(lambda: jobs.overview(db, session.actor())))
st.header("Jobs", anchor=False)
draw_jobs(filters())
