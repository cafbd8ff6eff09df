"""De-identification alone: files are read, treated and written again, by ours and by plain dicognito."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dicognito.anonymizer import Anonymizer
from pydicom import dcmread, dcmwrite

from dicom.deid import profile
from dicom.deid.engine import Deidentifier
from dicom.deid.keys import LinkageKey
from dicom.deid.policy import compiled
from dicom.part10 import part10_prefix, split_part10
from tests.benchmarks.rounds import Run

FRAMES = 500
"""Of the enhanced CT: about 11,000 elements in functional groups, and 4 MB of pixels."""
OURS, DICOGNITO = "ADIT's de-identification", "dicognito on the whole data set"


def contestants(files: Sequence[Path], directory: Path) -> dict[str, Callable[[], Run]]:
    """Name -> one pass over the files; outputs overwrite those of the pass before."""
    directory.mkdir(parents=True, exist_ok=True)
    return {
        OURS: lambda: _timed(lambda: _ours(files, directory)),
        DICOGNITO: lambda: _timed(lambda: _dicognito(files, directory)),
    }


def _timed(action: Callable[[], None]) -> Run:
    started, cpu_started = time.perf_counter(), time.process_time()
    action()
    return Run(time.perf_counter() - started, time.process_time() - cpu_started)


def _ours(files: Sequence[Path], directory: Path) -> None:
    """With the default profile, a new key and nothing remembered, like the first attempt of a job."""
    policy = compiled(profile.load(profile.DEFAULT))
    deidentifier = Deidentifier(policy, LinkageKey(bytes(range(32))), "BENCH-1")
    for file in files:
        treated = deidentifier.instance(split_part10(file.read_bytes()))
        head = part10_prefix(treated.sop_class_uid, treated.sop_uid, treated.transfer_syntax_uid)
        with (directory / file.name).open("wb") as output:
            output.writelines((head, *treated.parts))


def _dicognito(files: Sequence[Path], directory: Path) -> None:
    anonymizer = Anonymizer(seed="benchmark")
    for file in files:
        data_set = dcmread(file)
        anonymizer.anonymize(data_set)
        dcmwrite(directory / file.name, data_set, enforce_file_format=True)
