"""What a profile says about pixels and documents: a treatment for each kind of instance, and where to blank.

The defaults let nothing pass unlooked at that may show an identity: what is known to be outside the picture proper is
blanked, what is not known waits for a person, and documents never pass.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import cast

from dicom.deid.pixels.signatures import Signature, read_signatures, shipped_signatures
from models.domain.errors import ProfileInvalid


class Treatment(StrEnum):
    """What is done with instances of a kind."""

    PASS = "pass"
    BLANK = "blank"
    """Blank what a signature, the ultrasound regions or unused bits allow; without any of them, hold."""
    HOLD = "hold"
    """Deliver it only when a person has looked at it and released it."""
    REJECT = "reject"


class Kind(StrEnum):
    """Why an instance may show the patient's identity; an instance can be of several kinds."""

    DOCUMENTS = "documents"
    """Encapsulated PDF, CDA, STL, OBJ and MTL (PS3.4 table B.5-1)."""
    SECONDARY_CAPTURE = "secondary_capture"
    SCREENS = "screens"
    """Copies of screens, protocols and labels, by words in Image Type or by Specimen Label In Image."""
    ULTRASOUND = "ultrasound"
    PHOTOGRAPHS = "photographs"
    """Visible light: endoscopy, microscopy, photography, ophthalmology."""
    VIDEO = "video"
    """Classes and transfer syntaxes of video, which may carry sound as well."""
    AUDIO = "audio"
    """Waveforms of sound (Basic Voice Audio, General Audio): dictations, which speak of the patient."""
    FILM = "film"
    """Hardcopy and stored print classes, and digitized film (Conversion Type DF)."""
    DECLARED_BURNED_IN = "declared_burned_in"
    """Burned In Annotation is YES, or something else than NO."""
    RECOGNIZABLE = "recognizable"
    """Recognizable Visual Features is YES, or a photograph that does not deny it."""
    SCANNED = "scanned"
    """Scanned documents and dose or protocol pages, by Conversion Type or by words in Series Description."""
    PRIVATE_CLASSES = "private_classes"
    OVERLAY_IN_PIXELS = "overlay_in_pixels"


_DEFAULTS = MappingProxyType(
    {
        Kind.DOCUMENTS: Treatment.REJECT,
        Kind.SECONDARY_CAPTURE: Treatment.BLANK,
        Kind.SCREENS: Treatment.BLANK,
        Kind.ULTRASOUND: Treatment.BLANK,
        Kind.PHOTOGRAPHS: Treatment.HOLD,
        Kind.VIDEO: Treatment.HOLD,
        Kind.AUDIO: Treatment.HOLD,
        Kind.FILM: Treatment.BLANK,
        Kind.DECLARED_BURNED_IN: Treatment.BLANK,
        Kind.RECOGNIZABLE: Treatment.HOLD,
        Kind.SCANNED: Treatment.HOLD,
        Kind.PRIVATE_CLASSES: Treatment.HOLD,
        Kind.OVERLAY_IN_PIXELS: Treatment.BLANK,
    }
)
_NEVER_BLANKED = frozenset({Kind.DOCUMENTS, Kind.VIDEO, Kind.AUDIO, Kind.RECOGNIZABLE})
_TRUST, _SIGNATURES = "trust_declared_no", "signatures"


@dataclass(frozen=True)
class PixelRules:
    """What a profile says per kind of instance.

    ``trusts_declared_no``: whether Burned In Annotation NO frees secondary captures, ultrasound, photographs and film
    from being held. It frees nothing else, and what can be blanked is blanked all the same, because devices write NO
    without having looked. ``signatures`` are tried in their order, the profile's own before the shipped ones.
    """

    treatments: Mapping[Kind, Treatment] = field(default_factory=lambda: _DEFAULTS)
    signatures: tuple[Signature, ...] = field(default_factory=shipped_signatures)
    trusts_declared_no: bool = True

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, object]) -> "PixelRules":
        """Return the rules that the ``pixels`` part of a profile states; what it leaves out has its default.

        Raises ProfileInvalid naming the key and the reason.
        """
        for key in mapping:
            if key not in {*Kind, _TRUST, _SIGNATURES}:
                raise ProfileInvalid(f"pixels.{key}: there is no such key.")
        trusts = mapping.get(_TRUST, True)
        if not isinstance(trusts, bool):
            raise ProfileInvalid(f"pixels.{_TRUST}: neither true nor false.")
        own = read_signatures(f"pixels.{_SIGNATURES}", mapping.get(_SIGNATURES, ()))
        treatments = {kind: _treatment(kind, mapping.get(kind, default)) for kind, default in _DEFAULTS.items()}
        return cls(MappingProxyType(treatments), own + shipped_signatures(), trusts)


def _treatment(kind: Kind, value: object) -> Treatment:
    allowed = [treatment for treatment in Treatment if treatment is not Treatment.BLANK or kind not in _NEVER_BLANKED]
    if value not in allowed:
        raise ProfileInvalid(f"pixels.{kind}: not one of {', '.join(allowed)}.")
    return Treatment(cast("str", value))
