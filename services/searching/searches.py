"""Searches at a server that are under way: what is found is given as it arrives, and the search can be stopped."""

from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from types import TracebackType
from typing import ClassVar, Generic, Self, TypeVar

from dicom.network import choose
from dicom.network.ports import Finder
from models.db.engine import Database
from models.domain.errors import Canceled, PeerError
from models.domain.nodes import Server
from models.domain.people import Actor
from models.domain.queries import named_keys
from models.domain.refs import PatientFound, PatientQuery, StudyFound, StudyQuery
from models.settings import Settings
from services.searching import search_access
from services.searching.visits import Visit

Found = TypeVar("Found")


class Search(Iterator[Found], Generic[Found]):
    """A search that goes on while it is iterated, once: what is found as it arrives, in the server's order, each once.

    It takes one place in the server's association budget, and waits for it. ``close`` may be called from any thread:
    the association is broken off at once, and the iteration ends. A broken C-FIND is tried once more; what was given
    before is not given again. When it ends, however that may be, a line is added to the audit trail.
    """

    nouns: ClassVar[tuple[str, str]]
    """What is looked for: one, and many."""

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

    def asked(self, finder: Finder, query: StudyQuery) -> Iterator[Found]:
        """What the finder yields for the query."""
        raise NotImplementedError

    def key_of(self, found: Found) -> str:
        """What tells one from another."""
        raise NotImplementedError

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Found:
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

    def _run(self) -> Generator[Found]:
        details = {name: _as_text(getattr(self._query, name)) for name in named_keys(self._query)}
        with (
            search_access.recorded(self._db, self._actor, self._server, self._summary, details),
            self._visit,
            closing(self._each_once()) as found,
        ):
            yield from self._limited(found)

    def _limited(self, found: Iterator[Found]) -> Iterator[Found]:
        """As many as are wanted; one more is looked for, to know whether there are more.

        A server that stops at its own limit says nothing about it, so a list of that length may have been cut.
        """
        for one in found:
            if self.count == self.limit:
                self.has_more = True
                return
            self.count += 1
            with self._visit.resting():
                yield one
        self.has_more = self.count >= self._server.max_search_results

    def _each_once(self) -> Generator[Found]:
        seen: set[str] = set()
        is_retried = False
        while True:
            try:
                with closing(self._ask()) as found:
                    for one in found:
                        if (key := self.key_of(one)) not in seen:
                            seen.add(key)
                            yield one
                return
            except PeerError as error:
                if is_retried:
                    raise
                is_retried = True
                self._visit.pause_before_second_try(error)

    def _ask(self) -> Generator[Found]:
        finder: Finder = choose.asker(self._server, self._settings.calling_ae_title, self.limit + 1)
        with self._visit.using(finder):
            yield from self.asked(finder, self._query)

    def _summary(self) -> str:
        keys = named_keys(self._query)
        by = f"by {', '.join(keys)}" if keys else "by nothing"
        noun = self.nouns[self.count != 1]
        return f"{by}; {self.count} {noun}{', more exist' if self.has_more else ''}"


class StudySearch(Search[StudyFound]):
    """A search for studies."""

    nouns = ("study", "studies")

    def asked(self, finder: Finder, query: StudyQuery) -> Iterator[StudyFound]:
        return finder.find_studies(query)

    def key_of(self, found: StudyFound) -> str:
        return found.study_uid


class PatientSearch(Search[PatientFound]):
    """A search for patients."""

    nouns = ("patient", "patients")

    def asked(self, finder: Finder, query: StudyQuery) -> Iterator[PatientFound]:
        return finder.find_patients(PatientQuery(query.patient_id, query.patient_name, query.birth_date))

    def key_of(self, found: PatientFound) -> str:
        return found.patient_id


def _as_text(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
