"""Retrievals as NIfTI: instances are staged in the spool as they may leave, and converted when all are there.

What is staged is removed when the context is left; what a killed process leaves is swept with the spool.
"""

import logging
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dicom.files import nifti
from dicom.files.spool import Spool, Workspace
from models.domain.errors import AditError, Unreadable, Unsupported
from models.settings import Settings
from services.converting import StagedSeries
from services.gateway.retrieving import Retrieval

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Converted:
    """The files of all volumes, the description of each before it; they are there for as long as the context is.

    ``problems`` says why nothing came of a series, a sentence for each.
    """

    files: tuple[Path, ...]
    problems: tuple[str, ...]


def sweep(settings: Settings) -> None:
    """Remove what a process that was killed has left of its conversions; a spool in trouble is only written down."""
    try:
        Spool(settings.spool_dir).sweep()
    except AditError as error:
        log.warning("the spool could not be swept: %s: %s", error.code, error.message)


@contextmanager
def converted(settings: Settings, retrieval: Retrieval) -> Generator[Converted]:
    """Everything that a retrieval that has begun gives, as NIfTI.

    Raises what the retrieval raises, NoSpace when the spool's disk is nearly full, Unsupported when nothing of it can
    be converted.
    """
    spool = Spool(settings.spool_dir)
    with spool.workspace() as workspace:
        staged = StagedSeries(spool, workspace, settings)
        for instance in retrieval:
            staged.add(instance)

        def check() -> None:
            retrieval.check()
            staged.check_room()

        result = _converted(workspace, staged.places.values(), check)
        if not result.files:
            raise Unsupported(f"Nothing of it can be converted to NIfTI. {' '.join(sorted(set(result.problems)))}")
        yield result


def _converted(workspace: Workspace, series: Iterable[Path], check: Callable[[], None]) -> Converted:
    files: list[Path] = []
    problems: list[str] = []
    for place in series:
        try:
            files += nifti.convert(workspace, place, f"series-{place.name}", check)
        except Unreadable as problem:
            problems.append(problem.message)
        _clear(place)
    return Converted(tuple(files), tuple(problems))


def _clear(place: Path) -> None:
    """Remove a series that is converted, so that it takes no room beside the next."""
    for path in place.iterdir():
        path.unlink()
