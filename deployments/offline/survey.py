"""Looks through the input: which files are DICOM instances, and whose."""

import mmap
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from filecmp import cmp
from pathlib import Path

from deployments.offline.outcomes import Fate, Outcome, of_error
from dicom.deid.identity import Heading, heading_of
from dicom.part10 import split_part10
from models.domain.errors import AditError, Unreadable
from models.domain.instances import EncodedInstance

_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
"""Media Storage Directory Storage: a DICOMDIR lists files and is none of the patient's data."""


@dataclass(frozen=True, slots=True)
class Found:
    """An instance of the input."""

    path: str
    sop_uid: str
    heading: Heading


@dataclass(frozen=True, slots=True)
class Study:
    """The instances of one study of one patient, by their paths."""

    instances: tuple[Found, ...]

    @property
    def heading(self) -> Heading:
        """Of its first instance; what the study's folder is named after."""
        return self.instances[0].heading


def files_below(root: Path) -> tuple[list[str], list[str]]:
    """The paths of all regular files below a folder, and of links to other folders; sorted.

    Raises OSError for a folder that cannot be listed.
    """
    found: list[str] = []
    links: list[str] = []
    for parent, folders, names in os.walk(root, onerror=_raise):
        paths = (Path(parent, name) for name in names)
        found += [str(path.relative_to(root)) for path in paths if path.is_file()]
        links += [str(Path(parent, name).relative_to(root)) for name in folders if Path(parent, name).is_symlink()]
    return sorted(found), sorted(links)


def survey(root: Path, paths: Iterable[str], excluded: Collection[str]) -> list[Found | Outcome]:
    """Read the heading of each file; what is to be left out, by kind or by an excluded modality, is so at once."""
    return [_surveyed(root, path, excluded) for path in paths]


def studies_of(root: Path, found: Sequence[Found]) -> tuple[list[Study], list[Outcome]]:
    """The instances by patient and study, and what becomes of those that are in the input twice.

    A copy is left out. Of two different instances with one SOP Instance UID nobody can tell which is right.
    """
    outcomes: list[Outcome] = []
    groups: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for same in _by_sop_uid(found):
        first, *others = same
        if all(cmp(root / first.path, root / other.path, shallow=False) for other in others):
            groups[first.heading.patient_id, first.heading.study_uid].append(first)
            outcomes += [Outcome(other.path, Fate.LEFT_OUT, "Copy", "A copy of another file.") for other in others]
        else:
            reason = "Another file has the same SOP Instance UID and another content."
            outcomes += [Outcome(each.path, Fate.FAILED, "Ambiguous", reason) for each in same]
    return [Study(tuple(group)) for _, group in sorted(groups.items())], outcomes


def instance_in(path: Path) -> EncodedInstance:
    """The instance in a file, whose bytes are read when they are needed; raises Unreadable."""
    try:
        with path.open("rb") as file:
            return split_part10(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except (OSError, ValueError) as exc:  # ValueError: an empty file cannot be mapped
        raise Unreadable("A file is empty or cannot be read.") from exc


def _surveyed(root: Path, path: str, excluded: Collection[str]) -> Found | Outcome:
    try:
        instance = instance_in(root / path)
        if instance.sop_class_uid == _DIRECTORY_CLASS:
            return Outcome(path, Fate.LEFT_OUT, "Directory", "A DICOMDIR.")
        heading = heading_of(instance)
    except Unreadable as error:
        return Outcome(path, Fate.LEFT_OUT, error.code, error.message)
    except AditError as error:
        return of_error(path, error)
    if not heading.patient_id:
        return Outcome(path, Fate.FAILED, "Unreadable", "It has no Patient ID, so nobody knows whose it is.")
    if heading.modality in excluded:
        return Outcome(path, Fate.LEFT_OUT, "Excluded", f"Modality {heading.modality} is excluded.")
    return Found(path, instance.sop_uid, heading)


def _by_sop_uid(found: Sequence[Found]) -> Iterator[list[Found]]:
    groups: dict[str, list[Found]] = defaultdict(list)
    for each in found:
        groups[each.sop_uid].append(each)
    yield from groups.values()


def _raise(error: OSError) -> None:
    raise error
