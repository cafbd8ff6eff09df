"""Fields that only a batch transfer has: its source, and under which names the rows of its file arrive."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from models.domain.batches import BatchTransferRow
from models.domain.nodes import NodeName
from ui.parts import amounts
from ui.parts.forms import field_problem
from ui.parts.transfer_fields import identity_field, profile_field


@dataclass(frozen=True, slots=True)
class Names:
    """What arrives in place of names and IDs."""

    profile: str
    keep_identity: bool
    generate: bool


def source_field(
    sources: Sequence[NodeName], remembered: Mapping[str, object], problems: Mapping[str, str], prefix: str
) -> NodeName | None:
    """Draw the choice of the server to take studies from."""
    known = [node.id for node in sources]
    last = remembered.get("source")
    only = 0 if len(known) == 1 else None
    chosen = st.selectbox(
        "Source",
        sources,
        index=known.index(last) if isinstance(last, int) and last in known else only,
        format_func=lambda node: node.name,
        key=f"{prefix}source",
        placeholder="Choose the server that has the studies",
        persist_state="session",
    )
    field_problem(problems, "source")
    return chosen if isinstance(chosen, NodeName) else None


def names_fields(
    rows: Sequence[BatchTransferRow],
    may_keep: bool,
    remembered: Mapping[str, object],
    problems: Mapping[str, str],
    prefix: str,
) -> Names:
    """Draw what can be said about pseudonyms, as far as the file leaves it open, and the profile."""
    keeps = identity_field(may_keep, prefix)
    if keeps:
        return Names("", True, False)
    return Names(profile_field(remembered, problems, prefix), False, _generates(rows, problems, prefix))


def _generates(rows: Sequence[BatchTransferRow], problems: Mapping[str, str], prefix: str) -> bool:
    without = sum(not row.pseudonym for row in rows)
    if not without:
        st.caption("Every row has a pseudonym.")
        return False
    which = (
        "No row has a pseudonym" if without == len(rows) else f"{amounts.counted(without, 'row')} without a pseudonym"
    )
    generates = st.checkbox(
        "Generate pseudonyms where the file has none",
        key=f"{prefix}generate",
        help="In a trial, a patient who has a pseudonym already keeps it.",
        persist_state="session",
    )
    field_problem(problems, "generate_pseudonyms")
    if not generates:
        st.caption(f"{which}. Let them be generated, or name a trial in which the patients have one.")
    return generates
