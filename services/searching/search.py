"""What people look for at a server before they move anything: studies, their series, and what a transfer would take.

Searches name patients. They leave a line in the audit trail whose keys are encrypted, and nothing in any log.
"""

from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from types import TracebackType
from typing import Self

from dicom.network import choose
from dicom.network.ports import Finder
from models.db.engine import Database
from models.domain.errors import (
    AssociationRejected,
    BadRequest,
    Canceled,
    NotFound,
    PeerError,
    Retry,
    TimedOut,
    Unreachable,
)
from models.domain.nodes import Server
from models.domain.people import Actor
from models.domain.previews import Preview as Preview
from models.domain.queries import checked, named_keys
from models.domain.refs import SeriesFound, StudyFound, StudyQuery, StudyRef, is_uid
from models.settings import Settings
from services.searching import search_access
from services.searching.previewing import counted
from services.searching.previewing import preview as preview
from services.searching.visits import Visit

LIMIT = 200
"""How many studies a search shows, unless the server or the caller wants fewer."""
_WAIT_BEFORE_RETRY_S = 1.0
_FAILS_AGAIN = (Unreachable, AssociationRejected, TimedOut)
"""What a person should hear of at once: trying again would take as long and hardly help."""


def studies(
    db: Database, settings: Settings, actor: Actor, node_id: int, query: StudyQuery, limit: int = LIMIT
) -> "StudySearch":
    """A search for studies that begins when it is iterated; of what is found it gives ``limit`` at most.

    Raises at once, before anything is asked: NotPermitted, UnderMaintenance, AppLocked, or BadRequest naming every key
    that cannot be as it is. What the iteration raises is PeerError kinds.
    """
    server = search_access.source(db, actor, node_id)
    wanted = checked(query)
    _check_patient_root(server, wanted)
    if limit < 1:
        raise BadRequest.of({"limit": "it must be positive."})
    return StudySearch(db, settings, actor, server, wanted, min(limit, server.max_search_results))


def series(db: Database, settings: Settings, actor: Actor, node_id: int, study: StudyRef) -> tuple[SeriesFound, ...]:
    """The series of a study by their numbers, those without one last, with how many instances each has.

    Where the server does not count them they are listed, which costs a C-FIND for each series; the count is None where
    it cannot do that either. Raises as ``studies`` does, NotFound when the server does not have the study.
    """
    server = search_access.source(db, actor, node_id)
    if not is_uid(study.study_uid):
        raise BadRequest.of({"study_uid": "this is no DICOM UID."})
    found: tuple[SeriesFound, ...] = ()
    details = {"study_uid": study.study_uid, "patient_id": study.patient_id}
    finder = choose.asker(server, settings.calling_ae_title)
    with (
        search_access.recorded(db, actor, server, lambda: f"{len(found)} series of a study", details),
        Visit(db, server) as visit,
        visit.using(finder),
    ):
        found = tuple(counted(finder, study, one) for one in finder.find_series(study))
        if not found:
            raise NotFound
    return tuple(sorted(found, key=_by_number))


class StudySearch(Iterator[StudyFound]):
    """A search that goes on while it is iterated, once: each study as it arrives, in the server's order, each once.

    It takes one place in the server's association budget, and waits for it. ``close`` may be called from any thread:
    the association is broken off at once, and the iteration ends. A broken C-FIND is tried once more; what was given
    before is not given again. When it ends, however that may be, a line is added to the audit trail.
    """

    def __init__(
        self, db: Database, settings: Settings, actor: Actor, server: Server, query: StudyQuery, limit: int
    ) -> None:
        self.limit = limit
        self.count = 0
        self.has_more = False
        """Whether the server has more than was given, as far as can be told when the search has ended."""
        self._db = db
        self._settings = settings
        self._actor = actor
        self._server = server
        self._query = query
        self._visit = Visit(db, server)
        self._is_closed = False
        self._found = self._run()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StudyFound:
        try:
            return next(self._found)
        except Canceled:
            if self._is_closed:
                raise StopIteration from None
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the search at once, from any thread; nothing happens when it has ended already."""
        self._is_closed = True
        self._visit.stop()
        with suppress(ValueError):  # another thread waits for the next study: it hears of the end by itself
            self._found.close()

    def _run(self) -> Generator[StudyFound]:
        details = {name: _as_text(getattr(self._query, name)) for name in named_keys(self._query)}
        with (
            search_access.recorded(self._db, self._actor, self._server, self._summary, details),
            self._visit,
            closing(self._each_once()) as found,
        ):
            yield from self._limited(found)

    def _limited(self, found: Iterator[StudyFound]) -> Iterator[StudyFound]:
        """As many as are wanted; one more is looked for, to know whether there are more.

        A server that stops at its own limit says nothing about it, so a list of that length may have been cut.
        """
        for study in found:
            if self.count == self.limit:
                self.has_more = True
                return
            self.count += 1
            with self._visit.resting():
                yield study
        self.has_more = self.count >= self._server.max_search_results

    def _each_once(self) -> Generator[StudyFound]:
        seen: set[str] = set()
        is_retried = False
        while True:
            try:
                with closing(self._ask()) as found:
                    for study in found:
                        if study.study_uid not in seen:
                            seen.add(study.study_uid)
                            yield study
                return
            except PeerError as error:
                if is_retried or error.retry is not Retry.SOON or isinstance(error, _FAILS_AGAIN):
                    raise
                is_retried = True
                self._visit.pause(_WAIT_BEFORE_RETRY_S)

    def _ask(self) -> Generator[StudyFound]:
        finder: Finder = choose.asker(self._server, self._settings.calling_ae_title, self.limit + 1)
        with self._visit.using(finder):
            yield from finder.find_studies(self._query)

    def _summary(self) -> str:
        keys = named_keys(self._query)
        by = f"by {', '.join(keys)}" if keys else "by nothing"
        return (
            f"{by}; {self.count} {'study' if self.count == 1 else 'studies'}{', more exist' if self.has_more else ''}"
        )


def _check_patient_root(server: Server, query: StudyQuery) -> None:
    """A server that knows no studies without their patient has to be asked for one."""
    is_patient_root = server.patient_root_find_support and not server.study_root_find_support
    if is_patient_root and (not query.patient_id or set("*?") & set(query.patient_id)):
        raise BadRequest.of({"patient_id": "this server can only be searched for a whole patient ID, no wildcards."})


def _as_text(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _by_number(found: SeriesFound) -> tuple[bool, float, str]:
    try:
        return False, float(found.number), found.series_uid
    except ValueError:
        return True, 0.0, found.series_uid
