"""Where a transfer goes, under which names, and by which rules."""

import re
from collections.abc import Mapping, Sequence

import streamlit as st

from models.domain.jobs import JobKind
from models.domain.nodes import NodeName
from models.domain.people import Actor, Permission
from models.domain.requests import StudyWish, TransferRequest
from ui.parts import studies, tables
from ui.parts.draft import Draft
from ui.parts.escape import escape_markdown
from ui.parts.forms import field_problem
from ui.parts.transfer_fields import (
    destination_field,
    extras,
    identity_field,
    nifti_field,
    profile_field,
    trial_fields,
)

_KIND = JobKind.SELECTIVE_TRANSFER
_FIELDS = ("destination", "convert_to_nifti", "profile", "trial_protocol_id", "trial_protocol_name")
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
        destination = destination_field(destinations, remembered, problems)
        converts = nifti_field(destination, remembered, problems)
        trial_id, trial_name = trial_fields(problems)
        urgent, mail = extras(Permission.SELECTIVE_URGENT in actor.permissions, remembered)
    with identity:
        keeps = identity_field(Permission.SELECTIVE_UNPSEUDONYMIZED in actor.permissions)
        pseudonyms: Mapping[str, str] = {} if keeps else _pseudonyms(draft, problems)
        profile = "" if keeps else profile_field(remembered, problems)
    if destination is None:
        return None
    wishes = tuple(
        StudyWish(
            each.study.study_uid, each.study.patient_id, tuple(each.series_uids), pseudonyms.get(each.patient, "")
        )
        for each in draft.chosen.values()
    )
    return TransferRequest(
        _KIND,
        draft.source_id,
        destination.id,
        wishes,
        trial_id,
        trial_name,
        urgent,
        profile,
        keeps,
        mail,
        convert_to_nifti=converts,
    )


def other_problems(problems: Mapping[str, str]) -> list[str]:
    """What is wrong that has no field here, a sentence each."""
    return [
        problem if name == "request" else f"{name.replace('_', ' ').capitalize()}: {problem}"
        for name, problem in problems.items()
        if name not in _FIELDS and not _OF_PSEUDONYM.fullmatch(name)
    ]


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
