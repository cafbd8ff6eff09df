"""One DICOM instance as it travels: encoded bytes with the three UIDs a peer needs, never a decoded data set."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

Bytes = bytes | bytearray | memoryview
LARGEST_BYTES = 16 << 30
"""Of one instance that arrives, by whatever protocol; the largest that are known have a tenth of it."""


@dataclass(frozen=True, slots=True)
class EncodedInstance:
    """A data set in its transfer syntax, without preamble and file meta information.

    ``parts`` are buffers that, joined, are the encoded data set; they may view a file mapped into memory whose
    directory entry is already gone, so that nothing is left behind when the process dies. A deflated data set
    stays deflated (PS3.5 section A.5).
    """

    sop_class_uid: str
    sop_uid: str
    transfer_syntax_uid: str
    parts: tuple[Bytes, ...]

    @property
    def size_bytes(self) -> int:
        return sum(len(part) for part in self.parts)


class Verdict(StrEnum):
    """What a destination said about one instance."""

    STORED = "stored"
    STORED_WITH_WARNING = "stored_with_warning"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class StoreOutcome:
    """The answer of a destination for one instance.

    ``status`` is the C-STORE status (PS3.4 table B.2-1), for STOW-RS its failure or warning reason, for folders 0.
    ``digest`` is the SHA-256 of the file as written, for destinations that can be read back; else empty.
    """

    sop_uid: str
    verdict: Verdict
    status: int = 0
    digest: str = ""


Sink = Callable[[EncodedInstance], None]
"""Takes each retrieved instance. It may block (back-pressure), and what it raises ends the retrieval."""
