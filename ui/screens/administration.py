"""Administration: where everything is found, in the words of the admin guide, and what needs somebody's attention."""

from collections.abc import Iterable
from datetime import datetime, time

import streamlit as st

from models.domain.jobs import State
from models.domain.nodes import Server
from models.domain.people import Permission, Standing
from services import jobs, nodes, project, quotas, review, trials
from services.alarms import standing
from services.chores import overview
from services.people import accounts, groups, tokens
from services.post import broadcasts
from services.webhooks import administration as webhooks
from ui import context, navigation, session
from ui.parts import status, times
from ui.parts.amounts import counted
from ui.parts.escape import escape_markdown
from ui.parts.listings import heading
from ui.parts.refusals import asked

db, actor = context.database(), session.actor()
MOST_FAILURES = 500
PIXELS = 440


def entry(path: str, title: str, help_text: str, facts: Iterable[str] = (), alarms: Iterable[str] = ()) -> None:
    """A card that leads to a page, if this person may see that: what it is for, and what stands there now."""
    screen = next((screen for screen in navigation.visible(actor) if screen.path == path), None)
    if screen is None:
        return
    with st.container(border=True, key=f"entry-{path}", width=PIXELS, height="stretch", gap="xsmall"):
        st.page_link(str(screen.file), label=f"**{title}**", icon=screen.icon)
        st.caption(help_text)
        told = [fact for fact in facts if fact]
        if told:
            st.markdown(", ".join(told))
        for alarm in filter(None, alarms):
            st.markdown(f":orange[:material/warning: {alarm}]")


def section(title: str) -> None:
    """A heading, as the admin guide has it."""
    st.header(title, anchor=False)


def failed_today() -> int:
    """How many jobs have failed since midnight."""
    midnight = datetime.combine(datetime.now(context.time_zone()).date(), time(), context.time_zone())
    failures = jobs.list(db, actor, MOST_FAILURES, everybody=True, states={State.FAILURE})
    return sum(job.ended_at is not None and job.ended_at >= midnight for job in failures)


def held() -> str:
    """How many instances wait for a review, for those who may review; nothing when none does."""
    if Permission.REVIEW_HELD not in actor.permissions:
        return ""
    count = sum(review.waiting(db, actor).values())
    return f"{counted(count, 'instance')} {'is' if count == 1 else 'are'} held" if count else ""


def draw_alarms() -> None:
    """What is wrong with the whole, above everything else."""
    for alarm in standing.list(db, context.settings(), actor):
        since = f":small[since {times.moment(alarm.since_at)}]"
        st.error(
            f"**{escape_markdown(alarm.title)}** {since}  \n{escape_markdown(alarm.text)}", icon=":material/error:"
        )


def draw_first_steps() -> None:
    """What has to be there before anybody can transfer, as long as something of it is missing."""
    ready = [group for group in groups.list(db, actor) if group.members and group.permissions]
    rights = [right for group in ready for right in group.nodes]
    if any(right.source for right in rights) and any(right.destination for right in rights):
        return
    there = nodes.listed(db, actor)
    has_server = any(isinstance(node, Server) for node in there)
    steps = {
        "Under DICOM servers, add the archive to read from, and test the connection.": has_server,
        "Add where studies go: another DICOM server, or one of the DICOM folders.": len(there) > 1,
        "Under Groups, add one with permissions, users, and the nodes they may use as source and destination.": False,
    }
    lines = [f"{number}. {step}{' (done)' * done}" for number, (step, done) in enumerate(steps.items(), 1)]
    st.info("\n".join(["**Nobody can transfer anything yet. First steps:**\n", *lines]), icon=":material/flag:")


