"""The first page: what there is to know, what one can do here, and one's last jobs."""

import streamlit as st

from services import jobs, project
from services.people import groups
from ui import context, navigation, session
from ui.parts import links, tables
from ui.parts.escape import escape_markdown
from ui.parts.job_tables import jobs_look

_LAST = 5
_CARDS_A_ROW = 3
_LINKS = "<style>.st-key-announcement a { color: inherit; }</style>"
"""The browser's own blue cannot be read on a dark page."""
_DOES = {
    "selective-transfer": "Find studies in an archive and move them, or some of their series, to where you need them.",
    "batch-query": "Look up many patients at once with a spreadsheet, and get a list of what there is.",
    "batch-transfer": "Move the studies of many patients at once with a spreadsheet, after a check.",
    "jobs": "See how your transfers are getting on, and what has come of them.",
    "reviews": "Look at images that are held because they may show who a patient is.",
    "administration": "People, groups, servers, folders, and everything else that keeps this installation going.",
}
"""What the pages behind the cards do; a page without words here gets no card."""

found = session.signed_in()
db, settings, actor = context.database(), context.settings(), found.actor

st.title(f"Welcome, {escape_markdown(found.user.called)}", anchor=False)

if announcement := project.announcement(db):
    with st.container(border=True, key="announcement"):
        st.caption(":material/campaign: Announcement")
        st.html(_LINKS + announcement)

names = groups.names(db, actor)
if not actor.groups:
    whose = "Put yourself into one" if actor.is_staff else "An administrator has to put you into one"
    words = f"You are not a member of any group yet. {whose} before you can search or transfer."
    st.info(words, icon=":material/group:")
    if actor.is_staff:
        st.page_link("screens/groups.py", label="To the groups", icon=":material/group:")
    elif settings.support_email:
        st.markdown(f"Questions? Write to {escape_markdown(settings.support_email)}.")
else:
    mine = ", ".join(sorted(names[group] for group in actor.groups if group in names))
    st.caption(f":material/group: Your groups: {escape_markdown(mine)}")

cards = [screen for screen in navigation.visible(actor) if screen.path in _DOES]
places = [place for _ in range(0, len(cards), _CARDS_A_ROW) for place in st.columns(_CARDS_A_ROW)]
for column, screen in zip(places, cards, strict=False):
    with column.container(border=True, height="stretch", key=f"card-{screen.path}"):
        st.page_link(str(screen.file), label=f"**{screen.title}**", icon=screen.icon)
        st.caption(_DOES[screen.path])

st.header("Your last jobs", anchor=False)
last = jobs.list(db, actor, limit=_LAST)
look = jobs_look(
    jobs.counts(db, actor, [job.id for job in last]),
    empty="You have no jobs yet. A transfer that you ask for becomes a job, and stands here.",
)
picked = tables.table(last, look, "last-jobs")
if picked.opened:
    links.go_to_job(picked.opened.id)
