"""The studies that are moved: made anew for each benchmark, all invented."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread

from deployments.demo import studies

FEW_MR_STUDIES, ALL_MR_STUDIES = 5, 20
_LARGE_ROWS = 10240


@dataclass(frozen=True, slots=True)
class Study:
    """One study of a corpus."""

    study_uid: str
    patient_id: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """Files of whole studies."""

    name: str
    files: tuple[Path, ...]
    studies: tuple[Study, ...]
    megabytes: float

    @property
    def instances(self) -> int:
        return len(self.files)


def make(name: str, directory: Path, full: bool) -> Corpus:
    """Write one corpus below the directory.

    ``ct`` is one study of 400 instances, ``mr`` studies of 120, ``large`` a single instance of 210 MB.
    """
    place = directory / name
    place.mkdir(parents=True)
    if name == "ct":
        studies.write_ct_small(place)
        return read("CT-small", place)
    if name == "large":
        studies.write_ct(place, instances=(1,), rows=_LARGE_ROWS, columns=_LARGE_ROWS)
        return read("One large instance", place)
    studies.write_mr_many(place, studies=ALL_MR_STUDIES if full else FEW_MR_STUDIES)
    return read("MR-many", place)


def read(name: str, directory: Path) -> Corpus:
    """The corpus that lies in a directory."""
    files = tuple(sorted(path for path in directory.rglob("*.dcm") if path.is_file()))
    return Corpus(name, files, _studies(files), sum(file.stat().st_size for file in files) / 1e6)


def part(corpus: Corpus, studies_kept: int) -> Corpus:
    """The first studies of a corpus, by their files."""
    kept = corpus.studies[:studies_kept]
    files = tuple(file for file in corpus.files if _study(file) in kept)
    return Corpus(f"{corpus.name} ({studies_kept})", files, kept, sum(file.stat().st_size for file in files) / 1e6)


def by_study(files: Iterable[Path]) -> list[list[Path]]:
    """The files of each study, in their order."""
    found: dict[Study, list[Path]] = {}
    for file in files:
        found.setdefault(_study(file), []).append(file)
    return list(found.values())


def _studies(files: Iterable[Path]) -> tuple[Study, ...]:
    return tuple(dict.fromkeys(_study(file) for file in files))


def _study(file: Path) -> Study:
    header = dcmread(file, stop_before_pixels=True, specific_tags=["StudyInstanceUID", "PatientID"])
    return Study(str(header.StudyInstanceUID), str(header.PatientID))
