"""Asks servers what the rows of a batch file ask, many rows in one task run."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE

from dicom.network.ports import Finder
from models.domain.answers import Answer, CheckedStudy, RowVerdict
from models.domain.errors import (
    OUT_OF_REACH,
    AditError,
    Bug,
    DeidError,
    LeaseLost,
    PeerError,
    Refused,
    Retry,
)
from models.domain.jobs import Item, JobKind, Lease, State
from models.domain.nodes import Server
from services import budgets, log_ids, work
from services.batches import asking, content, identities, presence
from services.batches.presence import Presence
from services.converting import WITHOUT_VOLUMES
from tasks.bundle import Asker, Bundle
from tasks.step import sayable

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Threads for each server; they leave half of its budget to transfers and to people who search."""
_AGAIN_AFTER_S = 1.0
_STATES: Mapping[RowVerdict, State] = {RowVerdict.FOUND: State.SUCCESS, RowVerdict.FAILED: State.FAILURE}


@dataclass(frozen=True, slots=True)
class _Outcome:
    state: State
    sentence: str
    answers: Sequence[Answer | CheckedStudy]


def ask_bundle(bundle: Bundle) -> None:
    """Ask a server the due questions of a job, several at a time, until enough were asked.

    What fails is recorded with its item, and holds nobody up. SIGTERM gives up what is at work.
    """
    work.fail_abandoned(bundle.db, bundle.job_id, bundle.settings.max_attempts)
    count = work.due_sources(bundle.db, bundle.job_id).get(bundle.source_id, 0)
    server = work.node(bundle.db, bundle.source_id)
    if not count or not isinstance(server, Server):
        return
    crew, size = _Crew(bundle, server, _Destination(bundle)), min(count, _places(bundle, server))
    carrying = log_ids.carrying(job_id=bundle.job_id)
    with carrying, bundle.beating(), ThreadPoolExecutor(size, "ask") as threads:
        try:
            ends = [threads.submit(copy_context().run, crew.work) for _ in range(size)]
            wait(ends)
        except BaseException:
            bundle.stop(LeaseLost())
            raise
    for end in ends:
        end.result()


class _Destination:
    """Where the studies of a check would go; ``error`` says why nobody can look there.

    Once it ``is_out_of_reach``, the bundle asks it no more.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.error: AditError | None = None
        self.presence: Presence | None = None
        self.is_out_of_reach = False
        if bundle.job.kind is not JobKind.BATCH_CHECK:
            return
        try:
            self.presence = presence.of_job(bundle.db, bundle.settings, bundle.job)
        except (DeidError, Refused) as error:  # that of each item, since the next run would meet it again
            self.error = error

    @property
    def server(self) -> Server | None:
        return None if self.presence is None else self.presence.server


class _Crew:
    """The threads that ask a server."""

    def __init__(self, bundle: Bundle, server: Server, destination: _Destination) -> None:
        self._bundle = bundle
        self._server = server
        self._destination = destination
        self._servers = {server: 1} if destination.server is None else {server: 1, destination.server: 1}

    def work(self) -> None:
        """Ask question after question."""
        has_one_place = any(budgets.budget(self._bundle.db, server) == 1 for server in self._servers)
        with self._bundle.asker(self._servers, has_one_place) as asker:
            while not asker.is_stopped and (claim := self._bundle.claim()) is not None:
                with log_ids.carrying(item_id=claim[0].id):
                    self._see_to(asker, *claim)
                asker.rest()

    def _see_to(self, asker: Asker, item: Item, lease: Lease) -> None:
        """Ask one question and write its end down; raises nothing but faults of the database."""
        try:
            ending = self._ended(asker, item, lease)
            with self._bundle.writing:
                trouble = ending if isinstance(ending, AditError) else self._refused(lease, ending)
                if trouble is not None:
                    work.fail(self._bundle.db, lease, item, trouble, self._bundle.settings)
        except LeaseLost:
            log.warning("item %s is left to another worker", item.id)

    def _refused(self, lease: Lease, ending: _Outcome) -> Bug | None:
        """Write what came of a question down; why the database does not take it, if it does not."""
        try:
            work.end_question(self._bundle.db, lease, ending.state, ending.sentence, ending.answers)
        except Bug as refusal:
            return refusal
        return None

    def _ended(self, asker: Asker, item: Item, lease: Lease) -> _Outcome | AditError:
        """What came of a question, or why nothing did; raises LeaseLost."""
        try:
            with asker.at_work(lease):
                return self._outcome(asker, item)
        except LeaseLost:
            raise
        except AditError as error:
            return error
        except Exception as fault:
            return sayable(fault)

    def _outcome(self, asker: Asker, item: Item) -> _Outcome:
        """Ask, and once more where the server's fault may be over in a moment."""
        question = work.question(self._bundle.db, item.id)
        try:
            return self._asked(asker, question)
        except PeerError as error:
            if error.retry is not Retry.SOON:
                raise
        asker.pause(_AGAIN_AFTER_S)
        return self._asked(asker, question)

    def _asked(self, asker: Asker, question: bytes) -> _Outcome:
        finder = asker.finder(self._server)
        try:
            if self._bundle.job.kind is JobKind.BATCH_QUERY:
                return self._query(finder, question)
            return self._check(asker, finder, question)
        except AditError:
            asker.check()  # a connection that was broken on purpose
            raise

    def _query(self, finder: Finder, question: bytes) -> _Outcome:
        found = asking.ask(self._server, finder, content.query_row(question))
        state = State.WARNING if found.warnings else State.SUCCESS
        return _Outcome(state, found.sentence, found.answers)

    def _check(self, asker: Asker, finder: Finder, question: bytes) -> _Outcome:
        bundle, known, item = self._bundle, self._destination.presence, content.transfer_item(question)
        if self._destination.error is not None:
            raise type(self._destination.error)(self._destination.error.message)
        excluded = () if bundle.job.keep_identity else bundle.settings.exclude_modalities
        without_volumes = WITHOUT_VOLUMES if bundle.job.convert_to_nifti else ()
        found = asking.check(self._server, finder, item, excluded, without_volumes)
        found = identities.look(bundle.db, None if known is None else known.scope_id, item, found)
        if known is not None:
            found = self._looked(asker, known, found, item.series_uids)
        return _Outcome(_STATES.get(found.verdict, State.WARNING), found.sentence, [found])

    def _looked(self, asker: Asker, known: Presence, found: CheckedStudy, wanted: tuple[str, ...]) -> CheckedStudy:
        """Look at the destination too; its trouble is no reason to fail, and none to ask it again and again."""
        if known.server is None:
            return presence.look(self._bundle.db, known, found, wanted, None)
        if self._destination.is_out_of_reach:
            return presence.unseen(found)
        try:
            return presence.look(self._bundle.db, known, found, wanted, asker.finder(known.server))
        except PeerError as error:
            asker.check()  # a connection that was broken on purpose
            self._destination.is_out_of_reach = isinstance(error, OUT_OF_REACH)
            return presence.unseen(found)


def _places(bundle: Bundle, server: Server) -> int:
    return max(1, min(AT_ONCE, budgets.budget(bundle.db, server) // 2))


def _run(bundle: Bundle) -> None:
    try:
        ask_bundle(bundle)
    except Exception as error:
        raise sayable(error) from None


ask: Task[[Bundle], Any] = Task(
    _run,
    name="ask",
    task_run_name="ask-job-{bundle.job_id}",
    cache_policy=NO_CACHE,
    persist_result=False,
    log_prints=False,
)
"""The Prefect task of ``ask_bundle``. Only ids are in the run's name, and errors leave as from any ``step``."""
