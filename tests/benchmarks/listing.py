"""C-FIND alone: an archive with thousands of studies is asked for all of them, by ours and by DCMTK's findscu."""

import io
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from dicom.network.find import DimseFinder
from models.domain.nodes import Server
from models.domain.refs import StudyQuery
from tests.benchmarks.processes import run_program
from tests.benchmarks.rounds import Run, RunError
from tests.benchmarks.site import CALLER
from tests.peers import DCMTK, Peer, orthanc

OURS, FINDSCU = "ADIT's C-FIND", "DCMTK findscu"
STUDIES = 5000
_MARK = 700000
_KEYS = (
    "0008,0020",
    "0008,0030",
    "0008,0050",
    "0008,0061",
    "0008,1030",
    "0010,0010",
    "0010,0020",
    "0010,0030",
    "0020,000d",
    "0020,1206",
    "0020,1208",
)
"""The attributes that our finder asks for at STUDY level."""


@contextmanager
def archive_of_many(directory: Path, count: int = STUDIES) -> Generator[Peer]:
    """An Orthanc that holds ``count`` studies of one tiny instance each."""
    template = _template()
    with orthanc(directory, "BENCH_LIST") as archive:
        for n in range(count):
            archive.rest("/instances", template.replace(str(_MARK).encode(), str(_MARK + n).encode()))
        yield archive


def contestants(archive: Peer, count: int = STUDIES) -> dict[str, Callable[[], Run]]:
    """Name -> one C-FIND for every study."""
    return {OURS: lambda: _ours(archive, count), FINDSCU: lambda: _findscu(archive)}


def _ours(archive: Peer, count: int) -> Run:
    server = Server("archive", archive.ae_title, "127.0.0.1", archive.port, study_root_find_support=True)
    started, cpu_started = time.perf_counter(), time.process_time()
    with DimseFinder(server, CALLER) as finder:
        found = sum(1 for _ in finder.find_studies(StudyQuery()))
    if found != count:
        raise RunError(f"{found} of {count} studies were listed")
    return Run(time.perf_counter() - started, time.process_time() - cpu_started)


def _findscu(archive: Peer) -> Run:
    keys = [part for key in _KEYS for part in ("-k", key)]
    called = ["-aet", CALLER, "-aec", archive.ae_title]
    level = ["-S", "-k", "0008,0052=STUDY"]
    return run_program([DCMTK / "findscu", *level, *called, *keys, "127.0.0.1", str(archive.port)])


def _template() -> bytes:
    """A file in which the mark stands wherever studies differ."""
    instance = Dataset()
    instance.SOPClassUID = SecondaryCaptureImageStorage
    instance.SOPInstanceUID = f"1.2.826.0.1.3680043.10.9999.{_MARK}.1.1"
    instance.StudyInstanceUID = f"1.2.826.0.1.3680043.10.9999.{_MARK}"
    instance.SeriesInstanceUID = f"1.2.826.0.1.3680043.10.9999.{_MARK}.1"
    instance.StudyDate, instance.StudyTime = "20240312", "101500"
    instance.AccessionNumber = str(_MARK)
    instance.Modality = "OT"
    instance.StudyDescription = "Invented study"
    instance.PatientName, instance.PatientID = f"Invented^{_MARK}", str(_MARK)
    instance.PatientBirthDate = "19600101"
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = io.BytesIO()
    dcmwrite(file, instance, enforce_file_format=True)
    return file.getvalue()
