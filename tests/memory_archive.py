"""An archive in memory that answers as real ones do: by the keys it knows, loosely, and sometimes not at all."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self
from unittest.mock import patch

from dicom.network.matching import matches_patient, matches_study
from models.domain.errors import AditError, Canceled
from models.domain.nodes import Server
from models.domain.refs import InstanceFound, PatientFound, PatientQuery, SeriesFound, StudyFound, StudyQuery, StudyRef


@dataclass
class MemoryArchive:
    """What an archive has, shared by its finders. ``asked`` names every question; ``faults`` are raised first."""

    studies: list[StudyFound] = field(default_factory=list)
    series: dict[str, list[SeriesFound]] = field(default_factory=dict)
    ignores_keys: bool = False
    ignores_case: bool = False
    asked: list[object] = field(default_factory=list)
    faults: list[AditError] = field(default_factory=list)
    open_now: int = 0
    most_open: int = 0
    on_question: Callable[[object], None] = lambda _: None
    changing: threading.Lock = field(default_factory=threading.Lock)
    aborted: threading.Event = field(default_factory=threading.Event)
    """Set as soon as somebody has broken a connection."""

    def add(
        self,
        patient_id: str,
        study_uid: str,
        *,
        name: str = "Doe^Jane",
        born: str = "19700101",
        series: tuple[tuple[str, str, str, int | None], ...] = (("CT", "1", "Thorax", 3),),
        **fields: str,
    ) -> StudyFound:
        """Add a study; ``series`` are modality, number, description and how many instances."""
        found = [
            SeriesFound(study_uid, f"{study_uid}.{place}", modality, number, description, count)
            for place, (modality, number, description, count) in enumerate(series, start=1)
        ]
        counts = [one.instance_count for one in found]
        study = StudyFound(
            study_uid,
            patient_id,
            name,
            born,
            modalities=tuple(dict.fromkeys(one.modality for one in found)),
            series_count=len(found),
            instance_count=sum(count or 0 for count in counts) if None not in counts else None,
            **({"study_date": "20240312", "accession_number": f"A{study_uid}"} | fields),
        )
        self.studies.append(study)
        self.series[study_uid] = found
        return study

    def finder(self) -> "MemoryFinder":
        return MemoryFinder(self)


class MemoryFinder:
    """One connection to it."""

    def __init__(self, archive: MemoryArchive) -> None:
        self._archive = archive
        self._is_aborted = False

    def __enter__(self) -> Self:
        with self._archive.changing:
            self._archive.open_now += 1
            self._archive.most_open = max(self._archive.most_open, self._archive.open_now)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._archive.changing:
            self._archive.open_now -= 1

    def abort(self) -> None:
        self._is_aborted = True
        self._archive.aborted.set()

    def find_patients(self, query: PatientQuery) -> Iterator[PatientFound]:
        self._hear(query)
        seen = Counter[str]()
        for study in self._archive.studies:
            patient = PatientFound(study.patient_id, study.patient_name, study.birth_date)
            if self._fits(query, patient):
                seen[study.patient_id] += 1
                if seen[study.patient_id] == 1:
                    yield patient

    def find_studies(self, query: StudyQuery) -> Iterator[StudyFound]:
        self._hear(query)
        for study in self._archive.studies:
            wanted = replace(query, patient_id="") if self._archive.ignores_case else query
            if self._archive.ignores_keys or matches_study(wanted, study):
                yield study

    def find_series(self, study: StudyRef) -> Iterator[SeriesFound]:
        self._hear(study)
        yield from self._archive.series.get(study.study_uid, [])

    def find_instances(
        self, study: StudyRef, series_uid: str, only_uids: bool = False, sop_uid: str = ""
    ) -> Iterator[InstanceFound]:
        self._hear((study, series_uid))
        yield from (InstanceFound(series_uid, f"{series_uid}.{number}") for number in range(1, 5))

    def _hear(self, question: object) -> None:
        if self._is_aborted:
            raise Canceled
        with self._archive.changing:
            self._archive.asked.append(question)
            fault = self._archive.faults.pop(0) if self._archive.faults else None
        self._archive.on_question(question)
        if self._is_aborted:
            raise Canceled
        if fault is not None:
            raise fault

    def _fits(self, query: PatientQuery, patient: PatientFound) -> bool:
        if self._archive.ignores_case and query.patient_id:
            return query.patient_id.casefold() == patient.patient_id.casefold()
        return self._archive.ignores_keys or matches_patient(query, patient)


@contextmanager
def played(**archives: MemoryArchive) -> Iterator[None]:
    """Have servers of these names answered by these archives when batch files are asked."""

    def asker(server: Server, *_: object) -> MemoryFinder:
        return archives[server.name].finder()

    with patch("tasks.bundle.choose.asker", asker):
        yield
