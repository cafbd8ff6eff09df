"""Instances that are held because they may show who the patient is, for those who may release or reject them."""

import streamlit as st

from services import review
from ui import context, session
from ui.parts import reviewing
from ui.parts.refusals import asked

db, actor = context.database(), session.actor()

st.title("Reviews", anchor=False)
waiting = asked(lambda: review.waiting(db, actor))
st.caption(
    "Some images show names in their pixels, or are documents. No copy of them is kept here: one that you release is "
    "fetched again and delivered, one that you reject is left out for good. Open a job to see where its images can be "
    "looked at, and why they are held."
)
if not waiting:
    st.info("Nothing waits for a review.", icon=":material/check_circle:")
for job_id, count in waiting.items():
    reviewing.show_job(job_id, count)
