"""A small C-FIND/C-GET archive that misbehaves on purpose, in a thread of the test."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset, dcmread
from pynetdicom import AE, StoragePresentationContexts, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from tests.peers import free_port


@dataclass
class FaultyArchive:
    """Lists every instance of its files, but each C-GET delivers only as many as ``deliveries`` says, then success.

    ``deliveries`` is used up one number a C-GET; afterwards everything asked for is delivered.
    """

    ae_title: str
    files: Sequence[Path]
    deliveries: list[int] = field(default_factory=list)
    surplus: Sequence[Path] = ()
    lists_instances: bool = True
    counts_instances: bool = False
    hidden: set[str] = field(default_factory=set)
    """SOP Instance UIDs that are not listed before the first C-GET has ended, though they are sent."""
    refused_series: str = ""
    swapped: dict[str, Dataset] = field(default_factory=dict)
    """What is sent in place of the instance with that SOP Instance UID."""
    port: int = field(default_factory=free_port)
    asked: list[tuple[str, int]] = field(default_factory=list)
    """Level and number of named instances of each C-GET."""
    finds: list[str] = field(default_factory=list)
    """The level of each C-FIND."""

    @property
    def url(self) -> str:
        return ""

    def __post_init__(self) -> None:
        self.data_sets = [dcmread(file) for file in self.files]

    def find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        wanted = event.identifier
        self.finds.append(wanted.QueryRetrieveLevel)
        key = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
        level = key[wanted.QueryRetrieveLevel]
        if wanted.QueryRetrieveLevel == "IMAGE" and not self.lists_instances:
            return
        seen: set[str] = set()
        for data_set in self.matching(wanted):
            if data_set[level].value in seen or data_set[level].value in self.hidden:
                continue
            seen.add(data_set[level].value)
            answer = Dataset()
            answer.QueryRetrieveLevel = wanted.QueryRetrieveLevel
            for element in wanted:
                answer.setdefault(element.tag, data_set.get(element.tag, element))
            if self.counts_instances and wanted.QueryRetrieveLevel == "SERIES":
                answer.NumberOfSeriesRelatedInstances = len(list(self.matching(answer)))
            yield 0xFF00, answer

    def get(self, event: evt.Event) -> Iterator[object]:
        self.hidden.clear()
        chosen = list(self.matching(event.identifier))
        if self.refused_series and event.identifier.get("SeriesInstanceUID") == self.refused_series:
            yield 1
            yield 0xA702, None
            return
        named = event.identifier.get("SOPInstanceUID", [])
        self.asked.append((event.identifier.QueryRetrieveLevel, len([named] if isinstance(named, str) else named)))
        count = self.deliveries.pop(0) if self.deliveries else len(chosen)
        sent = [*chosen[:count], *(dcmread(file) for file in self.surplus)]
        yield len(sent)
        for data_set in sent:
            yield 0xFF00, self.swapped.get(str(data_set.SOPInstanceUID), data_set)

    def matching(self, wanted: Dataset) -> Iterator[Dataset]:
        for data_set in self.data_sets:
            if all(
                self.is_in(data_set, wanted, name)
                for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
            ):
                yield data_set

    @staticmethod
    def is_in(data_set: Dataset, wanted: Dataset, name: str) -> bool:
        values = wanted.get(name) or []
        values = [values] if isinstance(values, str) else list(values)
        return not values or data_set[name].value in values

    @contextlib.contextmanager
    def running(self) -> Iterator["FaultyArchive"]:
        ae = AE(self.ae_title)
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelGet)
        for context in StoragePresentationContexts:
            ae.add_supported_context(context.abstract_syntax, scu_role=True, scp_role=True)
        handlers = [(evt.EVT_C_FIND, self.find), (evt.EVT_C_GET, self.get)]
        server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        try:
            yield self
        finally:
            server.shutdown()
