"""Judges from the header whether an instance may pass, has to be blanked first, or must not pass.

Every kind that an instance is of (kinds.py) is judged by the profile (rules.py), and the strictest judgement holds.
"""

from dataclasses import dataclass, field, replace

from dicom.deid.encoding import Element, Syntax
from dicom.deid.pixels import frames, segments, ultrasound
from dicom.deid.pixels.header import Header
from dicom.deid.pixels.kinds import denies_annotation, kinds
from dicom.deid.pixels.rules import Kind, PixelRules, Treatment
from dicom.deid.pixels.signatures import Areas
from models.domain.errors import Excluded, NeedsReview

_REASONS = {
    Kind.DOCUMENTS: "The instance is an encapsulated document or model, which may name the patient.",
    Kind.SECONDARY_CAPTURE: "The instance's class often has text burned in (secondary capture), and nothing is known "
    "about where.",
    Kind.SCREENS: "The instance is a copy of a screen, protocol or label, which may name the patient.",
    Kind.ULTRASOUND: "The instance's class often has text burned in (ultrasound), and its header lists no regions by "
    "which it could be blanked.",
    Kind.PHOTOGRAPHS: "The instance's class often has text burned in (visible light), and the instance does not deny "
    "it.",
    Kind.VIDEO: "The instance is a video, which may show or say the patient's name.",
    Kind.AUDIO: "The instance is a sound recording, which may say the patient's name.",
    Kind.FILM: "The instance is a film or sheet as it was printed, which may name the patient.",
    Kind.DECLARED_BURNED_IN: "The instance declares that text is burned into its pixels.",
    Kind.RECOGNIZABLE: "The instance may show the patient's face.",
    Kind.SCANNED: "The instance is a scanned document or a page of text, which may name the patient.",
    Kind.PRIVATE_CLASSES: "The instance's SOP class is private; its content cannot be judged.",
    Kind.OVERLAY_IN_PIXELS: "The instance has an overlay within its pixels, which may name the patient.",
}
_BEHIND = "The instance's pixel data carries data behind its last frame."
_UNSEARCHED = "The instance's pixel data is in fragments of which its transfer syntax does not tell where text may be."
_METADATA = "The instance's compressed frames carry metadata or a thumbnail (such as EXIF or XMP)."
_DENIED = frozenset({Kind.SECONDARY_CAPTURE, Kind.ULTRASOUND, Kind.PHOTOGRAPHS, Kind.FILM})
"""Kinds that Burned In Annotation NO speaks about. Who copies a screen or scans a page does not look at every one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to be done with the pixels of an instance that may pass.

    ``areas`` are blanked, ``clears_unused_bits`` means that bits outside Bits Stored are set to 0, and ``cuts`` that
    data behind the last frame is cut off. ``is_released``: a person has let the instance pass as it is, so that it also
    passes when its frames prove impossible to decode. ``reason`` is for people and quotes nothing of the instance but
    the name of a signature. ``asked`` are the tags whose values led to this plan. ``fragments`` are those of
    encapsulated pixel data, which are still to be searched for identifiers.
    """

    areas: Areas | None = None
    clears_unused_bits: bool = False
    cuts: bool = False
    is_released: bool = False
    reason: str = ""
    asked: frozenset[int] = field(default=frozenset(), compare=False)
    fragments: segments.Fragments | None = field(default=None, compare=False, repr=False)

    @property
    def is_blank(self) -> bool:
        """Whether areas of the picture are blanked."""
        return self.areas is not None

    @property
    def treatment(self) -> Treatment:
        """BLANK when anything of the pixel data is changed, else PASS."""
        return Treatment.BLANK if self.areas or self.clears_unused_bits or self.cuts else Treatment.PASS


_UNTOUCHED = Plan()


