"""Which presentation contexts we propose (PS3.8 section 7.1.1.13). Tables and pure rules, no network.

Each context carries one transfer syntax. In a context with several the acceptor chooses, and Orthanc for one takes
Explicit VR Little Endian whenever it is offered; it then cannot send a compressed instance and fails the whole C-GET.
An association has room for 128 contexts, so what is proposed depends on what is known about the instances.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from models.domain.errors import PeerLied
from models.domain.refs import Selection

MAX_CONTEXTS = 128

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
_UNCOMPRESSED = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
_RARE = (DEFLATED, EXPLICIT_BIG)

_JPEG_BASELINE, _JPEG_EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
_JPEG_LOSSLESS, _JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"
_JPEG_LS, _JPEG_LS_NEAR = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"
_JPEG_2000_LOSSLESS, _JPEG_2000 = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"
_HTJ2K = tuple(f"1.2.840.10008.1.2.4.20{n}" for n in (1, 2, 3))
_RLE = "1.2.840.10008.1.2.5"
_MPEG2 = ("1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.101")
_MPEG4 = tuple(f"1.2.840.10008.1.2.4.10{n}" for n in (2, 3, 4, 5, 6))
_HEVC = ("1.2.840.10008.1.2.4.107", "1.2.840.10008.1.2.4.108")

_OF_STILLS = (
    *(_JPEG_2000_LOSSLESS, _JPEG_LOSSLESS_SV1, _JPEG_BASELINE, _JPEG_2000, _JPEG_LS, _RLE),
    *(_JPEG_EXTENDED, _JPEG_LOSSLESS, _JPEG_LS_NEAR, *_HTJ2K),
)
_OF_FILMS = (_MPEG4[0], _MPEG2[1], _MPEG2[0], *_MPEG4[1:], *_HEVC)
TRANSFER_SYNTAXES = (*_OF_STILLS, *_OF_FILMS, *_UNCOMPRESSED, *_RARE)
"""All that we know: compressed ones first, the more frequent first (PS3.5 section 10 and annex A)."""

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_FILMED = frozenset(
    _STORAGE + leaf
    for leaf in (
        *("3.1", "6.1", "7.4", "12.1", "12.2", "77.1.1", "77.1.1.1", "77.1.2", "77.1.2.1", "77.1.4", "77.1.4.1"),
        "77.1.5.1",
    )
)
_WITHOUT_PIXELS = tuple(
    _STORAGE + leaf for leaf in ("9.", "11.", "66", "67", "78.", "79.", "88.", "104.", "481.3", "481.5", "481.8")
)
_SEGMENTATIONS = frozenset(_STORAGE + leaf for leaf in ("66.4", "66.7", "66.8"))

_SECONDARY_CAPTURE, _SEGMENTATION, _RAW = "7", "66.4", "66"
_REPORTS = ("88.11", "88.22", "88.33", "88.34", "88.40", "88.50", "88.65", "88.67", "88.68", "88.71")
_CLASSES: dict[str, tuple[str, ...]] = {
    "AU": ("9.4.1", "9.4.2"),
    "CR": ("1",),
    "CT": ("2", "2.1", "2.2"),
    "DOC": ("104.1", "104.2"),
    "DX": ("1.1", "1.1.1"),
    "ECG": ("9.1.1", "9.1.2", "9.1.3", "9.1.4"),
    "EPS": ("9.3.1",),
    "ES": ("77.1.1", "77.1.1.1"),
    "FID": ("66.2",),
    "GM": ("77.1.2", "77.1.2.1"),
    "HD": ("9.2.1",),
    "IO": ("1.3", "1.3.1"),
    "IVOCT": ("14.1", "14.2"),
    "IVUS": ("3.1", "6.1"),
    "KO": ("88.59",),
    "M3D": ("104.3", "104.4", "104.5"),
    "MG": ("1.2", "1.2.1", "13.1.3", "13.1.4", "13.1.5"),
    "MR": ("4", "4.1", "4.2", "4.3", "4.4"),
    "NM": ("20",),
    "OCT": ("77.1.5.4", "14.1", "14.2"),
    "OP": ("77.1.5.1", "77.1.5.2", "77.1.5.5", "77.1.5.6"),
    "OPT": ("77.1.5.4", "77.1.5.7", "77.1.5.8"),
    "OPV": ("80.1",),
    "OT": ("7", "7.1", "7.2", "7.3", "7.4"),
    "PR": ("11.1", "11.2", "11.3", "11.4", "11.5", "11.8"),
    "PT": ("128", "128.1", "130"),
    "PX": ("1.1", "1.1.1"),
    "REG": ("66.1", "66.3"),
    "RF": ("12.2", "12.2.1", "1.1"),
    "RTDOSE": ("481.2",),
    "RTIMAGE": ("481.1", "481.23"),
    "RTPLAN": ("481.5", "481.8"),
    "RTRECORD": ("481.4", "481.6", "481.7", "481.9"),
    "RTSTRUCT": ("481.3",),
    "RWV": ("67",),
    "SEG": ("66.4", "66.5", "66.7"),
    "SM": ("77.1.6", "77.1.3", "77.1.2"),
    "SR": (*_REPORTS, "88.59"),
    "US": ("6.1", "3.1", "6.2"),
    "XA": ("12.1", "12.1.1", "13.1.1", "12.2"),
    "XC": ("77.1.4", "77.1.4.1", "77.1.7"),
}
"""Modality (0008,0060) -> the ends of the storage SOP classes it makes (PS3.4 table B.5-1)."""

_IN_GENERAL = (
    *("2", "4", "1", "1.1", "1.2", "7", "6.1", "3.1", "128", "20", "12.1", "12.2", "2.1", "4.1", "13.1.3", "66.4"),
    *("481.1", "481.2", "77.1.4", "77.1.1", "88.11", "88.22", "88.33", "88.59", "88.67", "11.1", "481.3", "481.5"),
    *("104.1", "66.1", "66", "9.1.1"),
)
"""What is asked for when nothing is known about the instances."""


class Context(NamedTuple):
    """A presentation context to propose: abstract syntax and the one transfer syntax."""

    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """What an association is opened with; ``stored_by_us`` are the SOP classes for which we ask for the SCP role."""

    contexts: tuple[Context, ...]
    stored_by_us: frozenset[str] = frozenset()

    def covers(self, other: "Proposal") -> bool:
        return set(other.contexts) <= set(self.contexts) and other.stored_by_us <= self.stored_by_us

    def joined(self, other: "Proposal") -> "Proposal":
        """This and the other together, or the other alone where both have no room in one association."""
        contexts = tuple(dict.fromkeys((*other.contexts, *self.contexts)))
        if len(contexts) > MAX_CONTEXTS:
            return other
        return Proposal(contexts, self.stored_by_us | other.stored_by_us)


def service(sop_class_uid: str) -> Proposal:
    """The proposal for a service without stored instances, in Implicit VR Little Endian, which every peer knows."""
    return Proposal((Context(sop_class_uid, IMPLICIT_LITTLE),))


def retrieval(model: str, selection: Selection) -> Proposal:
    """The proposal for a C-GET of the selection: its information model, and the storage classes that may come back.

    Known SOP classes, private ones too, get every transfer syntax there is room for. What is left of the room is for
    the classes that the modalities make, since not every instance may have been looked at; without any knowledge the
    most frequent classes of all are proposed.
    """
    known = tuple(sorted(selection.sop_class_uids))[: MAX_CONTEXTS - 1]
    likely = tuple(uid for uid in _likely_classes(selection.modalities) if uid not in selection.sop_class_uids)
    stored = _storage_contexts(known or likely[: MAX_CONTEXTS - 1], selection.transfer_syntax_uids)
    if known and selection.modalities:
        named = tuple(sorted(selection.transfer_syntax_uids, key=_rank))
        usual = tuple(dict.fromkeys((*named, *_UNCOMPRESSED)))
        stored += tuple(Context(uid, syntax) for syntax in usual for uid in likely)
    contexts = (*service(model).contexts, *stored)[:MAX_CONTEXTS]
    return Proposal(contexts, frozenset(context.abstract_syntax for context in contexts[1:]))


def storage(pairs: Iterable[Context]) -> Proposal:
    """The proposal for sending: what occurs, the newest that there is room for."""
    return Proposal(tuple(dict.fromkeys(pairs))[-MAX_CONTEXTS:])


def accepted(contexts: Mapping[int, Context], context_id: int, peer: str) -> Context:
    """The accepted context with this number; raises PeerLied, which names the peer, when there is none."""
    if context_id not in contexts:
        raise PeerLied(f"{peer} uses a presentation context that was not accepted.")
    return contexts[context_id]


def _likely_classes(modalities: frozenset[str]) -> Iterator[str]:
    leaves: dict[str, None] = {}
    for modality in sorted(modalities):
        leaves |= dict.fromkeys(_CLASSES.get(modality, ()))
    leaves |= dict.fromkeys((_SECONDARY_CAPTURE, _SEGMENTATION, _RAW) if leaves else ())
    if not modalities or not all(modality in _CLASSES for modality in modalities):
        leaves |= dict.fromkeys(_IN_GENERAL)
    return (_STORAGE + leaf for leaf in leaves)


def _storage_contexts(classes: tuple[str, ...], known_syntaxes: frozenset[str]) -> tuple[Context, ...]:
    """The contexts in order of proposal: compressed syntaxes before uncompressed ones.

    They are dealt out in rounds, one syntax for each class, so that little room means fewer rare syntaxes and never
    a class without any.
    """
    wishes = {uid: _syntaxes(uid, known_syntaxes) for uid in classes}
    rounds = max((len(wish) for wish in wishes.values()), default=0)
    dealt = [Context(uid, wish[n]) for n in range(rounds) for uid, wish in wishes.items() if n < len(wish)]
    room = dealt[: MAX_CONTEXTS - 1]
    return tuple(sorted(room, key=lambda context: _rank(context.transfer_syntax)))


def _syntaxes(sop_class_uid: str, known: frozenset[str]) -> tuple[str, ...]:
    """The transfer syntaxes for a class, the most needed first.

    Those that the peer named come first, and all others follow: what it names may be out of date.
    """
    named = tuple(sorted(known, key=_rank))
    if sop_class_uid.startswith(_WITHOUT_PIXELS) and sop_class_uid not in _SEGMENTATIONS:
        usual: tuple[str, ...] = (*_UNCOMPRESSED, *_RARE)
    else:
        films = _OF_FILMS if sop_class_uid in _FILMED or not sop_class_uid.startswith(_STORAGE) else ()
        usual = (*_UNCOMPRESSED, *_OF_STILLS, *films[:2], *_RARE, *films[2:])
    return tuple(dict.fromkeys((*named, *usual)))


def _rank(transfer_syntax: str) -> int:
    return TRANSFER_SYNTAXES.index(transfer_syntax) if transfer_syntax in TRANSFER_SYNTAXES else -1
