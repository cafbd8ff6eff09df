"""Where a transfer goes, under which names, and by which rules."""

import re
from collections.abc import Mapping, Sequence

import streamlit as st

from models.domain.jobs import JobKind
from models.domain.nodes import NodeName
from models.domain.people import Actor, Permission
from models.domain.requests import StudyWish, TransferRequest
from services import profiles
from ui import context
from ui.parts import studies, tables
from ui.parts.draft import Draft
from ui.parts.escape import escape_markdown
from ui.parts.forms import field_problem

_KIND = JobKind.SELECTIVE_TRANSFER
_FIELDS = ("destination", "profile", "trial_protocol_id", "trial_protocol_name")
_OF_PSEUDONYM = re.compile(r"Study (\d+): pseudonym")


def transfer_form(
    draft: Draft,
    actor: Actor,
    destinations: Sequence[NodeName],
    remembered: Mapping[str, object],
    problems: Mapping[str, str],
) -> TransferRequest | None:
    """Draw what can be said about the transfer, and return the request as it stands; None without a destination."""
    place, identity = st.columns(2, gap="large")
    with place:
        destination = _destination(destinations, remembered, problems)
        trial_id, trial_name = _trial(problems)
        urgent, mail = _extras(actor, remembered)
    with identity:
        keeps = _keeps_identity(actor)
        pseudonyms: Mapping[str, str] = {} if keeps else _pseudonyms(draft, problems)
        profile = "" if keeps else _profile(remembered, problems)
    if destination is None:
        return None
    wishes = tuple(
        StudyWish(
            each.study.study_uid, each.study.patient_id, tuple(each.series_uids), pseudonyms.get(each.patient, "")
        )
        for each in draft.chosen.values()
    )
    return TransferRequest(
        _KIND, draft.source_id, destination.id, wishes, trial_id, trial_name, urgent, profile, keeps, mail
    )


def _destination(
    nodes: Sequence[NodeName], remembered: Mapping[str, object], problems: Mapping[str, str]
) -> NodeName | None:
    known = [node.id for node in nodes]
    last = remembered.get("destination")
    chosen = st.selectbox(
        "Destination",
        nodes,
        index=known.index(last) if isinstance(last, int) and last in known else None,
        format_func=node_label,
        key="destination",
        placeholder="Choose where the studies go",
        persist_state="session",
    )
    field_problem(problems, "destination")
    return chosen if isinstance(chosen, NodeName) else None


def other_problems(problems: Mapping[str, str]) -> list[str]:
    """What is wrong that has no field here, a sentence each."""
    return [
        problem if name == "request" else f"{name.replace('_', ' ').capitalize()}: {problem}"
        for name, problem in problems.items()
        if name not in _FIELDS and not _OF_PSEUDONYM.fullmatch(name)
    ]


def node_label(node: NodeName) -> str:
    """A node in a list of choices."""
    return node.name if node.is_server else f"{node.name} (folder)"


def _keeps_identity(actor: Actor) -> bool:
    if Permission.SELECTIVE_UNPSEUDONYMIZED not in actor.permissions:
        return False
    keeps = st.checkbox("Keep the patients' identity", key="keep-identity")
    if keeps:
        st.warning(
            "Nothing is pseudonymized: names, IDs and dates of the patients arrive at the destination as they are.",
            icon=":material/warning:",
        )
    return keeps


def _pseudonyms(draft: Draft, problems: Mapping[str, str]) -> Mapping[str, str]:
    """One field for each patient: nobody gets another one's pseudonym."""
    patients, of_patient = draft.patients(), _by_patient(draft, problems)
    typed: dict[str, str] = {}
    for patient, chosen in patients.items():
        whose = studies.patient_title(chosen.study)
        label = "Pseudonym" if len(patients) == 1 else f"Pseudonym for {escape_markdown(whose)}"
        value = st.text_input(
            label,
            key=f"pseudonym-{tables.mark([patient])}",
            max_chars=64,
            placeholder="generated",
            help="Replaces patient ID and name. Left empty, one is generated, the same for all studies of the patient "
            "in a trial.",
            autocomplete="off",
            persist_state="session",
        )
        field_problem(of_patient, patient)
        typed[patient] = (value or "").strip()
    return typed


def _by_patient(draft: Draft, problems: Mapping[str, str]) -> Mapping[str, str]:
    """Problems with pseudonyms, which are told by the study's row in the request, by patient."""
    rows = [chosen.patient for chosen in draft.chosen.values()]
    found = ((_OF_PSEUDONYM.fullmatch(name), problem) for name, problem in problems.items())
    numbered = ((int(match[1]), problem) for match, problem in found if match)
    return {rows[row - 1]: problem for row, problem in numbered if 1 <= row <= len(rows)}


def _profile(remembered: Mapping[str, object], problems: Mapping[str, str]) -> str:
    choices = {choice.name: choice for choice in profiles.choices(context.settings())}
    last = remembered.get("profile")
    name = st.selectbox(
        "De-identification",
        list(choices),
        index=[*choices].index(last) if isinstance(last, str) and last in choices else 0,
        format_func=lambda name: choices[name].title if name in choices else name,
        key="profile",
        persist_state="session",
    )
    field_problem(problems, "profile")
    chosen = choices[name]
    st.caption(escape_markdown(chosen.summary))
    with st.popover("What the data still tells", type="tertiary", key="discloses"):
        st.markdown("\n".join(f"- {escape_markdown(line)}" for line in chosen.discloses))
    return name


def _trial(problems: Mapping[str, str]) -> tuple[str, str]:
    number, name = st.columns(2)
    with number:
        trial_id = st.text_input(
            "Trial ID",
            key="trial-id",
            max_chars=64,
            help="Within a trial a patient has the same pseudonym in every job. Jobs without one share nothing.",
            autocomplete="off",
            persist_state="session",
        )
        field_problem(problems, "trial_protocol_id")
    with name:
        trial_name = st.text_input(
            "Trial name", key="trial-name", max_chars=64, autocomplete="off", persist_state="session"
        )
        field_problem(problems, "trial_protocol_name")
    return (trial_id or "").strip(), (trial_name or "").strip()


def _extras(actor: Actor, remembered: Mapping[str, object]) -> tuple[bool, bool]:
    may_hurry = Permission.SELECTIVE_URGENT in actor.permissions
    urgent = may_hurry and st.checkbox(
        "Urgent: before other jobs", value=remembered.get("urgent") is True, key="urgent", persist_state="session"
    )
    mail = st.checkbox(
        "Send me a mail when it has ended", value=remembered.get("mail") is True, key="mail", persist_state="session"
    )
    return urgent, mail
