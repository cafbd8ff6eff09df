"""QIDO-RS searches at any server that somebody may read from, over whatever protocol it speaks.

The keys name patients. They leave a line in the audit trail, where they are encrypted, and nothing in any log.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

from dicom import attributes
from dicom.attributes import PATIENT_ID, SERIES_UID, SOP_UID, STUDY_UID
from dicom.network import choose
from dicom.network.dicom_json import Item, element, text
from dicom.network.matching import texts_at
from dicom.network.ports import Finder
from models.db.engine import Database
from models.domain.audit import AuditAction
from models.domain.errors import PeerError
from models.domain.nodes import Server
from models.domain.people import Actor, Permission
from models.domain.refs import Level
from models.settings import Settings
from services.gateway import access, addresses
from services.gateway.queries import NAMES, WebQuery
from services.searching import search_access
from services.searching.visits import Visit

_FUZZY = "The fuzzymatching parameter is not supported. Only literal matching has been performed."
_MORE = "There are additional results that can be requested."
_NOT_TOLD = "The server tells nothing of {names}, so it may have found more than was asked for."
MOST_AT_ONCE = 10_000
"""Results of one answer, which is put together in memory; those behind them can be asked for by their offset."""
LONGEST = timedelta(minutes=10)
"""How long one search may take: until then it has one of the server's connections."""


@dataclass(frozen=True, slots=True)
class WebFound:
    """What a search has found, in the DICOM JSON model, and the texts of the Warning headers (PS3.18 section 8.3.4)."""

    items: tuple[Item, ...]
    warnings: tuple[str, ...]


def search(db: Database, settings: Settings, actor: Actor, ae_title: str, query: WebQuery) -> "WebSearch":
    """A search that begins when it is run. Raises at once, before anything is asked, what ``access.source`` raises."""
    return WebSearch(db, settings, actor, access.source(db, actor, ae_title, Permission.WEB_QUERY), query)


class WebSearch:
    """One search. ``stop`` may be called from any thread: the connection is broken off, and ``run`` raises Canceled."""

    def __init__(self, db: Database, settings: Settings, actor: Actor, server: Server, query: WebQuery) -> None:
        self._db = db
        self._settings = settings
        self._actor = actor
        self._server = server
        self._query = query
        self._limit = min(
            query.limit if query.limit is not None else MOST_AT_ONCE, server.max_search_results, MOST_AT_ONCE
        )
        self._visit = Visit(db, server, longest=LONGEST)
        self._count = 0

    def stop(self) -> None:
        """End the search, whoever waits for it."""
        self._visit.stop()

    def may_go_on(self) -> bool:
        """Whether whose search it is may still search there."""
        return access.may_go_on(self._db, self._actor, self._server, Permission.WEB_QUERY)

    def run(self) -> WebFound:
        """What is found, at most what the query and the server's settings allow.

        Takes one place in the server's association budget and waits for it. The search is ended at the server once
        there is enough; one that breaks is tried once more. Raises PeerError kinds, BadRequest where the server has to
        be asked for a patient, NotFound when a DICOMweb server does not know the study or series, Canceled, TimedOut.
        """
        with search_access.recorded(
            self._db, self._actor, self._server, self._summary, self._details(), AuditAction.WEB_QUERY
        ):
            with self._visit:
                found = self._found()
            self._count = len(found.items)
        return found

    def _found(self) -> WebFound:
        try:
            return self._tried()
        except PeerError as error:
            self._visit.pause_before_second_try(error)
        return self._tried()

    def _tried(self) -> WebFound:
        """One more is looked for than is wanted, to know whether there are more.

        A server that stops at its own limit says nothing about it, so a list of that length may have been cut.
        """
        first, end = self._query.offset, self._query.offset + self._limit
        finder = choose.asker(self._server, self._settings.calling_ae_title, min(end + 1, choose.PAGE_SIZE))
        with self._visit.using(finder), closing(_Levels(finder, self._query).results()) as results:
            skipped = sum(1 for _ in islice(results, first))
            items = [self._told(item) for item in islice(results, self._limit)]
            has_more = next(results, None) is not None
        is_cut = skipped + len(items) >= self._server.max_search_results and bool(items)
        return WebFound(tuple(items), tuple(self._warnings(has_more or is_cut, self._not_told(items))))

    def _told(self, item: Item) -> Item:
        level = self._query.level
        uids = [text(item, STUDY_UID), text(item, SERIES_UID), text(item, SOP_UID)][: list(NAMES).index(level) + 1]
        url = addresses.retrieve_url(self._settings, self._server, *uids)
        ours = {"00080005": element("CS", "ISO_IR 192"), "00081190": element("UR", url)}
        return dict(sorted({**item, **ours}.items()))

    def _not_told(self, items: Sequence[Item]) -> str:
        """The keys that stand in no result: archives ignore keys that they do not know."""
        keys = [path for path, value in self._query.matching.items() if value]
        missing = [path for path in keys if items and not any(texts_at(path, item) for item in items)]
        return ", ".join(map(attributes.name_of, missing))

    def _warnings(self, has_more: bool, not_told: str) -> Iterator[str]:
        service = addresses.service_url(self._settings, self._server, "qidors")
        due = ((_FUZZY, self._query.is_fuzzy), (_MORE, has_more), (_NOT_TOLD.format(names=not_told), bool(not_told)))
        yield from (f"299 {service}: {sentence}" for sentence, is_due in due if is_due)

    def _summary(self) -> str:
        names = [attributes.name_of(path) for path, value in self._query.matching.items() if value]
        return f"{self._count} {NAMES[self._query.level]} by {', '.join(names) or 'nothing'}"

    def _details(self) -> Mapping[str, str]:
        place = {"StudyInstanceUID": self._query.study_uid, "SeriesInstanceUID": self._query.series_uid}
        keys = {attributes.name_of(path): value for path, value in self._query.matching.items() if value}
        return {name: value for name, value in (place | keys).items() if value}


