"""The proof of one item: which instances were expected, received, left out, stored and confirmed, and the verdict."""

from dataclasses import dataclass, field
from enum import StrEnum


class Completeness(StrEnum):
    """The verdict on one item. Only ``complete`` may be called a success."""

    COMPLETE = "complete"
    SHORT = "short"
    SURPLUS = "surplus"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Receipt:
    """Sets of SOP Instance UIDs of the source. UIDs are never pseudonymized here: the receipt stays in our database.

    ``expected`` is None when the source cannot list its instances. ``left_out`` gives the reason for each instance
    that arrived and was not sent on; ``refused`` the status (hexadecimal) for each the destination did not take.
    ``digests`` holds the SHA-256 of files for folder destinations. ``is_confirmable`` says whether the destination
    can be asked at all.
    """

    expected: set[str] | None = None
    announced_count: int | None = None
    received: set[str] = field(default_factory=set[str])
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    stored: set[str] = field(default_factory=set[str])
    stored_with_warning: dict[str, str] = field(default_factory=dict[str, str])
    refused: dict[str, str] = field(default_factory=dict[str, str])
    confirmed: set[str] = field(default_factory=set[str])
    digests: dict[str, str] = field(default_factory=dict[str, str])
    is_confirmable: bool = True
    size_bytes: int = 0
    left_out_series: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def undelivered(self) -> set[str]:
        """What the source announced and did not send."""
        return set() if self.expected is None else self.expected - self.received

    @property
    def wanted(self) -> set[str]:
        """What belongs at the destination: all that was announced, or else sent, without what is left out."""
        return (self.expected if self.expected is not None else self.received) - set(self.left_out)

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
        more than it lists, a destination that cannot be asked. Then instances that nobody had announced.
        """
        if self.missing or self.refused:
            return Completeness.SHORT
        if self.expected is None and len(self.received) < max(self.announced_count or 0, 1):
            return Completeness.SHORT
        if self._is_doubtful:
            return Completeness.UNKNOWN
        return Completeness.SURPLUS if self.surplus else Completeness.COMPLETE

    @property
    def _is_doubtful(self) -> bool:
        if self.expected is None or not self.is_confirmable:
            return True
        return self.announced_count is not None and self.announced_count > len(self.expected)
