"""Fields that every form of a transfer has: where it goes, by which rules, for which trial, how soon.

``prefix`` tells the forms of different pages apart, since fields keep what was entered while one is on another page.
"""

from collections.abc import Mapping, Sequence

import streamlit as st

from models.domain.nodes import NodeName
from services import profiles
from ui import context
from ui.parts.escape import escape_markdown
from ui.parts.forms import field_problem


def node_label(node: NodeName) -> str:
    """A node in a list of choices."""
    return node.name if node.is_server else f"{node.name} (folder)"


def destination_field(
    nodes: Sequence[NodeName], remembered: Mapping[str, object], problems: Mapping[str, str], prefix: str = ""
) -> NodeName | None:
    """Draw the choice of a server or folder to send to."""
    known = [node.id for node in nodes]
    last = remembered.get("destination")
    chosen = st.selectbox(
        "Destination",
        nodes,
        index=known.index(last) if isinstance(last, int) and last in known else None,
        format_func=node_label,
        key=f"{prefix}destination",
        placeholder="Choose where the studies go",
        persist_state="session",
    )
    field_problem(problems, "destination")
    return chosen if isinstance(chosen, NodeName) else None


def nifti_field(
    destination: NodeName | None, remembered: Mapping[str, object], problems: Mapping[str, str], prefix: str = ""
) -> bool:
    """Draw what has a folder get NIfTI files; returns whether it does. Servers take DICOM only."""
    if destination is None or destination.is_server:
        return False
    converts = st.checkbox(
        "Convert to NIfTI",
        value=remembered.get("nifti") is True,
        key=f"{prefix}nifti",
        help="The folder gets NIfTI files instead of DICOM files. Series without images are left out.",
        persist_state="session",
    )
    field_problem(problems, "convert_to_nifti")
    return converts


def identity_field(may: bool, prefix: str = "") -> bool:
    """Draw what keeps the identity, for those who may; returns whether it is kept."""
    if not may:
        return False
    keeps = st.checkbox("Keep the patients' identity", key=f"{prefix}keep-identity")
    if keeps:
        st.warning(
            "Nothing is pseudonymized: names, IDs and dates of the patients arrive at the destination as they are.",
            icon=":material/warning:",
        )
    return keeps


def profile_field(remembered: Mapping[str, object], problems: Mapping[str, str], prefix: str = "") -> str:
    """Draw the choice of a de-identification profile, and what its data still tells."""
    choices = {choice.name: choice for choice in profiles.choices(context.settings())}
    last = remembered.get("profile")
    name = st.selectbox(
        "De-identification",
        list(choices),
        index=[*choices].index(last) if isinstance(last, str) and last in choices else 0,
        format_func=lambda name: choices[name].title if name in choices else name,
        key=f"{prefix}profile",
        persist_state="session",
    )
    field_problem(problems, "profile")
    chosen = choices[name]
    st.caption(escape_markdown(chosen.summary))
    with st.popover("What the data still tells", type="tertiary", key=f"{prefix}discloses"):
        st.markdown("\n".join(f"- {escape_markdown(line)}" for line in chosen.discloses))
    return name


def trial_fields(problems: Mapping[str, str], prefix: str = "") -> tuple[str, str]:
    """Draw ID and name of the trial; both may stay empty."""
    number, name = st.columns(2)
    with number:
        trial_id = st.text_input(
            "Trial ID",
            key=f"{prefix}trial-id",
            max_chars=64,
            help="Within a trial a patient has the same pseudonym in every job. It belongs to those who use it: "
            "whoever names it first, and their groups. Jobs without one share nothing.",
            autocomplete="off",
            persist_state="session",
        )
        field_problem(problems, "trial_protocol_id")
    with name:
        trial_name = st.text_input(
            "Trial name", key=f"{prefix}trial-name", max_chars=64, autocomplete="off", persist_state="session"
        )
        field_problem(problems, "trial_protocol_name")
    return (trial_id or "").strip(), (trial_name or "").strip()


def extras(may_hurry: bool, remembered: Mapping[str, object], prefix: str = "") -> tuple[bool, bool]:
    """Draw what lets the job go before others, for those who may, and what asks for a mail; returns both."""
    urgent = may_hurry and st.checkbox(
        "Urgent: before other jobs",
        value=remembered.get("urgent") is True,
        key=f"{prefix}urgent",
        persist_state="session",
    )
    mail = st.checkbox(
        "Send me a mail when it has ended",
        value=remembered.get("mail") is True,
        key=f"{prefix}mail",
        persist_state="session",
    )
    return urgent, mail
