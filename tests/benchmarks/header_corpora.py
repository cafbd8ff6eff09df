"""Files with which only de-identification is measured: compressed ones, ones that share nothing, and pydicom's own."""

import random
import string
import struct
from collections.abc import Iterator
from pathlib import Path

import pydicom.data
from pydicom import DataElement, Dataset, dcmread
from pydicom.multival import MultiValue
from pydicom.uid import JPEG2000Lossless

from deployments.demo import studies
from dicom.deid.encoding import read_elements
from dicom.deid.rules import SOP_CLASS_UID, SOP_INSTANCE_UID
from dicom.deid.streams import opened
from dicom.part10 import part10_prefix, split_part10
from models.domain.errors import AditError

COMPRESSED, VARIED = 200, 100
_SERIES = (COMPRESSED // 2, COMPRESSED // 2)
_ENUMERATED = frozenset({0x00080005, 0x00080008, 0x00080060, 0x00100040, 0x00280301})
"""Code strings whose values PS3.3 enumerates, or that decide whether an image may pass."""
_PIXEL_MODULE = 0x0028
_TEXT_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_NUMBERS = {"US": ("H", 16), "SS": ("h", 15), "UL": ("I", 32), "SL": ("i", 31)}
_LETTERS = string.ascii_uppercase


def compressed(directory: Path) -> list[Path]:
    """Write a study like CT-small whose frames are in JPEG 2000 (lossless)."""
    files = studies.write_ct(directory, instances=_SERIES).files
    for file in files:
        instance = dcmread(file)
        instance.compress(JPEG2000Lossless, generate_instance_uid=False)
        instance.save_as(file)
    return files


def varied(directory: Path) -> list[Path]:
    """Write CT images, each of another patient, study and series, that have as few values in common as may be.

    What is left in common are character set, class, kind of image, how its pixels are encoded, coding schemes and the
    names of private blocks. The same bytes each time.
    """
    chance = random.Random(4711)
    files: list[Path] = []
    for number in range(VARIED):
        (file,) = studies.write_ct(directory / f"{number:03d}", number, number, (1,), 64, 64).files
        instance = dcmread(file)
        _vary(instance, chance)
        instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
        instance.save_as(file)
        files.append(file)
    return files


def pydicoms_own(directory: Path) -> list[Path]:
    """Copy the test files that are installed with pydicom, without those that are no instances or broken.

    Their heads are written anew, because some name another instance than their data sets.
    """
    directory.mkdir(parents=True)
    files: list[Path] = []
    place = Path(pydicom.data.__file__).parent
    for number, file in enumerate(sorted(place.rglob("*.dcm"))):
        try:
            content = _with_its_own_head(file.read_bytes())
        except (AditError, KeyError):
            continue
        files.append(directory / f"{number:03d}-{file.name}")
        files[-1].write_bytes(content)
    return files


def _with_its_own_head(file: bytes) -> bytes:
    """Raises AditError for a broken file, KeyError for one without UIDs."""
    instance = split_part10(file)
    data, syntax = opened(instance.parts, instance.transfer_syntax_uid)
    values = {element.tag: bytes(data[element.begin : element.stop]) for element in read_elements(data, syntax)}
    class_uid, sop_uid = (values[tag].decode("latin-1").strip("\0 ") for tag in (SOP_CLASS_UID, SOP_INSTANCE_UID))
    return part10_prefix(class_uid, sop_uid, instance.transfer_syntax_uid) + b"".join(instance.parts)


def _vary(level: Dataset, chance: random.Random) -> None:
    """Give every element of a data set or item another value of its kind."""
    for element in level:
        if element.VR == "SQ":
            for item in element.value:
                _vary(item, chance)
        elif _may_vary(element):
            element.value = _varied(element, chance)


def _may_vary(element: DataElement) -> bool:
    is_creator = element.tag.is_private_creator
    is_scheme = element.keyword in {"CodingSchemeDesignator", "PixelData"}
    is_empty = element.value is None or element.value == ""
    return not (
        is_creator or is_scheme or is_empty or element.tag.group == _PIXEL_MODULE or int(element.tag) in _ENUMERATED
    )


def _varied(element: DataElement, chance: random.Random) -> object:
    value = element.value
    if isinstance(value, MultiValue | list):
        return [_single(element.VR, each, chance) for each in value]
    return _single(element.VR, value, chance)


def _single(vr: str, value: object, chance: random.Random) -> object:
    """Another value of about the same length."""
    if vr in _TEXT_VRS:
        return "".join(_other_text(str(value), chance))
    if vr == "UI":
        kept = str(value).startswith("1.2.840.10008.")
        return value if kept else f"2.25.{chance.getrandbits(100)}"
    if vr in _NUMBERS:
        return chance.getrandbits(_NUMBERS[vr][1])
    if vr in {"FL", "FD"}:
        return struct.unpack("<f", struct.pack("<f", chance.uniform(-1000, 1000)))[0]
    if isinstance(value, bytes):
        return chance.randbytes(len(value))
    return _time_or_number(vr, chance)


def _time_or_number(vr: str, chance: random.Random) -> str:
    date = f"{chance.randrange(1950, 2024)}{chance.randrange(1, 13):02d}{chance.randrange(1, 29):02d}"
    time = (
        f"{chance.randrange(24):02d}{chance.randrange(60):02d}{chance.randrange(60):02d}.{chance.randrange(10**6):06d}"
    )
    match vr:
        case "DA":
            return date
        case "TM":
            return time
        case "DT":
            return date + time
        case "AS":
            return f"{chance.randrange(20, 90):03d}Y"
        case "DS":
            return f"{chance.uniform(-1000, 1000):.6f}"
        case "IS":
            return str(chance.randrange(10**8))
        case _:
            raise LookupError(vr)


def _other_text(text: str, chance: random.Random) -> Iterator[str]:
    """Letters for letters and digits for digits; the rest stays, so that a name still has its components."""
    for letter in text:
        if letter.isalpha():
            yield chance.choice(_LETTERS)
        elif letter.isdigit():
            yield chance.choice(string.digits)
        else:
            yield letter
