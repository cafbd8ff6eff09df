"""Looks at what the demonstration has moved: shows it before and after, and searches it for the patients' identity."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydicom import Dataset, dcmread  # pyright: ignore[reportUnknownVariableType]

from deployments.demo.studies import StudyFiles, identifying_values
from deployments.screen import show_table
from dicom.network.find import DimseFinder
from models.domain.errors import NotFound
from models.domain.nodes import Server
from models.domain.refs import StudyFound, StudyQuery

_SHOWN = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "AccessionNumber",
    "StudyDate",
    "InstitutionName",
    "ReferringPhysicianName",
    "StudyInstanceUID",
)
_SHORTEST_SEARCHED = 6
"""Bytes. Shorter values may stand among pixels by chance."""


def show_at_archives(source: Server, destination: Server, study_uid: str, pseudonym: str, ae_title: str) -> None:
    """Print what both archives answer to a query for one study."""
    before = _find(source, StudyQuery(study_uid=study_uid), ae_title)
    after = _find(destination, StudyQuery(patient_id=pseudonym), ae_title)
    names = (
        "patient_name",
        "patient_id",
        "birth_date",
        "accession_number",
        "study_date",
        "instance_count",
        "study_uid",
    )
    rows = [(name, getattr(before, name), getattr(after, name)) for name in names]
    show_table("What the archives answer", ("", source.name, destination.name), rows)


def show_in_files(before: Path, after: Path) -> None:
    """Print identifying attributes of a file of a study before, and of one after the transfer."""
    old, new = _header(before), _header(after)
    rows = [(name, old.get(name, "not present"), new.get(name, "not present")) for name in _SHOWN]
    show_table("What the files say", ("", "before", "after"), rows)


def files_of(folder: Path) -> Sequence[Path]:
    """The DICOM files of a folder destination."""
    return sorted(folder.rglob("*.dcm"))


def traces(studies: Iterable[StudyFiles], places: Iterable[Path]) -> int:
    """How many identifying values of the studies stand in any file below the places; names of scanners do not count."""
    searched = identifying_values(studies, with_devices=False)
    values = [value.encode() for value in searched if len(value) >= _SHORTEST_SEARCHED]
    contents = [path.read_bytes() for place in places for path in _files(place)]
    return sum(any(value in content for content in contents) for value in values)


def _find(server: Server, query: StudyQuery, ae_title: str) -> StudyFound:
    with DimseFinder(server, ae_title) as finder:
        found = list(finder.find_studies(query))
    if len(found) != 1:
        raise NotFound(f"{server.name} should list one study here, but lists {len(found)}.")
    return found[0]


def _header(path: Path) -> Dataset:
    return dcmread(path, stop_before_pixels=True)


def _files(place: Path) -> Iterator[Path]:
    return (path for path in place.rglob("*") if path.is_file())
