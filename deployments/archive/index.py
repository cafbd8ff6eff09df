"""What the archive holds: a folder of Part 10 files, and in memory what can be asked about them."""

import mmap
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom import (
    Dataset,
    dcmread,  # pyright: ignore[reportUnknownVariableType]
)
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.multival import MultiValue

from deployments.archive.matching import matches
from dicom.part10 import part10_prefix, split_part10
from models.domain.errors import Unreadable
from models.domain.instances import EncodedInstance
from models.domain.refs import Level, is_uid

LEVELS = tuple(Level)
UNIQUE_KEYS = {
    Level.PATIENT: "PatientID",
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
    Level.IMAGE: "SOPInstanceUID",
}
_KEYS = {
    Level.PATIENT: "PatientID PatientName IssuerOfPatientID PatientBirthDate PatientBirthTime PatientSex "
    "OtherPatientIDs EthnicGroup PatientComments",
    Level.STUDY: "StudyInstanceUID StudyDate StudyTime AccessionNumber StudyID StudyDescription "
    "ReferringPhysicianName PatientAge PatientSize PatientWeight",
    Level.SERIES: "SeriesInstanceUID Modality SeriesNumber SeriesDescription SeriesDate SeriesTime Laterality "
    "BodyPartExamined ProtocolName InstitutionName StationName Manufacturer ManufacturerModelName PatientPosition "
    "PerformedProcedureStepStartDate PerformedProcedureStepStartTime",
    Level.IMAGE: "SOPInstanceUID SOPClassUID InstanceNumber ContentDate ContentTime AcquisitionDate AcquisitionTime "
    "AcquisitionNumber ImageType NumberOfFrames Rows Columns BitsAllocated PhotometricInterpretation",
}
KEYS = {level: frozenset(keywords.split()) for level, keywords in _KEYS.items()}
_PART = ".part"
_ALL_KEYS = sorted(keyword for keywords in KEYS.values() for keyword in keywords)


@dataclass(frozen=True, slots=True)
class Stored:
    """One instance: its file, its transfer syntax, and its attributes by keyword as they are in the file."""

    path: Path
    transfer_syntax_uid: str
    attributes: Mapping[str, object]

    def text(self, keyword: str) -> str:
        return "\\".join(texts(self.attributes.get(keyword)))

    @property
    def sop_uid(self) -> str:
        return self.text("SOPInstanceUID")

    @property
    def sop_class_uid(self) -> str:
        return self.text("SOPClassUID")

    def read(self) -> EncodedInstance:
        """The instance as it was stored; its bytes stay in the file until they are used."""
        with self.path.open("rb") as file:
            return split_part10(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))