def draw_people() -> None:
    """Authentication and Authorization."""
    waiting = accounts.count(db, actor, standing=Standing.AWAITS_APPROVAL)
    section("Authentication and Authorization")
    with st.container(horizontal=True):
        entry(
            "groups",
            "Groups",
            "Permissions, users, and which DICOM nodes they may use as source and destination.",
            [counted(len(groups.names(db, actor)), "group")],
        )
        entry(
            "users",
            "Users",
            "Accounts: approve, change, deactivate, and send links for a new password.",
            [counted(accounts.count(db, actor), "user")],
            [f"{counted(waiting, 'user')} {'awaits' if waiting == 1 else 'await'} approval" if waiting else ""],
        )
        known = trials.list(db, actor)
        empty = sum(not trial.users and not trial.is_forgotten for trial in known)
        entry(
            "trials",
            "Trials",
            "Who may use which trial, and so learn the pseudonyms of its patients.",
            [counted(len(known), "trial")],
            [f"{counted(empty, 'trial')} {'is' if empty == 1 else 'are'} used by nobody" if empty else ""],
        )


def draw_tokens() -> None:
    """Token Authentication."""
    section("Token Authentication")
    entry(
        "admin-tokens",
        "API tokens",
        "Whose scripts may come in, how much they do, and revoking their tokens.",
        [counted(tokens.count_of_everybody(db, actor), "token")],
    )


def draw_nodes() -> None:
    """Core."""
    known = nodes.listed(db, actor)
    servers = sum(isinstance(node, Server) for node in known)
    full = sum(usage.warns for usage in quotas.usages(db, actor))
    section("Core")
    with st.container(horizontal=True):
        entry(
            "servers",
            "DICOM servers",
            "Addresses, protocols, limits, transfer windows, and connection tests.",
            [counted(servers, "server")],
        )
        entry(
            "folders",
            "DICOM folders",
            "Paths, quotas, and when to inform the administrators.",
            [counted(len(known) - servers, "folder")],
            [f"{counted(full, 'folder')} above the threshold" if full else ""],
        )


def draw_settings() -> None:
    """Common."""
    known = project.get(db)
    closed = [state for state in project.apps(db).values() if state.locked or state.suspended]
    section("Common")
    entry(
        "project-settings",
        "Project settings",
        "Maintenance mode, the announcement on the home page, and locked or suspended applications.",
        ["an announcement is shown" if known.announcement else "no announcement"],
        [
            "Maintenance mode is on" if known.maintenance else "",
            f"{counted(len(closed), 'application')} locked or suspended" if closed else "",
        ],
    )


def draw_rest() -> None:
    """What is no setting: jobs, mails, the trail."""
    counts = jobs.overview(db, actor)
    totals = {state: sum(of_kind.get(state, 0) for of_kind in counts.values()) for state in State}
    active = {state: totals[state] for state in (State.UNVERIFIED, State.PENDING, State.IN_PROGRESS)}
    failed = failed_today()
    section("Operation")
    with st.container(horizontal=True):
        entry(
            "job-overview",
            "Job Overview",
            "Every job of everybody by status, as it is now, and the history.",
            [status.counts_line(active) or "nothing waits or runs"],
            [f"{counted(failed, 'job')} failed today" if failed else ""],
        )
        late = overview.in_trouble(db, context.settings(), actor)
        entry(
            "scheduled-work",
            "Scheduled work",
            "Backups, checks and clearing up that are done by themselves: how they went, and doing them now.",
            [] if late else ["nothing is wrong"],
            [f"{title} failed or is not done" for title in late],
        )
        entry(
            "broadcast",
            "Broadcast",
            "A mail to chosen users or all.",
            [f"{counted(broadcasts.count(db, actor), 'broadcast')} so far"],
        )
        hooks = webhooks.list(db, actor)
        failing = sum(webhook.is_failing for webhook in hooks)
        entry(
            "webhooks",
            "Webhooks",
            "Other programs that are told what becomes of jobs.",
            [counted(len(hooks), "webhook")],
            [f"{counted(failing, 'webhook')} {'does' if failing == 1 else 'do'} not take it" if failing else ""],
        )
        entry("audit", "Audit trail", "Who did what and when; export, and the check that nothing is missing.")
        entry(
            "reviews", "Reviews", "Instances that are held because they may show who the patient is.", alarms=[held()]
        )


heading("Administration")
asked(lambda: accounts.count(db, actor))
draw_alarms()
draw_first_steps()
draw_people()
draw_tokens()
draw_nodes()
draw_settings()
draw_rest()
