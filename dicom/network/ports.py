"""The three things a peer can do for us. Every protocol implements them, and the same contract tests hold for all.

All ports are context managers: leaving the context releases the connection, ``abort`` breaks it from another thread
(the blocked call then raises Canceled). All raise PeerError kinds for the peer's faults and nothing else of a library.
"""

from collections.abc import Collection, Iterator, Mapping
from types import TracebackType
from typing import Protocol, Self

from dicom.network.dicom_json import Item
from models.domain.instances import EncodedInstance, Sink, StoreOutcome
from models.domain.refs import (
    InstanceFound,
    Level,
    PatientFound,
    PatientQuery,
    Selection,
    SeriesFound,
    StudyFound,
    StudyQuery,
    StudyRef,
)


class Port(Protocol):
    """A connection to one peer, opened when first used."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def abort(self) -> None:
        """Break the connection from another thread; may be called at any time, any number of times."""
        ...


class Finder(Port, Protocol):
    """Asks a peer what it has. Results are yielded as they arrive, in the peer's order, each once."""

    def find_patients(self, query: PatientQuery) -> Iterator[PatientFound]: ...

    def find_studies(self, query: StudyQuery) -> Iterator[StudyFound]: ...

    def find_series(self, study: StudyRef) -> Iterator[SeriesFound]: ...

    def find_instances(
        self, study: StudyRef, series_uid: str, only_uids: bool = False, sop_uid: str = ""
    ) -> Iterator[InstanceFound]:
        """Yield the instances of a series, or only one; with ``only_uids`` their SOP Instance UIDs and nothing else.

        That costs the peer much less: Orthanc answers it from its index, and opens a file for each class or syntax.
        """
        ...

    def find_attributes(
        self, level: Level, matching: Mapping[str, str], returned: Collection[str] | None
    ) -> Iterator[Item]:
        """Yield the attributes of each study, series or instance that fits the keys, in the DICOM JSON model.

        ``matching`` maps paths of ``dicom.attributes`` to values; below STUDY it names the one study, at IMAGE level
        the one series, and has otherwise only keys of the level. Several wanted UIDs or modalities in the study have
        backslashes between. ``returned`` are paths; None asks for all that the peer can tell on this level. What the
        peer tells of the matching keys, and the unique key, comes too.
        """
        ...


class Retriever(Port, Protocol):
    """Fetches instances from a peer."""

    def retrieve(self, selection: Selection, sink: Sink) -> None:
        """Hand every instance that the peer sends for the selection to the sink, in order of arrival.

        Returns when the peer says it has sent all, whether or not all have arrived: the caller compares.
        Instances may arrive twice, or arrive although they were not asked for. What the sink raises is raised
        here after the transfer was broken off.
        """
        ...


class Sender(Port, Protocol):
    """Brings instances to a destination, one after the other."""

    def send(self, instance: EncodedInstance) -> StoreOutcome:
        """Send one instance and return the destination's answer, also when it refused the instance.

        Raises PeerError or TargetError when no answer can be had; the instance may then have been stored or not.
        """
        ...
