"""The proof of one item: which instances were expected, received, left out, stored and confirmed, and the verdict."""

from collections import Counter
from collections.abc import Sized
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Completeness(StrEnum):
    """The verdict on one item. Only ``complete`` may be called a success."""

    COMPLETE = "complete"
    SHORT = "short"
    SURPLUS = "surplus"
    HELD = "held"
    UNKNOWN = "unknown"


NOT_LISTED = "The source sent it without having listed it in this study."
"""Why an instance is left out that may belong to another patient."""
REJECTED = "A reviewer did not let it pass."
"""Why an instance is left out that was held before."""
NOT_CONVERTED = "Not converted to NIfTI:"
"""How the reason begins why all instances of a series are left out that gave no file."""


@dataclass(slots=True)
class Receipt:
    """Sets of SOP Instance UIDs of the source. UIDs are never pseudonymized here: the receipt stays in our database.

    ``expected`` is None when the source cannot list its instances. ``left_out`` gives the reason for each instance
    that arrived and was not sent on for good, ``held`` for each that waits for a person's review; no bytes of either
    are kept. ``refused`` gives the status (hexadecimal) for each the destination did not take.
    ``digests`` holds the SHA-256 of files for folder destinations. ``is_confirmable`` says whether the destination
    can be asked at all. Of what is converted to NIfTI, ``stored`` are the instances that went into a file, and
    ``files`` holds the SHA-256 of each by its name within the study.
    """

    expected: set[str] | None = None
    announced_count: int | None = None
    received: set[str] = field(default_factory=set[str])
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    held: dict[str, str] = field(default_factory=dict[str, str])
    stored: set[str] = field(default_factory=set[str])
    stored_with_warning: dict[str, str] = field(default_factory=dict[str, str])
    refused: dict[str, str] = field(default_factory=dict[str, str])
    confirmed: set[str] = field(default_factory=set[str])
    digests: dict[str, str] = field(default_factory=dict[str, str])
    is_confirmable: bool = True
    size_bytes: int = 0
    left_out_series: dict[str, str] = field(default_factory=dict[str, str])
    files: dict[str, str] = field(default_factory=dict[str, str])

    def copied(self) -> "Receipt":
        """The receipt as it is now, which stays so when this one changes."""
        fields = {name: copy(getattr(self, name)) for name in self.__slots__}
        return Receipt(**fields)

    @property
    def undelivered(self) -> set[str]:
        """What the source announced and did not send."""
        return set() if self.expected is None else self.expected - self.received

    @property
    def wanted(self) -> set[str]:
        """What belongs at the destination: all that was announced, or else sent, without what is left out or held."""
        every = self.expected if self.expected is not None else self.received
        return every - self.left_out.keys() - self.held.keys()

    @property
    def missing(self) -> set[str]:
        """What should be at the destination and is not known to be there."""
        return self.wanted - (self.confirmed if self.is_confirmable else self.stored)

    @property
    def surplus(self) -> set[str]:
        """What arrived although the source had not announced it."""
        return set() if self.expected is None else self.received - self.expected

    @property
    def verdict(self) -> Completeness:
        """Compare the sets. Doubt is never complete.

        Missing or refused instances weigh most. Then comes doubt: a source that cannot list its instances or counts
        more than it lists, a destination that cannot be asked. Then instances that are held, and those that nobody had
        announced.
        """
        if self.missing or self.refused:
            return Completeness.SHORT
        if self.expected is None and len(self.received) < max(self.announced_count or 0, 1):
            return Completeness.SHORT
        if self._is_doubtful:
            return Completeness.UNKNOWN
        if self.held:
            return Completeness.HELD
        return Completeness.SURPLUS if self.surplus else Completeness.COMPLETE

    @property
    def _is_doubtful(self) -> bool:
        if self.expected is None or not self.is_confirmable:
            return True
        return self.announced_count is not None and self.announced_count > len(self.expected)


@dataclass(frozen=True, slots=True)
class ReceiptTotals:
    """How many instances of all items of a job are stored, and how many are held for a review."""

    stored: int = 0
    held: int = 0


@dataclass(frozen=True, slots=True)
class ReceiptSummary:
    """How many instances are in each set of a receipt. ``expected`` is None when the source cannot list them."""

    verdict: Completeness
    expected: int | None
    received: int
    stored: int
    confirmed: int
    left_out: int
    held: int
    refused: int
    missing: int
    saved_at: datetime


def concerns(receipt: Receipt) -> str:
    """What a person should know about an item that is neither a clean success nor a failure; empty when nothing.

    Names counts and reasons, never an identifier.
    """
    sentences: list[str] = []
    if receipt.held:
        sentences.append(f"Held until a reviewer releases or rejects them: {_with_reasons(receipt.held)}")
    if receipt.left_out:
        sentences.append(f"Left out: {_with_reasons(receipt.left_out)}")
    if receipt.stored_with_warning:
        sentences.append(f"The destination stored {instances(receipt.stored_with_warning)} with a warning.")
    if receipt.surplus:
        sentences.append(f"The source sent {instances(receipt.surplus)} that it had not listed.")
    if receipt.verdict is Completeness.UNKNOWN:
        side = "destination" if not receipt.is_confirmable else "source"
        sentences.append(f"Completeness cannot be proven: the {side} does not list its instances reliably.")
    sentences.append(excluded_series(receipt))
    return " ".join(filter(None, sentences))


def excluded_series(receipt: Receipt) -> str:
    """Which series the settings have left out, and why; empty when none."""
    counts = Counter(receipt.left_out_series.values()).most_common()
    reasons = " ".join(f"{count} x {reason}" for reason, count in counts)
    return f"Series left out: {reasons}" if reasons else ""


def instances(uids: Sized) -> str:
    """How many instances, in words: ``1 instance``, ``3 instances``."""
    return "1 instance" if len(uids) == 1 else f"{len(uids)} instances"


def _with_reasons(reasons: dict[str, str]) -> str:
    """The number of instances and, most frequent first, why."""
    parts = [f"{count} x {reason}" for reason, count in Counter(reasons.values()).most_common()]
    return f"{instances(reasons)}. {' '.join(parts)}"