class _Levels:
    """Asks one level after the other: archives know keys only on the level to which they belong."""

    def __init__(self, finder: Finder, query: WebQuery) -> None:
        self._finder = finder
        self._query = query
        patient_id = query.matching.get(PATIENT_ID, "")
        self._patient = {PATIENT_ID: patient_id} if patient_id and query.level is not Level.STUDY else {}

    def results(self) -> Generator[Item]:
        """Yield what is found, each with what is wanted of the levels above."""
        match self._query.level:
            case Level.SERIES:
                yield from self._series()
            case Level.IMAGE:
                yield from self._instances()
            case _:
                yield from self._asked(Level.STUDY, {})

    def _series(self) -> Iterator[Item]:
        study = self._study()
        if study is not None:
            for item in self._asked(Level.SERIES, {STUDY_UID: self._query.study_uid}):
                yield {**study, **item, STUDY_UID: element("UI", self._query.study_uid)}

    def _instances(self) -> Iterator[Item]:
        study = self._study()
        if study is None:
            return
        for above in self._series_above():
            place = {STUDY_UID: self._query.study_uid, SERIES_UID: text(above, SERIES_UID)}
            for item in self._asked(Level.IMAGE, place):
                yield {**study, **above, **item, **{path: element("UI", uid) for path, uid in place.items()}}

    def _study(self) -> Item | None:
        """What is wanted of the study; empty when nothing is, None when it does not fit."""
        if not self._is_concerned(Level.STUDY):
            return {}
        return next(self._asked(Level.STUDY, {STUDY_UID: self._query.study_uid}), None)

    def _series_above(self) -> list[Item]:
        """The series whose instances are wanted; without a question when the one is named, and nothing else of it."""
        named = self._query.series_uid
        if named and not self._is_concerned(Level.SERIES):
            return [{SERIES_UID: element("UI", named)}]
        place = {STUDY_UID: self._query.study_uid} | ({SERIES_UID: named} if named else {})
        return list(self._asked(Level.SERIES, place))

    def _is_concerned(self, level: Level) -> bool:
        unique = attributes.UNIQUE_KEYS[level]
        keys = {path for path, value in self._query.matching.items() if value} | set(self._query.returned)
        return any(attributes.level_of(path) is level and path != unique for path in keys)

    def _asked(self, level: Level, place: Mapping[str, str]) -> Iterator[Item]:
        matching = {path: value for path, value in self._query.matching.items() if self._is_of(path, level)}
        returned = [path for path in self._query.returned if self._is_of(path, level)]
        wants_all = self._query.wants_all and level is self._query.level
        return self._finder.find_attributes(
            level, {**self._patient, **matching, **place}, None if wants_all else returned
        )

    def _is_of(self, path: str, level: Level) -> bool:
        """What belongs to no level for certain is asked for on the level of the search."""
        return (attributes.level_of(path) or self._query.level) is level
