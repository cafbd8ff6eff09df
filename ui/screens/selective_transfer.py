"""Find studies in an archive, choose them or some of their series, and move them, pseudonymized on the way."""

import streamlit as st

from models.domain.project import App
from services import nodes, project
from services.people import accounts
from ui import context, session
from ui.parts import draft as drafts
from ui.parts.basket import show_basket
from ui.parts.finding import choose_source, find_studies
from ui.parts.refusals import asked
from ui.parts.sending import check_and_send

db, actor = context.database(), session.actor()

st.title("Selective transfer", anchor=False)
asked(lambda: project.check_open(db, actor, App.SELECTIVE_TRANSFER))
if project.apps(db)[App.SELECTIVE_TRANSFER].suspended:
    st.info(
        "Selective transfers are suspended for now: what you ask for is accepted, and waits.", icon=":material/pause:"
    )

sources = nodes.sources(db, actor)
if not sources:
    st.info("No server is open to your groups as a source. An administrator can change that.", icon=":material/dns:")
    st.stop()

draft = drafts.current()
remembered = accounts.preferences(db, actor)

st.header("1. Find studies", anchor=False)
choose_source(draft, sources, remembered)
if not draft.source_id:
    st.stop()
find_studies(draft)

st.header("2. Look through what you have chosen", anchor=False)
if not draft.chosen:
    st.caption("Nothing is chosen yet. Tick studies above; they stay chosen when you search again.")
    st.stop()
show_basket(draft)

st.header("3. Say where it goes", anchor=False)
check_and_send(draft, remembered)
