"""Two archives, A full and B empty, and the check that a run has really brought everything from one to the other."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.benchmarks.corpora import Corpus
from tests.benchmarks.processes import cpu_s, machine_cpu_s
from tests.benchmarks.rounds import Run, RunError
from tests.peers import Peer, orthanc

SOURCE, DESTINATION, CALLER = "BENCH_A", "BENCH_B", "BENCH"


@dataclass(frozen=True, slots=True)
class Site:
    """The archives and what A holds."""

    source: Peer
    destination: Peer
    corpus: Corpus
    directory: Path

    def measured(self, transfer: Callable[[], Run]) -> Run:
        """Empty B, transfer, and add the archives' CPU; raises RunError unless everything arrived and is renamed."""
        delete_studies(self.destination)
        before, started = self._cpu_s(), time.perf_counter()
        run = transfer()
        elapsed_s = time.perf_counter() - started
        machine, source, destination = (after - first for after, first in zip(self._cpu_s(), before, strict=True))
        self._check_arrival()
        others = (machine - source - destination - (run.cpu_s or 0)) / elapsed_s
        return replace(run, source_cpu_s=source, destination_cpu_s=destination, other_cores=others)

    def _cpu_s(self) -> tuple[float, float, float]:
        """CPU seconds so far of the machine, of A and of B."""
        return machine_cpu_s(), cpu_s(self.source.process.pid), cpu_s(self.destination.process.pid)

    def _check_arrival(self) -> None:
        arrived = instance_count(self.destination)
        if arrived != self.corpus.instances:
            raise RunError(f"{arrived} of {self.corpus.instances} instances arrived")
        if patient_ids(self.destination) & {study.patient_id for study in self.corpus.studies}:
            raise RunError("patients arrived under their own IDs")


@contextmanager
def running_site(directory: Path, corpus: Corpus, without_nagle: bool) -> Generator[Site]:
    """Start both archives in the directory and load the corpus into A.

    ``without_nagle`` makes DCMTK inside of the archives set TCP_NODELAY on its sockets, which it does not by itself.
    """
    environment = {"TCP_NODELAY": "1"} if without_nagle else {}
    settings = {"DicomCheckCalledAet": False, "TranscodeDicomProtocol": False, "SaveJobs": False, "HttpTimeout": 600}
    with (
        orthanc(directory / "b", DESTINATION, settings=settings, environment=environment) as destination,
        orthanc(
            directory / "a", SOURCE, {DESTINATION: destination.port}, settings=settings, environment=environment
        ) as source,
    ):
        source.upload(list(corpus.files))
        yield Site(source, destination, corpus, directory)


def delete_studies(archive: Peer) -> None:
    """Remove everything from an Orthanc."""
    for study in study_ids(archive):
        archive.rest(f"/studies/{study}", method="DELETE")


def study_ids(archive: Peer) -> list[str]:
    """Orthanc's own identifiers of all its studies."""
    found = archive.rest("/studies")
    assert isinstance(found, list)
    return found


def instance_count(archive: Peer) -> int:
    found = archive.rest("/statistics")
    assert isinstance(found, dict)
    return int(found["CountInstances"])


def patient_ids(archive: Peer) -> set[str]:
    found = archive.rest("/patients?expand")
    assert isinstance(found, list)
    return {patient["MainDicomTags"].get("PatientID", "") for patient in found}


def timed(action: Callable[[], object]) -> float:
    """Wall seconds of an action."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