class Index:
    """All instances below a folder. Any number of threads may ask and add."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._stored: dict[str, Stored] = {}
        directory.mkdir(parents=True, exist_ok=True)
        for path in sorted(directory.rglob("*")):
            if path.suffix == _PART:
                path.unlink()
            elif path.is_file():
                self._add_file(path)

    def __len__(self) -> int:
        return len(self._stored)

    def add(self, instance: EncodedInstance) -> None:
        """Keep an instance; one with the same UID is replaced.

        Raises Unreadable when its data set does not carry its UIDs, OSError when it cannot be written.
        """
        with self._lock:
            known = self._stored.get(instance.sop_uid)
        path = known.path if known else self._directory / f"{instance.sop_uid}.dcm"
        head = part10_prefix(instance.sop_class_uid, instance.sop_uid, instance.transfer_syntax_uid)
        stored = _described(path, BytesIO(b"".join((head, *instance.parts))))
        if stored.sop_uid != instance.sop_uid or not is_uid(instance.sop_uid):
            raise Unreadable("The data set and the command name different instances.")
        part = path.with_name(f"{path.name}.{threading.get_ident()}{_PART}")
        with part.open("wb") as file:
            file.writelines((head, *instance.parts))
        part.replace(path)
        with self._lock:
            self._stored[stored.sop_uid] = stored

    def find(self, level: Level, keys: Mapping[str, Collection[str]]) -> Iterator[Mapping[str, object]]:
        """Yield the attributes of each entity of a level that matches all keys: its own, those above, and counts."""
        for entity in self._entities(level):
            found = _attributes(level, entity)
            if all(keyword not in found or _matches(keyword, wanted, found) for keyword, wanted in keys.items()):
                yield found

    def select(self, keys: Mapping[str, Collection[str]]) -> list[Stored]:
        """Instances that have one of the values of each key, in order of their series and numbers."""
        wanted = {keyword: frozenset(values) for keyword, values in keys.items()}
        found = [one for one in self._all() if all(one.text(keyword) in values for keyword, values in wanted.items())]
        return sorted(found, key=_reading_order)

    def syntaxes(self, sop_class_uid: str) -> list[str]:
        """The transfer syntaxes in which instances of a class are stored, the most frequent first."""
        counts = Counter(one.transfer_syntax_uid for one in self._all() if one.sop_class_uid == sop_class_uid)
        return [uid for uid, _ in counts.most_common()]

    def _all(self) -> list[Stored]:
        with self._lock:
            return list(self._stored.values())

    def _entities(self, level: Level) -> Iterable[Sequence[Stored]]:
        """The instances of each patient, study, series, or each instance."""
        groups: dict[str, list[Stored]] = {}
        for one in self._all():
            groups.setdefault(one.text(UNIQUE_KEYS[level]), []).append(one)
        return groups.values()

    def _add_file(self, path: Path) -> None:
        try:
            stored = _described(path, path)
        except Unreadable:
            return
        self._stored[stored.sop_uid] = stored


def texts(value: object) -> list[str]:
    """The values of an attribute as text."""
    if value is None or value == "":
        return []
    if isinstance(value, MultiValue | list | tuple):
        return [str(one) for one in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return [str(value)]


def _described(path: Path, source: Path | BytesIO) -> Stored:
    """What is known of a file from its header; raises Unreadable when it lacks one of the UIDs."""
    try:
        header = dcmread(source, stop_before_pixels=True, specific_tags=list(_ALL_KEYS))
        attributes = {element.keyword: element.value for element in header if element.keyword in _ALL_KEYS}
        stored = Stored(path, str(header.file_meta.TransferSyntaxUID), attributes)
    except Exception as exc:  # pydicom raises many kinds for a broken file
        raise Unreadable from exc
    if not all(stored.text(UNIQUE_KEYS[level]) for level in (Level.STUDY, Level.SERIES, Level.IMAGE)):
        raise Unreadable
    return stored


def _attributes(level: Level, entity: Sequence[Stored]) -> dict[str, object]:
    shown = {keyword for one in LEVELS[: LEVELS.index(level) + 1] for keyword in KEYS[one]}
    found = {keyword: value for keyword, value in entity[0].attributes.items() if keyword in shown}
    return found | dict.fromkeys(shown - found.keys(), "") | _computed(level, entity)


def _computed(level: Level, entity: Sequence[Stored]) -> dict[str, object]:
    """Attributes that are not in files (PS3.4 tables C.6-1 to C.6-5, C.3.4)."""

    def different(keyword: str) -> list[str]:
        return sorted({one.text(keyword) for one in entity} - {""})

    match level:
        case Level.PATIENT:
            return {
                "NumberOfPatientRelatedStudies": len(different("StudyInstanceUID")),
                "NumberOfPatientRelatedSeries": len(different("SeriesInstanceUID")),
                "NumberOfPatientRelatedInstances": len(entity),
            }
        case Level.STUDY:
            return {
                "ModalitiesInStudy": different("Modality"),
                "SOPClassesInStudy": different("SOPClassUID"),
                "NumberOfStudyRelatedSeries": len(different("SeriesInstanceUID")),
                "NumberOfStudyRelatedInstances": len(entity),
            }
        case Level.SERIES:
            return {"NumberOfSeriesRelatedInstances": len(entity)}
        case Level.IMAGE:
            return {"AvailableTransferSyntaxUID": entity[0].transfer_syntax_uid}


def _matches(keyword: str, wanted: Collection[str], found: Mapping[str, object]) -> bool:
    if keyword.startswith("NumberOf") and keyword != "NumberOfFrames":
        return True
    return matches(dictionary_VR(keyword), wanted, texts(found[keyword]))


def _reading_order(one: Stored) -> tuple[str, int, str]:
    number = one.text("InstanceNumber")
    return one.text("SeriesInstanceUID"), int(number) if number.lstrip("-").isdigit() else 0, one.sop_uid


def key_values(identifier: Dataset) -> dict[str, list[str]]:
    """Keyword -> values of the keys of an identifier; private and unknown elements are left out."""
    found = {keyword_for_tag(element.tag): element for element in identifier if element.VR != "SQ"}
    return {keyword: texts(element.value) for keyword, element in found.items() if keyword}
