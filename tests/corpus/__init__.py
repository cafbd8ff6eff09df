"""Invented instances of every kind that archives hold, each with an identity planted wherever one can stand.

The same bytes in every process. No value belongs to a real person or place. Instances refer to one another as those of
real studies do; ``identifiers`` are what must not be left of them.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache

from pydicom import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from dicom.deid.streams import closed
from models.domain.instances import EncodedInstance
from tests.corpus import documents, oddities, pixels, projection, radiotherapy, tomography
from tests.corpus.encoding import decoded, encoded_dataset, file_head, with_raw_elements
from tests.corpus.planting import ROOT, Case, Patient, Sort
from tests.corpus.search import Haystack

_OWN_UID = re.compile(re.escape(ROOT).encode() + rb"\.\d+")
Elements = Callable[[Case], dict[int, bytes]]


@dataclass(frozen=True, slots=True)
class CorpusInstance:
    """One instance with everything that is known about what was planted in it."""

    kind: str
    patient: Patient
    instance: EncodedInstance
    part10: bytes
    planted: Mapping[str, Sort]
    """Value -> what it tells; values that are the patient's own are not among them."""
    places: Mapping[str, str]
    """Planted value -> keyword (or tag, where pydicom knows none) of the attribute that has it; values in private
    attributes, file heads and raw elements have no place."""
    identifiers: frozenset[str]
    """Every value that must not survive, the patient's own included; UIDs and dates are apart."""
    dates: Mapping[str, str]
    """Path of each DA and DT in the original -> its value; values that are no date are left out."""
    uids: frozenset[str]
    """Every UID in the original that names something and not a kind of thing."""
    pixel_bytes: bytes
    """The value of native pixel data; of compressed one, its items and fragments."""

    @property
    def dataset(self) -> Dataset:
        """The data set as pydicom reads it."""
        return decoded(self.part10)


@dataclass(frozen=True, slots=True)
class _Recipe:
    make: Callable[[Case], Dataset]
    patient: Patient
    study: str
    study_date: date
    transfer_syntax_uid: UID = ExplicitVRLittleEndian
    compressed: UID | None = None
    raw: Elements | None = None


_ONCOLOGY, _CHEST, _ODD = Patient(1, date(1957, 3, 12)), Patient(2, date(1961, 8, 23)), Patient(3, date(1949, 11, 5))
_WESTERN = Patient(4, date(1970, 2, 27), "Grün^Zoë")
_UNICODE = Patient(5, date(1933, 7, 14), "Jiménez^Ñusta=山口^花子=やまぐち^はなこ")
_CYRILLIC = Patient(6, date(1981, 10, 9), "Жуковская^Вера")  # noqa: RUF001
_JAPANESE = Patient(7, date(1966, 4, 18), "Watanabe^Setsuko=渡辺^節子")
_CHINESE = Patient(8, date(1978, 12, 3), "Ouyang^Xiaodong=欧阳^晓冬")


def _recipes() -> dict[str, _Recipe]:
    return {**_oncology(), **_radiographs(), **_odd(), **_scripts()}


def _oncology() -> dict[str, _Recipe]:
    """One patient with a baseline and a follow-up study whose objects refer to one another."""

    def follow_up(make: Callable[[Case], Dataset], syntax: UID = ExplicitVRLittleEndian) -> _Recipe:
        return _Recipe(make, _ONCOLOGY, "follow-up", date(2022, 9, 14), syntax)

    return {
        "ct_baseline": _Recipe(tomography.ct, _ONCOLOGY, "baseline", date(2021, 2, 3)),
        "ct": follow_up(tomography.ct),
        "mr": follow_up(tomography.mr),
        "enhanced_mr": follow_up(tomography.enhanced_mr),
        "enhanced_ct": follow_up(tomography.enhanced_ct, ImplicitVRLittleEndian),
        "pet": follow_up(tomography.pet),
        "nm": follow_up(tomography.nm),
        "segmentation": follow_up(documents.segmentation),
        "rt_structures": follow_up(radiotherapy.structures, ImplicitVRLittleEndian),
        "rt_plan": follow_up(radiotherapy.plan, ImplicitVRLittleEndian),
        "rt_dose": follow_up(radiotherapy.dose),
        "rt_image": follow_up(radiotherapy.portal),
        "report": follow_up(documents.report),
        "key_object": follow_up(documents.key_object),
        "presentation_state": follow_up(documents.presentation_state),
    }


def _radiographs() -> dict[str, _Recipe]:
    def of_chest(make: Callable[[Case], Dataset], syntax: UID = ExplicitVRLittleEndian) -> _Recipe:
        return _Recipe(make, _CHEST, "chest", date(2023, 5, 21), syntax)

    return {
        "cr_deflated": of_chest(projection.cr, DeflatedExplicitVRLittleEndian),
        "cr_linked": of_chest(projection.linked_radiograph),
        "dx_jpeg": of_chest(projection.dx, JPEGBaseline8Bit),
        "mammogram": of_chest(projection.mg),
        "xa": of_chest(projection.xa),
        "ultrasound": of_chest(projection.us),
        "ultrasound_regions": of_chest(projection.us_frames),
        "secondary_capture": of_chest(projection.secondary_capture),
        "secondary_capture_declared": of_chest(projection.declared_capture),
        "photo": of_chest(projection.photo),
        "whole_slide": of_chest(projection.whole_slide),
        "ecg": of_chest(documents.ecg),
        "pdf": of_chest(documents.pdf),
        "burned_in": of_chest(projection.burned_in),
    }


