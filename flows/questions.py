"""Works through the questions of a job, a bundle of them in each task run, as long as there are any that are due."""

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context

from prefect.client.schemas.objects import State as RunState

from dicom.quiet import silence_libraries
from flows import final_states
from models.db.engine import Database, open_database
from models.domain.errors import AditError, LeaseLost
from models.domain.jobs import JobKind
from models.settings import Settings, settings
from services import work
from tasks.ask import ask
from tasks.bundle import Bundle

_SERVERS_AT_ONCE = 100
_LOOK_EVERY_S = 5.0
"""How soon questions are seen that have become due while another server is still asked."""


def run_questions(kind: JobKind, job_id: int) -> RunState[None]:
    """Ask the questions of a job until none of them is due, and say how the job stands as the flow run's final state.

    May run any number of times and at the same time elsewhere: each question is leased to one worker at a time.
    """
    silence_libraries()
    db = open_database(settings())
    try:
        db.check_is_current()
        work.job_of_kind(db, job_id, kind)
    except AditError as error:
        return final_states.refusal(error)
    ask_through(db, settings(), job_id)
    return final_states.of_job(db, job_id)


def ask_through(db: Database, options: Settings, job_id: int, run: Callable[[Bundle], object] = ask) -> None:
    """Ask all servers at the same time, each bundle after bundle: one that is slow or dead holds up none of the others.

    A fault that is no answer ends the asking of its server; it is raised when the others have ended. SIGTERM gives up
    what is at work.
    """
    crews = _Crews(db, options, job_id, run)
    with ThreadPoolExecutor(_SERVERS_AT_ONCE, "server") as threads:
        try:
            while crews.begin(threads):
                crews.wait()
        except BaseException:
            crews.stop()
            raise
    if crews.first_fault is not None:
        raise crews.first_fault


class _Crews:
    """The bundles that are asked now, at most one for each server."""

    def __init__(self, db: Database, options: Settings, job_id: int, run: Callable[[Bundle], object]) -> None:
        self.first_fault: BaseException | None = None
        self._db = db
        self._options = options
        self._job_id = job_id
        self._run = run
        self._writing = threading.Lock()
        self._at_work: dict[Future[object], Bundle] = {}
        self._given_up = set[int]()

    def begin(self, threads: ThreadPoolExecutor) -> bool:
        """Have servers asked what is due and that nobody asks them yet; whether any server is asked now."""
        busy = {bundle.source_id for bundle in self._at_work.values()} | self._given_up
        for source_id in work.due_sources(self._db, self._job_id).keys() - busy:
            job = work.job(self._db, self._job_id)
            bundle = Bundle(self._db, self._options, job, source_id, writing=self._writing)
            self._at_work[threads.submit(copy_context().run, self._run, bundle)] = bundle
        return bool(self._at_work)

    def wait(self) -> None:
        """Wait until a bundle has ended, or a while."""
        ended, _ = wait(self._at_work, _LOOK_EVERY_S, FIRST_COMPLETED)
        for future in ended:
            bundle, fault = self._at_work.pop(future), future.exception()
            self.first_fault = self.first_fault or fault
            if fault is not None or not bundle.asked:  # it would be the same again and again
                self._given_up.add(bundle.source_id)

    def stop(self) -> None:
        """Have all end within moments, and leave their questions to another run."""
        for bundle in self._at_work.values():
            bundle.stop(LeaseLost())
