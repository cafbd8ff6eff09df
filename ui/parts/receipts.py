"""A receipt on a page: how many instances got how far, what that proves, and which ones did not and why."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import streamlit as st

from models.domain.quotas import readable
from models.domain.receipts import Receipt
from ui.parts import tables
from ui.parts.escape import escape_markdown
from ui.parts.status import VERDICTS

_NOT_ASKED = "not asked: the destination cannot be asked"


@dataclass(frozen=True, slots=True)
class Line:
    """One instance or series with what is to be said about it."""

    uid: str
    words: str


def show_receipt(receipt: Receipt) -> None:
    """Draw the verdict, the counts, and the lists of what is not simply where it should be."""
    words, colour = VERDICTS[receipt.verdict]
    name, _, rest = words.partition(":")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(name, color=colour)
        st.write(rest.strip().capitalize())
    _counts(receipt)
    for title, lines in exceptions(receipt).items():
        if lines:
            _list(title, lines)


def exceptions(receipt: Receipt) -> Mapping[str, tuple[Line, ...]]:
    """By title, the instances that are not simply where they should be, and the series that were left out."""
    return {
        "Missing at the destination": _plain(receipt.missing, "Not confirmed." if receipt.is_confirmable else ""),
        "Refused by the destination": _lines(receipt.refused, "Status "),
        "Held for review": _lines(receipt.held),
        "Left out": _lines(receipt.left_out),
        "Series left out": _lines(receipt.left_out_series),
        "Stored with a warning": _lines(receipt.stored_with_warning, "Status "),
        "Sent without being announced": _plain(receipt.surplus, ""),
        "NIfTI files": _lines(receipt.files, "SHA-256 "),
    }


def _counts(receipt: Receipt) -> None:
    expected = "not listed" if receipt.expected is None else f"{len(receipt.expected):,}"
    confirmed = f"{len(receipt.confirmed):,}" if receipt.is_confirmable else _NOT_ASKED
    numbers = {
        "Expected": expected,
        "Received": f"{len(receipt.received):,}",
        "Stored": f"{len(receipt.stored):,}",
        "Confirmed": confirmed,
        "Left out": f"{len(receipt.left_out):,}",
        "Held": f"{len(receipt.held):,}",
        "Size": readable(receipt.size_bytes),
    }
    with st.container(horizontal=True, key="receipt-counts"):
        for label, value in numbers.items():
            st.metric(label, value, width="content", border=True)


def _list(title: str, lines: tuple[Line, ...]) -> None:
    key = f"list-{title.lower().replace(' ', '-')}"
    with st.expander(f"{title} ({len(lines):,})", key=f"{key}-box", on_change="rerun") as box:
        if not box.open:
            return
        for words, count in Counter(line.words for line in lines).most_common():
            if words:
                st.caption(f"{count:,} x {escape_markdown(words)}")
        look = tables.Look[Line](
            [tables.Column("UID", lambda line: line.uid), tables.Column("Why", lambda line: line.words)],
            title,
            lambda line: line.uid,
            "entry",
        )
        tables.paged_table(len(lines), lambda limit, offset: lines[offset : offset + limit], look, key)


def _lines(reasons: Mapping[str, str], before: str = "") -> tuple[Line, ...]:
    return tuple(Line(uid, f"{before}{reason}") for uid, reason in sorted(reasons.items()))


def _plain(uids: Iterable[str], words: str) -> tuple[Line, ...]:
    return tuple(Line(uid, words) for uid in sorted(uids))
