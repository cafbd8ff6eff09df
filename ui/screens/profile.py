"""One's own account: who one is, what one may do, and the browsers in which one is signed in."""

import streamlit as st

from services.people import accounts, groups
from ui import context, session
from ui.parts import links, own_account
from ui.parts.escape import escape_markdown

found = session.signed_in()
db, actor = context.database(), found.actor

with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    st.title("Profile", anchor=False, width="content")
    with st.container(horizontal=True, width="content"):
        if st.button("Manage API Token", icon=":material/key:", key="manage-tokens"):
            links.go_to_tokens()
        st.link_button("Change password", "/account/password", icon=":material/password:", key="change-password")

left, right = st.columns(2, gap="large")
with left:
    st.header("About you", anchor=False)
    own_account.edit_profile(accounts.me(db, actor))
with right:
    st.header("Groups and rights", anchor=False)
    names = groups.names(db, actor)
    mine = sorted(names[group] for group in actor.groups if group in names)
    st.write(escape_markdown(", ".join(mine)) or "You are not a member of any group.")
    own_account.show_rights(actor)
    st.header("Mails about your jobs", anchor=False)
    own_account.choose_mails(actor)

st.header("Where you are signed in", anchor=False)
own_account.show_sessions(found.session.id)