def judged(
    data: memoryview,
    elements: list[Element],
    syntax: Syntax,
    transfer_syntax_uid: str,
    rules: PixelRules,
    is_released: bool,
) -> Plan:
    """Return what has to be done with the pixels of an instance before it may pass.

    ``is_released`` says that a person has looked at the source instance and let it pass: it is not held any more, but
    what can be blanked still is, and what the profile rejects stays rejected.

    Raises Excluded when the profile lets no instance of this kind pass, NeedsReview when a person has to look at it,
    Unreadable when it has more than one kind of pixel data.
    """
    header = Header(data, elements, syntax)
    pixels = header.pixels()
    found = kinds(header, transfer_syntax_uid)
    for kind in found:
        if rules.treatments[kind] is Treatment.REJECT:
            raise Excluded(f"{_REASONS[kind]} The profile rejects these.")
    plan = _blanking(header, pixels, transfer_syntax_uid, rules, found) if pixels and found else _UNTOUCHED
    held = _held(header, rules, found, plan)
    fragments = _fragments(header, pixels, transfer_syntax_uid)
    if fragments:
        held += hidden_in_fragments(fragments, frames.frame_count(header), transfer_syntax_uid, plan.treatment)
    cuts = pixels is not None and not fragments and frames.has_data_behind(header, pixels)
    if cuts:
        held.append(_BEHIND)
    if held and not is_released:
        raise NeedsReview(held[0])
    if not is_released:
        return replace(plan, asked=frozenset(header.asked), fragments=fragments)
    reason = plan.reason or "released by a person"
    return replace(plan, cuts=cuts, is_released=True, reason=reason, fragments=fragments)


def _blanking(header: Header, pixels: Element, transfer_syntax_uid: str, rules: PixelRules, found: list[Kind]) -> Plan:
    """What the profile wants blanked, as far as it is known where and can be done."""
    wanted = [kind for kind in found if rules.treatments[kind] is Treatment.BLANK]
    if not wanted or not frames.can_be_rewritten(header, pixels, transfer_syntax_uid):
        return _UNTOUCHED
    areas, reason = _areas(header, rules, wanted) if wanted != [Kind.OVERLAY_IN_PIXELS] else (None, "")
    clears = Kind.OVERLAY_IN_PIXELS in wanted and frames.has_unused_bits(header)
    return Plan(areas, clears, reason=reason or ("overlay within the pixels" if clears else ""))


def _areas(header: Header, rules: PixelRules, wanted: list[Kind]) -> tuple[Areas | None, str]:
    for signature in rules.signatures:
        if signature.matches(header):
            return signature.areas, f"signature {signature.name}"
    regions = ultrasound.regions(header) if Kind.ULTRASOUND in wanted else ()
    return (Areas(keep=regions), "outside the ultrasound regions") if regions else (None, "")


def _held(header: Header, rules: PixelRules, found: list[Kind], plan: Plan) -> list[str]:
    """Why the instance has to wait for a person, each reason as a sentence."""
    is_denied = bool(found) and rules.trusts_declared_no and denies_annotation(header)
    return [
        _REASONS[kind]
        for kind in found
        if rules.treatments[kind] is not Treatment.PASS
        and not (is_denied and kind in _DENIED)
        and not (rules.treatments[kind] is Treatment.BLANK and _is_blanked(kind, plan))
    ]


def _is_blanked(kind: Kind, plan: Plan) -> bool:
    return plan.clears_unused_bits if kind is Kind.OVERLAY_IN_PIXELS else plan.is_blank


def _fragments(header: Header, pixels: Element | None, transfer_syntax_uid: str) -> segments.Fragments | None:
    if not pixels or not frames.is_encapsulated(pixels):
        return None
    return segments.read_fragments(header.data[pixels.begin : pixels.stop], transfer_syntax_uid)


def hidden_in_fragments(
    fragments: segments.Fragments,
    frame_count: int,
    transfer_syntax_uid: str,
    treatment: Treatment = Treatment.PASS,
) -> list[str]:
    """Return why encapsulated pixel data has to wait for a person, whatever the profile says of its kind."""
    held = [_BEHIND] if frames.has_excess_fragments(fragments, transfer_syntax_uid, frame_count) else []
    if transfer_syntax_uid in frames.NATIVE or not fragments.can_be_searched:
        held.append(_UNSEARCHED)
    if treatment is Treatment.PASS and fragments.has_metadata:
        held.append(_METADATA)
    return held
