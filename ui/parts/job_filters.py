"""Filters of a list of jobs, kept in the address."""

import streamlit as st

from models.domain.job_rights import MAY_SEE
from models.domain.jobs import JobKind, State
from models.domain.people import Actor
from services.jobs import Filters
from ui.parts import status
from ui.parts.listings import choose, search


def filters(actor: Actor) -> Filters:
    """Draw the filters, and return which jobs are meant."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="job-filters"):
        text = search("q", "Search", "Trial or job number")
        words = [status.word(state) for state in State]
        chosen = st.multiselect("State", words, key="state", bind="query-params", placeholder="Any")
        kind = choose("kind", "Kind", {kind: status.kind_word(kind) for kind in JobKind}, every="Any")
        of_groups = not actor.permissions.isdisjoint(MAY_SEE.values()) and st.toggle(
            "Also jobs of members of my groups", key="groups", bind="query-params"
        )
    found = Filters(text=text, of_groups=of_groups)
    if chosen:
        found["states"] = status.of_words(chosen)
    if kind:
        found["kinds"] = (kind,)
    return found
