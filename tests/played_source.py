"""A source in this process that the test plays: it lists and sends instances as told, and misbehaves on purpose."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from deployments.demo import studies
from dicom.deid.identity import heading_of
from dicom.network import choose
from dicom.part10 import split_part10
from models.domain.errors import Canceled, Unsupported
from models.domain.instances import EncodedInstance, Sink
from models.domain.refs import InstanceFound, Level, Selection, SeriesFound, StudyFound, StudyQuery, StudyRef


@dataclass
class PlayedSource:
    """Finder and retriever at once. ``before`` is called with the number of each instance before it is sent."""

    instances: Sequence[EncodedInstance]
    study: StudyFound
    series: list[SeriesFound] = field(default_factory=list)
    lists_instances: bool = True
    unlisted: frozenset[str] = frozenset()
    withheld: set[str] = field(default_factory=set)
    """SOP Instance UIDs that are listed and not sent."""
    before: Callable[[int], None] = lambda number: None
    asked: list[tuple[Level, int]] = field(default_factory=list)
    sent: int = 0
    opened: int = 0
    closed: int = 0
    aborted: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self.opened += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.closed += 1

    def abort(self) -> None:
        self.aborted.set()

    def wait(self) -> None:
        """Stand still as a server that does not answer, until somebody breaks the connection."""
        assert self.aborted.wait(240), "nobody has broken the connection"
        raise Canceled

    def find_studies(self, query: StudyQuery) -> Iterator[StudyFound]:
        if query.study_uid == self.study.study_uid:
            yield self.study

    def find_series(self, study: StudyRef) -> Iterator[SeriesFound]:
        yield from self.series

    def find_instances(
        self, study: StudyRef, series_uid: str, only_uids: bool = False, sop_uid: str = ""
    ) -> Iterator[InstanceFound]:
        if not self.lists_instances:
            raise Unsupported
        for instance in self.instances:
            is_meant = heading_of(instance).series_uid == series_uid and sop_uid in ("", instance.sop_uid)
            if is_meant and instance.sop_uid not in self.unlisted:
                yield InstanceFound(series_uid, instance.sop_uid)

    def retrieve(self, selection: Selection, sink: Sink) -> None:
        self.asked.append((selection.level, len(selection.sop_uids)))
        for number, instance in enumerate(self.instances):
            if self.aborted.is_set():
                raise Canceled
            if instance.sop_uid in self.withheld or not _is_meant(instance, selection):
                continue
            self.before(number)
            sink(instance)
            self.sent += 1


def _is_meant(instance: EncodedInstance, selection: Selection) -> bool:
    if selection.level is Level.STUDY:
        return True
    if selection.level is Level.SERIES:
        return heading_of(instance).series_uid == selection.series_uid
    return instance.sop_uid in selection.sop_uids


def played_ct(directory: Path, instances: Sequence[int] = (4, 3), size: int = 16) -> PlayedSource:
    """A source with one invented CT study of as many series as numbers are given."""
    study = studies.write_ct(directory, 1, 1, instances, size, size)
    encoded = [split_part10(file.read_bytes()) for file in study.files]
    numbers: dict[str, int] = defaultdict(int)
    for instance in encoded:
        numbers[heading_of(instance).series_uid] += 1
    series = [SeriesFound(study.study_uid, uid, "CT", instance_count=count) for uid, count in numbers.items()]
    return PlayedSource(
        encoded,
        StudyFound(study.study_uid, study.patient_id, study.patient_name, study.birth_date),
        series,
    )


def play(monkeypatch: pytest.MonkeyPatch, source: PlayedSource) -> PlayedSource:
    """Let every server be this source."""
    monkeypatch.setattr(choose, "finder", lambda server, local: source)
    monkeypatch.setattr(choose, "retriever", lambda server, local: source)
    return source