def _odd() -> dict[str, _Recipe]:
    def odd(make: Callable[[Case], Dataset], syntax: UID = ExplicitVRLittleEndian, **rest: object) -> _Recipe:
        return _Recipe(make, _ODD, "odd", date(2020, 11, 30), syntax, **rest)  # type: ignore[arg-type]

    return {
        "implicit_mr": odd(tomography.mr, ImplicitVRLittleEndian),
        "big_endian_ct": odd(tomography.ct, ExplicitVRBigEndian),
        "jpeg_2000_mr": odd(tomography.mr, compressed=JPEG2000Lossless),
        "rle_ct": odd(tomography.ct, compressed=RLELossless),
        "overlay_and_curve": odd(oddities.overlay_and_curve),
        "overlay_in_pixels": odd(oddities.overlay_in_pixels),
        "pixel_tail": odd(oddities.pixel_tail),
        "jpeg_comment": odd(oddities.jpeg_comment, JPEGBaseline8Bit),
        "screen_save": odd(oddities.screen_save),
        "private_class": odd(oddities.private_class),
        "deep_nesting": odd(oddities.deep_nesting),
        "private_blocks": odd(oddities.private_blocks),
        "private_number": odd(oddities.private_number),
        "un_sequences": odd(tomography.mr, raw=oddities.lost_vrs),
        "newer_attributes": odd(oddities.newer_attributes),
        "newer_attributes_implicit": odd(oddities.newer_attributes, ImplicitVRLittleEndian),
        "empty_values": odd(oddities.empty_values),
        "changed_attributes": odd(oddities.changed_attributes),
        "bad_dates": odd(tomography.ct, raw=oddities.bad_dates),
        "bad_values": odd(tomography.ct, raw=oddities.bad_values),
        "odd_lengths": odd(tomography.ct, raw=oddities.odd_lengths),
    }


def _scripts() -> dict[str, _Recipe]:
    def of(patient: Patient, make: Callable[[Case], Dataset]) -> _Recipe:
        return _Recipe(make, patient, f"script {patient.number}", date(2022, 1, 17))

    return {
        "western": of(_WESTERN, oddities.western),
        "unicode": of(_UNICODE, oddities.unicode),
        "cyrillic": of(_CYRILLIC, oddities.cyrillic),
        "japanese": of(_JAPANESE, oddities.japanese),
        "chinese": of(_CHINESE, oddities.chinese),
    }


def kinds() -> tuple[str, ...]:
    """The names of all kinds of instance; there is one instance of each."""
    return tuple(_recipes())


@cache
def instances() -> tuple[CorpusInstance, ...]:
    """One instance of each kind, in the order of ``kinds``."""
    return tuple(_made(number, kind, recipe) for number, (kind, recipe) in enumerate(_recipes().items()))


def instance_of(kind: str) -> CorpusInstance:
    """The instance of one kind."""
    return instances()[kinds().index(kind)]


def _made(number: int, kind: str, recipe: _Recipe) -> CorpusInstance:
    case = Case(kind, number, recipe.patient, recipe.study, recipe.study_date)
    dataset = recipe.make(case)
    syntax = recipe.compressed or recipe.transfer_syntax_uid
    if recipe.compressed:
        pixels.compress(dataset, recipe.compressed)
    plain = encoded_dataset(dataset, syntax)
    if recipe.raw:
        changed = recipe.raw(case)
        plain = with_raw_elements(plain, changed)
        dataset = Dataset({tag: element for tag, element in dataset.items() if tag not in changed})
    encoded = b"".join(closed((plain,), syntax))
    head = file_head(case, dataset, syntax)
    file = Haystack(head + plain)
    planted = {value: sort for value, sort in case.planted.items() if file.holds(value)}
    return CorpusInstance(
        kind=kind,
        patient=recipe.patient,
        instance=EncodedInstance(str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), str(syntax), (encoded,)),
        part10=head + encoded,
        planted=planted,
        places=dict(_places(dataset, planted)),
        identifiers=frozenset(planted) | case.patient.identifiers,
        dates=dict(dated(dataset)),
        uids=frozenset(uid.decode() for uid in _OWN_UID.findall(plain)),
        pixel_bytes=bytes(dataset.PixelData) if "PixelData" in dataset else b"",
    )


def _places(dataset: Dataset, planted: Collection[str]) -> Iterator[tuple[str, str]]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _places(item, planted)
        elif not element.tag.is_private:
            text = str(element.value).casefold()
            place = element.keyword or f"({element.tag.group:04X},{element.tag.element:04X})"
            yield from ((value, place) for value in planted if value.casefold() in text)


def dated(dataset: Dataset, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and value of every DA and DT element that has one, at every level, private ones left out."""
    for element in dataset:
        if element.tag.is_private:
            continue
        here = f"{path}({element.tag.group:04X},{element.tag.element:04X})"
        if element.VR == "SQ":
            for number, item in enumerate(element.value):
                yield from dated(item, f"{here}[{number}].")
        elif element.VR in {"DA", "DT"} and str(element.value or "")[:8].isdigit():
            yield here, str(element.value)
