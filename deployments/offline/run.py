"""The order of things: survey, bind pseudonyms, treat in parallel, publish each study when it is complete."""

import fcntl
import multiprocessing
import os
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from deployments.offline.outcomes import Fate, Outcome, of_error
from deployments.offline.survey import Found, files_below, studies_of, survey
from deployments.offline.treatment import STAGING_PREFIX, Batch, Place, Task, Treatment, batches, begin, opened, treat
from deployments.rows import read_rows
from dicom.deid.identity import plain_id
from dicom.files.staging import STAGING, sweep_staging
from dicom.files.trouble import writing
from models.db.engine import Database
from models.domain.errors import AditError, BadRequest, Bug, Unreadable, WrongState
from models.domain.people import Actor
from models.domain.requests import name_problems
from models.settings import Settings
from services import pseudonyms

_FILES_AT_ONCE = 50
_COLUMNS = ("patient_id", "pseudonym")

Say = Callable[[str, int, int], None]
"""Told what is done, how many files are through, and how many there are."""


class Run:
    """One call of the tool; ``workers`` processes treat, 1 means this one."""

    def __init__(self, db: Database, settings: Settings, actor: Actor, workers: int, say: Say) -> None:
        self._db = db
        self._settings = settings
        self._actor = actor
        self._workers = workers
        self._say = say

    def deidentify(
        self,
        source: Path,
        destination: Path,
        profile: str,
        trial: str,
        trial_name: str = "",
        wishes: Sequence[tuple[str, str]] = (),
    ) -> list[Outcome]:
        """De-identify every file below ``source``, and return what has become of each, sorted by path.

        Whatever is killed in the middle can be repeated: a study appears when all its files were treated, and the same
        files give the same bytes. Raises BadRequest for wrong folders and pseudonyms, ProfileInvalid, TargetError.
        """
        _check_folders(source, destination)
        with _alone_in(destination):
            found, outcomes = self._survey(source)
            found, refused = _with_usable_ids(found)
            outcomes += refused
            patients = {each.heading.patient_id for each in found} - {patient_id for patient_id, _ in wishes}
            named = [*wishes, *((patient_id, "") for patient_id in sorted(patients))]
            scope_id, names = pseudonyms.bind_patients(self._db, self._settings, self._actor, trial, named)
            task = Task(source, destination, profile, scope_id, trial, trial_name)
            outcomes += self._treat(task, found, names)
            return sorted(outcomes, key=lambda outcome: outcome.path)

    def _survey(self, source: Path) -> tuple[list[Found], list[Outcome]]:
        try:
            paths, links = files_below(source)
        except OSError as exc:
            raise Unreadable(f"The input cannot be listed ({exc.strerror}).") from exc
        seen: list[Found | Outcome] = [
            Outcome(path, Fate.LEFT_OUT, "Link", "A link to a folder, which is not followed.") for path in links
        ]
        for start in range(0, len(paths), _FILES_AT_ONCE):
            self._say("Looking", start, len(paths))
            seen += survey(source, paths[start : start + _FILES_AT_ONCE], self._settings.exclude_modalities)
        found = [each for each in seen if isinstance(each, Found)]
        return found, [each for each in seen if isinstance(each, Outcome)]

    def _treat(self, task: Task, found: Sequence[Found], names: Mapping[str, str]) -> list[Outcome]:
        studies, outcomes = studies_of(task.source, found)
        own = opened(self._settings.data_dir, task)
        work: list[Batch] = []
        for study in studies:
            pseudonym = names[study.heading.patient_id]
            try:
                place = own.place_of(study, pseudonym)
            except AditError as error:
                outcomes += [of_error(found.path, error) for found in study.instances]
            else:
                work += batches(study, pseudonym, place, _FILES_AT_ONCE)
        outcomes += self._published(task, own, work)
        return outcomes

    def _published(self, task: Task, own: Treatment, work: Sequence[Batch]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        by_study: dict[str, list[Outcome]] = defaultdict(list)
        waiting: dict[str, int] = defaultdict(int)
        for batch in work:
            waiting[batch.place.staging_key] += 1
        total = sum(len(batch.instances) for batch in work)
        for batch, treated in self._treated(task, own, work):
            key = batch.place.staging_key
            by_study[key] += treated
            waiting[key] -= 1
            if not waiting[key]:
                outcomes += _finished(task, batch.place, by_study.pop(key))
            self._say("Treating", len(outcomes) + sum(map(len, by_study.values())), total)
        return outcomes

    def _treated(self, task: Task, own: Treatment, work: Sequence[Batch]) -> Iterable[tuple[Batch, list[Outcome]]]:
        workers = min(self._workers, len(work))
        if workers <= 1:
            yield from ((batch, own.treat(batch)) for batch in work)
            return
        context = multiprocessing.get_context("spawn")
        prepare = partial(begin, self._settings.data_dir, task)
        with ProcessPoolExecutor(workers, context, initializer=prepare) as pool:
            futures: dict[Future[list[Outcome]], Batch] = {pool.submit(treat, batch): batch for batch in work}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BrokenProcessPool as exc:
                raise Bug("A process ended in the middle of its work. Repeat the command, or take --jobs 1.") from exc
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def _with_usable_ids(found: Sequence[Found]) -> tuple[list[Found], list[Outcome]]:
    """The instances whose patients can be told apart by their IDs, and what becomes of the others."""
    usable: list[Found] = []
    refused: list[Outcome] = []
    for each in found:
        problems = name_problems(each.heading.patient_id, "")
        if problems:
            refused.append(Outcome(each.path, Fate.FAILED, "BadRequest", f"Its {problems[0]}"))
        else:
            usable.append(each)
    return usable, refused


def read_pseudonyms(path: Path) -> list[tuple[str, str]]:
    """Patient IDs with their pseudonyms, out of a CSV file with these columns; raises BadRequest naming the row."""
    found = [(plain_id(row["patient_id"]), row["pseudonym"]) for row in read_rows(path, _COLUMNS)]
    for number, (patient_id, pseudonym) in enumerate(found, start=1):
        if not patient_id or not pseudonym:
            raise BadRequest(f"Row {number}: patient_id and pseudonym are both needed.")
    return found


def _finished(task: Task, place: Place, outcomes: list[Outcome]) -> list[Outcome]:
    """Publish a study of which everything was treated, together with what earlier runs brought of it from elsewhere.

    What may not be delivered any more goes, unless it is all there is: to empty a folder is for a person to decide.
    """
    staged = place.staged(task.destination)
    files = {place.files[outcome.path] for outcome in outcomes}
    staged.keep_published(but=files)
    if any(outcome.fate is Fate.DONE for outcome in outcomes) or staged.is_begun:
        staged.publish()
    elif staged.path.exists():
        reason = "Nothing of the study may be delivered, but the output has it from an earlier run. Remove it."
        return [Outcome(each.path, Fate.FAILED, WrongState.__name__, reason) for each in outcomes]
    return outcomes


def _check_folders(source: Path, destination: Path) -> None:
    if not source.is_dir():
        raise BadRequest("IN_DIR is no folder.")
    one, other = source.resolve(), destination.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise BadRequest("IN_DIR and OUT_DIR must not be the same or within each other.")


@contextmanager
def _alone_in(destination: Path) -> Generator[None]:
    """Make the output folder, be the only one who writes there, and remove what an earlier run left half done."""
    staging = destination / STAGING
    with writing(destination, f"folder {destination}"):
        destination.mkdir(exist_ok=True)
        lock = os.open(destination, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise WrongState("Another adit deidentify writes to OUT_DIR.") from exc
        sweep_staging(destination, lambda key: not key.startswith(STAGING_PREFIX))
        yield
        with writing(destination, f"folder {destination}"):
            if staging.is_dir() and not any(staging.iterdir()):
                staging.rmdir()
    finally:
        os.close(lock)
