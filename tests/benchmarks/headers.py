"""De-identification alone: files are read, treated and written again, by ours and by plain dicognito.

Each study has an engine of its own, as in a transfer: what is remembered of one never serves another. Not measured is
what a process does once, as imports and the reading of word lists, and what a job does once, to compile its policy.
"""

import gc
import time
from collections.abc import Callable, Collection, Sequence
from functools import cache
from itertools import chain
from pathlib import Path

from dicognito.anonymizer import Anonymizer
from pydicom import dcmread, dcmwrite

from dicom.deid import profile
from dicom.deid.engine import Deidentifier
from dicom.deid.keys import LinkageKey
from dicom.deid.policy import Policy, compiled
from dicom.part10 import part10_prefix, split_part10
from models.domain.errors import AditError, NeedsReview
from tests.benchmarks.rounds import Run

FRAMES = 500
"""Of the enhanced CT: about 11,000 elements in functional groups, and 4 MB of pixels."""
Studies = Sequence[Sequence[Path]]
"""Files, by their studies."""
OURS, DICOGNITO = "ADIT's de-identification", "dicognito on the whole data set"


def contestants(studies: Studies, directory: Path, released: Collection[str] = ()) -> dict[str, Callable[[], Run]]:
    """Name -> one pass over the files; outputs overwrite those of the pass before. ``released`` as for the engine."""
    directory.mkdir(parents=True, exist_ok=True)
    _ours(studies[:1], directory, released)
    _dicognito(studies[:1], directory)
    return {
        OURS: lambda: _timed(lambda: _ours(studies, directory, released)),
        DICOGNITO: lambda: _timed(lambda: _dicognito(studies, directory)),
    }


def treatable(files: Sequence[Path], directory: Path) -> tuple[list[Path], list[str]]:
    """Those of the files that both can treat, and the UIDs of those of them that a person must let pass before.

    Files of which ours would blank the pixels are left out: the other does not decode any.
    """
    directory.mkdir(parents=True, exist_ok=True)
    treated: list[Path] = []
    held: list[str] = []
    for file in files:
        sop_uid = split_part10(file.read_bytes()).sop_uid
        try:
            _dicognito([[file]], directory)
        except Exception:  # whatever a broken file does to a library
            continue
        try:
            needs_person = _needs_person(file, directory, sop_uid)
        except AditError:
            continue
        if (
            "PixelData" in (original := dcmread(file))
            and dcmread(directory / file.name).PixelData != original.PixelData
        ):
            continue
        treated.append(file)
        held += [sop_uid] if needs_person else []
    return treated, held


def _needs_person(file: Path, directory: Path, sop_uid: str) -> bool:
    """Raises AditError when the file is refused, whoever lets it pass."""
    try:
        _ours([[file]], directory)
    except NeedsReview:
        _ours([[file]], directory, [sop_uid])
        return True
    return False


def _timed(action: Callable[[], None]) -> Run:
    gc.collect()  # so that nobody pays for the garbage of what ran before
    started, cpu_started = time.perf_counter(), time.process_time()
    action()
    return Run(time.perf_counter() - started, time.process_time() - cpu_started)


def _ours(studies: Studies, directory: Path, released: Collection[str] = ()) -> None:
    """With the default profile and nothing remembered, like the first attempt of a job."""
    key = LinkageKey(bytes(range(32)))
    for files in studies:
        deidentifier = Deidentifier(_policy(), key, "BENCH-1", released=released)
        for file in files:
            treated = deidentifier.instance(split_part10(file.read_bytes()))
            head = part10_prefix(treated.sop_class_uid, treated.sop_uid, treated.transfer_syntax_uid)
            with (directory / file.name).open("wb") as output:
                output.writelines((head, *treated.parts))


@cache
def _policy() -> Policy:
    return compiled(profile.load(profile.DEFAULT))


def _dicognito(studies: Studies, directory: Path) -> None:
    """With one anonymizer for all studies, as its documentation does it."""
    anonymizer = Anonymizer(seed="benchmark")
    for file in chain.from_iterable(studies):
        data_set = dcmread(file)
        anonymizer.anonymize(data_set)
        dcmwrite(directory / file.name, data_set, enforce_file_format=True)
