"""Who may search where, what is asked, what comes back, and that nothing stays behind; the archive is played."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import pytest

from dicom.network import choose
from models.db.engine import Database
from models.db.holding import HoldingStore
from models.db.nodes import NodeStore
from models.db.project import ProjectStore
from models.db.slots import SlotStore
from models.domain.audit import DONE
from models.domain.errors import (
    AditError,
    AppLocked,
    BadRequest,
    Canceled,
    NotFound,
    NotPermitted,
    PeerBusy,
    PeerError,
    ServerStopped,
    TimedOut,
    UnderMaintenance,
    Unreachable,
    Unsupported,
)
from models.domain.nodes import Folder, Server
from models.domain.people import Actor, NodeAccess, Permission, operator
from models.domain.project import App, AppState
from models.domain.queries import checked, name_pattern
from models.domain.refs import InstanceFound, PatientFound, PatientQuery, SeriesFound, StudyFound, StudyQuery, StudyRef
from models.domain.requests import StudyWish
from models.settings import Settings
from services import audit, holding
from services.searching import search, visits
from tests.samples import a_folder, a_server, some_settings

OPERATOR = operator("root")
SEARCHER = frozenset({Permission.ADD_SELECTIVE_TRANSFER})


@dataclass
class PlayedArchive:
    """A finder whose answers are the test's. What is an error among the studies is raised once, then left out."""

    studies: list[StudyFound | Exception] = field(default_factory=list)
    patients: list[PatientFound] = field(default_factory=list)
    asked_for_patients: list[PatientQuery] = field(default_factory=list)
    series: dict[str, list[SeriesFound]] = field(default_factory=dict)
    instances: dict[str, int] = field(default_factory=dict)
    asked: list[StudyQuery] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    is_broken_off: bool = False
    stands_still: bool = False
    aborted: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self.opened += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.closed += 1

    def abort(self) -> None:
        self.aborted.set()

    def find_studies(self, query: StudyQuery) -> Iterator[StudyFound]:
        self.asked.append(query)
        is_finished = False
        try:
            for found in list(self.studies):
                if self.aborted.is_set():
                    raise Canceled
                if isinstance(found, Exception):
                    self.studies.remove(found)
                    raise found
                if query.study_uid in ("", found.study_uid):
                    yield found
            if self.stands_still and self.aborted.wait(30):
                raise Canceled
            is_finished = True
        finally:
            self.is_broken_off = not is_finished

    def find_patients(self, query: PatientQuery) -> Iterator[PatientFound]:
        self.asked_for_patients.append(query)
        yield from self.patients

    def find_series(self, study: StudyRef) -> Iterator[SeriesFound]:
        yield from self.series.get(study.study_uid, [])

    def find_instances(
        self, study: StudyRef, series_uid: str, only_uids: bool = False, sop_uid: str = ""
    ) -> Iterator[InstanceFound]:
        assert only_uids
        if series_uid not in self.instances:
            raise Unsupported
        for number in range(self.instances[series_uid]):
            yield InstanceFound(series_uid, f"{series_uid}.{number}")


def some_studies(count: int, begin: int = 1) -> list[StudyFound | Exception]:
    return [StudyFound(f"1.2.{n}", f"P{n}") for n in range(begin, begin + count)]


@pytest.fixture
def an_archive(monkeypatch: pytest.MonkeyPatch) -> PlayedArchive:
    archive = PlayedArchive(some_studies(3))
    monkeypatch.setattr(choose, "asker", lambda server, ae_title, page_size=0: archive)
    return archive


@pytest.fixture
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return some_settings(tmp_path_factory.mktemp("data"), exclude_modalities=("SR",))


@pytest.fixture
def a_source(database: Database) -> Server:
    added = NodeStore(database).add(a_server(association_budget=2))
    assert isinstance(added, Server)
    return added


@pytest.fixture
def a_target(database: Database) -> Folder:
    added = NodeStore(database).add(replace(a_folder(), quota_gb=1))
    assert isinstance(added, Folder)
    return added


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    end = time.monotonic() + 10
    while (left := set(threading.enumerate()) - before) and time.monotonic() < end:
        time.sleep(0.02)
    assert not left


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds takes moments."""
    monkeypatch.setattr(visits, "_BEAT_S", 0.05)
    monkeypatch.setattr(visits, "WAIT_BEFORE_SECOND_TRY_S", 0.01)


def a_searcher(source: Server, **fields: object) -> Actor:
    values: dict[str, object] = {"permissions": SEARCHER, "access": NodeAccess(frozenset({source.id}))}
    return Actor("ada", **(values | fields))  # type: ignore[arg-type]


def trail(db: Database) -> list[tuple[str, str]]:
    return [(entry.subject, entry.outcome) for entry in reversed(audit.entries(db, OPERATOR))]


def uids(found: list[StudyFound]) -> list[str]:
    return [study.study_uid for study in found]


# --- rights


@pytest.mark.parametrize(
    "permission",
    [
        Permission.ADD_SELECTIVE_TRANSFER,
        Permission.ADD_BATCH_TRANSFER,
        Permission.ADD_BATCH_QUERY,
        Permission.EXPLORE,
    ],
)
def test_each_of_the_rights_to_search_is_enough(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server, permission: Permission
) -> None:
    actor = a_searcher(a_source, permissions=frozenset({permission}))
    assert len(list(search.studies(database, settings, actor, a_source.id, StudyQuery()))) == 3


def test_without_right_or_source_nothing_is_asked_and_the_try_is_written_down(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server, a_target: Folder
) -> None:
    strangers = [
        a_searcher(a_source, permissions=frozenset({Permission.UPLOAD, Permission.ADD_MASS_TRANSFER})),
        a_searcher(a_source, access=NodeAccess(destinations=frozenset({a_source.id}))),
        a_searcher(a_source, access=NodeAccess(), is_staff=True, is_superuser=True),
    ]
    for stranger in strangers:
        calls: list[Callable[[], object]] = [
            lambda who=stranger: search.studies(database, settings, who, a_source.id, StudyQuery()),
            lambda who=stranger: search.patients(database, settings, who, a_source.id, PatientQuery()),
            lambda who=stranger: search.series(database, settings, who, a_source.id, StudyRef("1.2")),
            lambda who=stranger: search.preview(database, settings, who, a_source.id, a_target.id, (StudyWish("1.2"),)),
        ]
        for call in calls:
            with pytest.raises(NotPermitted):
                call()
    assert trail(database) == [(f"node {a_source.id}", "NotPermitted")] * 12
    assert not an_archive.opened


def test_maintenance_and_locks_hold_for_searches(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server
) -> None:
    store = ProjectStore(database)
    store.set_app(AppState(App.SELECTIVE_TRANSFER, locked=True))
    with pytest.raises(AppLocked):
        search.studies(database, settings, a_searcher(a_source), a_source.id, StudyQuery())
    both = a_searcher(a_source, permissions=SEARCHER | {Permission.ADD_BATCH_TRANSFER})
    assert search.studies(database, settings, both, a_source.id, StudyQuery())
    store.update(replace(store.get(), maintenance=True))
    with pytest.raises(UnderMaintenance):
        search.studies(database, settings, both, a_source.id, StudyQuery())
    assert search.studies(database, settings, OPERATOR, a_source.id, StudyQuery())


def test_what_cannot_be_searched_is_refused(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_target: Folder
) -> None:
    mute = NodeStore(database).add(a_server("MUTE", study_root_find_support=False))
    for node_id in (a_target.id, mute.id, 4711):
        with pytest.raises(BadRequest, match=r"^source: "):
            search.studies(database, settings, OPERATOR, node_id, StudyQuery())


# --- what is asked


@pytest.mark.parametrize(
    ("typed", "pattern"),
    [
        ("", ""),
        ("Doe", "Doe*"),
        ("Doe, John", "Doe*^John*"),
        ("Doe ,John ", "Doe*^John*"),
        ("Doe,", "Doe*"),
        (", John", "*^John*"),
        ("Doe*, J*", "Doe*^J*"),
        ("von der Au, Anna Maria", "von der Au*^Anna Maria*"),
        ("Doe^John", "Doe^John"),
        ("Doe*^John*", "Doe*^John*"),
        ("*oe", "*oe"),
        (",", ""),
    ],
)
def test_names_are_read_as_people_write_them(typed: str, pattern: str) -> None:
    assert name_pattern(typed) == pattern
    assert checked(StudyQuery(patient_name=typed)).patient_name == pattern


def test_a_query_is_put_into_form() -> None:
    query = StudyQuery(
        patient_id=" P1 ", modalities=("ct", " MR", "CT", ""), study_date="20240101-", study_time="08-12"
    )
    assert checked(query) == StudyQuery(
        patient_id="P1", modalities=("CT", "MR"), study_date="20240101-", study_time="08-12"
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("patient_id", "x" * 65),
        ("patient_id", "A\\B"),
        ("patient_name", "x" * 325),
        ("patient_name", "Doe\x00"),
        ("birth_date", "1970-01-01"),
        ("birth_date", "19700230"),
        ("study_date", "20240101-20231231"),
        ("study_date", "-"),
        ("study_date", "20240101-2024"),
        ("study_date", "\u0662\u0660\u0662\u0664\u0660\u0661\u0660\u0661"),
        ("study_time", "2500"),
        ("accession_number", "x" * 33),
        ("study_description", "x" * 65),
        ("study_uid", "1.2.x"),
        ("study_uid", "1.2\\1.3"),
        ("modalities", ("CT\\MR",)),
        ("modalities", tuple(f"M{n}" for n in range(21))),
    ],
)
def test_a_key_that_cannot_be_as_it_is_is_named(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server, key: str, value: object
) -> None:
    query = replace(StudyQuery(), **{key: value})  # type: ignore[arg-type]
    with pytest.raises(BadRequest) as raised:
        search.studies(database, settings, OPERATOR, a_source.id, query)
    assert list(raised.value.problems) == [key]
    assert not an_archive.asked


def test_a_server_without_study_root_wants_a_whole_patient_id(
    database: Database, settings: Settings, an_archive: PlayedArchive
) -> None:
    only_patients = {"study_root_find_support": False, "patient_root_find_support": True}
    server = NodeStore(database).add(a_server("OLD", **only_patients))
    for patient_id in ("", "P*", "P?"):
        with pytest.raises(BadRequest, match=r"^patient_id: "):
            search.studies(database, settings, OPERATOR, server.id, StudyQuery(patient_id=patient_id))
    assert list(search.studies(database, settings, OPERATOR, server.id, StudyQuery(patient_id="P1")))


# --- what comes back


def test_studies_come_in_the_servers_order_and_the_trail_hides_the_keys(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server
) -> None:
    query = StudyQuery(patient_id="SECRET-1", study_date="20240101", modalities=("CT", "MR"))
    found = search.studies(database, settings, a_searcher(a_source), a_source.id, query)
    assert uids(list(found)) == ["1.2.1", "1.2.2", "1.2.3"]
    assert (found.count, found.has_more) == (3, False)
    (entry,) = audit.entries(database, OPERATOR)
    assert entry.subject == "server PACS: by patient_id, study_date, modalities; 3 studies"
    assert (entry.actor, entry.outcome, entry.has_details) == ("ada", DONE, True)
    kept = audit.details(database, OPERATOR, entry.id, "test of the trail")
    assert kept == {"patient_id": "SECRET-1", "study_date": "20240101", "modalities": "CT, MR"}


def test_no_more_than_the_limit_and_a_word_about_the_rest(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server
) -> None:
    found = search.studies(database, settings, OPERATOR, a_source.id, StudyQuery(), limit=2)
    assert uids(list(found)) == ["1.2.1", "1.2.2"]
    assert found.has_more
    assert an_archive.is_broken_off
    assert trail(database) == [("server PACS: by nothing; 2 studies, more exist", DONE)]
    exact = search.studies(database, settings, OPERATOR, a_source.id, StudyQuery(), limit=3)
    assert len(list(exact)) == 3
    assert not exact.has_more


def test_a_server_that_stops_at_its_own_limit_may_have_more(
    database: Database, settings: Settings, an_archive: PlayedArchive
) -> None:
    server = NodeStore(database).add(a_server("CUT", max_search_results=3))
    found = search.studies(database, settings, OPERATOR, server.id, StudyQuery(), limit=100)
    assert len(list(found)) == 3
    assert found.limit == 3
    assert found.has_more


@pytest.mark.usefixtures("hasty")
def test_a_search_that_broke_is_tried_again_and_gives_nothing_twice(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server
) -> None:
    an_archive.studies = [*some_studies(2), PeerError("It broke off."), *some_studies(1, begin=3)]
    found = search.studies(database, settings, OPERATOR, a_source.id, StudyQuery())
    assert uids(list(found)) == ["1.2.1", "1.2.2", "1.2.3"]
    assert (an_archive.opened, an_archive.closed) == (2, 2)
    assert trail(database) == [("server PACS: by nothing; 3 studies", DONE)]


@pytest.mark.usefixtures("hasty")
def test_a_search_that_breaks_again_fails(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server
) -> None:
    an_archive.studies = [*some_studies(1), PeerError("It broke off."), PeerError("And again.")]
    found = search.studies(database, settings, OPERATOR, a_source.id, StudyQuery())
    assert next(found).study_uid == "1.2.1"
    with pytest.raises(PeerError, match="And again"):
        next(found)
    assert trail(database) == [("server PACS: by nothing; 1 study", "PeerError")]
    assert SlotStore(database).taken(a_source.id) == 0


@pytest.mark.parametrize("error", [Unreachable(), TimedOut(), PeerBusy(), Unsupported()])
def test_what_will_not_help_is_not_tried_again(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server, error: AditError
) -> None:
    an_archive.studies = [error]
    with pytest.raises(type(error)):
        next(search.studies(database, settings, OPERATOR, a_source.id, StudyQuery()))
    assert len(an_archive.asked) == 1
    assert trail(database) == [("server PACS: by nothing; 0 studies", error.code)]


# --- ending


def test_a_search_that_nobody_begins_asks_and_holds_nothing(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server
) -> None:
    search.studies(database, settings, OPERATOR, a_source.id, StudyQuery()).close()
    assert not an_archive.opened
    assert trail(database) == []


def test_closing_gives_everything_back_at_once(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server
) -> None:
    slots = SlotStore(database)
    with search.studies(database, settings, OPERATOR, a_source.id, StudyQuery()) as found:
        assert next(found)
        assert slots.taken(a_source.id) == 1
    assert slots.taken(a_source.id) == 0
    assert an_archive.is_broken_off
    assert an_archive.closed == 1
    assert trail(database) == [("server PACS: by nothing; 1 study", "Canceled")]
    assert list(found) == []
    found.close()
    assert len(trail(database)) == 1


def test_closing_from_another_thread_wakes_who_waits_for_the_server(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server
) -> None:
    an_archive.stands_still = True
    found = search.studies(database, settings, OPERATOR, a_source.id, StudyQuery())
    taken: list[StudyFound] = []
    reader = threading.Thread(target=lambda: taken.extend(found))
    reader.start()
    end = time.monotonic() + 10
    while found.count < 3 and time.monotonic() < end:
        time.sleep(0.01)
    begun = time.monotonic()
    found.close()
    reader.join(10)
    assert not reader.is_alive()
    assert time.monotonic() - begun < 5
    assert len(taken) == 3
    assert SlotStore(database).taken(a_source.id) == 0
    assert trail(database) == [("server PACS: by nothing; 3 studies", "Canceled")]


@pytest.mark.usefixtures("hasty")
def test_who_does_not_take_the_results_loses_the_search(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "_LONGEST_REST_S", 0.1)
    found = search.studies(database, settings, OPERATOR, a_source.id, StudyQuery())
    assert next(found)
    assert an_archive.aborted.wait(10)
    with pytest.raises(TimedOut, match="Nobody has taken the results"):
        next(found)
    assert SlotStore(database).taken(a_source.id) == 0


@pytest.mark.usefixtures("hasty")
def test_a_lost_place_in_the_budget_ends_the_search(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server
) -> None:
    found = search.studies(database, settings, OPERATOR, a_source.id, StudyQuery())
    assert next(found)
    database.clock.pass_by(31)  # type: ignore[attr-defined]
    assert SlotStore(database).try_acquire("worker", {a_source.id: 2}, {a_source.id: 2}, timedelta(seconds=30))
    assert an_archive.aborted.wait(10)
    with pytest.raises(PeerBusy, match="lost its place"):
        next(found)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("question", ["renew", "reasons"])
def test_a_search_is_ended_when_its_place_may_have_run_out_while_the_database_hangs(
    database: Database,
    settings: Settings,
    an_archive: PlayedArchive,
    a_source: Server,
    monkeypatch: pytest.MonkeyPatch,
    question: str,
) -> None:
    is_well, outlived = threading.Event(), threading.Event()

    def hang(*_: object) -> Any:
        if not is_well.wait(20):
            outlived.set()

    monkeypatch.setattr(visits, "_LEASE", timedelta(seconds=1))
    found = search.studies(database, settings, OPERATOR, a_source.id, StudyQuery())
    assert next(found)
    store = {"renew": SlotStore, "reasons": HoldingStore}[question]
    with monkeypatch.context() as hanging:
        hanging.setattr(store, question, hang)
        assert an_archive.aborted.wait(30)
        is_well.set()
    with pytest.raises(PeerBusy, match="lost its place"):
        next(found)
    assert not outlived.is_set()


@pytest.mark.usefixtures("hasty")
def test_a_search_keeps_its_place_after_a_fault_that_is_not_ours(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, again = [], threading.Event()

    def renew(*_: object) -> bool:
        asked.append("once")
        if len(asked) == 1:
            raise ValueError("surprise")
        again.set()
        return True

    monkeypatch.setattr(SlotStore, "renew", renew)
    with search.studies(database, settings, OPERATOR, a_source.id, StudyQuery()) as found:
        assert next(found)
        assert again.wait(20)
        assert next(found)


@pytest.mark.usefixtures("hasty")
def test_a_search_that_was_left_lying_does_not_keep_its_place(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed: list[str] = []
    monkeypatch.setattr(visits, "_LONGEST_REST_S", 0.1)
    monkeypatch.setattr(SlotStore, "renew", lambda *_: renewed.append("once") or True)
    found = search.studies(database, settings, OPERATOR, a_source.id, StudyQuery())
    assert next(found)
    assert an_archive.aborted.wait(10)
    wait_until_gone("visit-")
    count = len(renewed)
    found.close()
    assert len(renewed) == count


def wait_until_gone(prefix: str) -> None:
    end = time.monotonic() + 20
    while any(thread.name.startswith(prefix) for thread in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.usefixtures("hasty")
def test_a_search_never_exceeds_the_budget(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = SlotStore(database)
    assert slots.try_acquire("worker", {a_source.id: 2}, {a_source.id: 2}, timedelta(seconds=30))
    visit = visits.Visit(database, a_source, timedelta(seconds=0.2))
    with pytest.raises(PeerBusy, match="All 2 connections"), visit:
        pass
    found = search.studies(database, settings, OPERATOR, a_source.id, StudyQuery())
    releaser = threading.Timer(0.3, slots.release, ["worker"])
    releaser.start()
    assert len(list(found)) == 3
    releaser.join()


def test_stopping_who_waits_for_a_place_ends_the_wait(database: Database, a_source: Server) -> None:
    assert SlotStore(database).try_acquire("worker", {a_source.id: 2}, {a_source.id: 2}, timedelta(seconds=30))
    visit = visits.Visit(database, a_source)
    stopper = threading.Timer(0.1, visit.stop)
    stopper.start()
    begun = time.monotonic()
    with pytest.raises(Canceled), visit:
        pass
    assert time.monotonic() - begun < 5
    stopper.join()


def test_one_process_makes_a_bounded_number_of_visits(
    database: Database, a_source: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "_places", threading.BoundedSemaphore(1))
    unsaved = replace(a_source, id=0)
    with (
        visits.Visit(database, unsaved),
        pytest.raises(PeerBusy, match="Too many people"),
        visits.Visit(database, unsaved, timedelta(seconds=0.1)),
    ):
        pass
    with visits.Visit(database, unsaved):
        pass


# --- series


def test_series_come_by_number_with_counts(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server
) -> None:
    an_archive.series["1.2.1"] = [
        SeriesFound("1.2.1", "1.2.1.9", "SR"),
        SeriesFound("1.2.1", "1.2.1.2", "CT", "10", "late", 5),
        SeriesFound("1.2.1", "1.2.1.1", "CT", "2", "early"),
    ]
    an_archive.instances["1.2.1.1"] = 7
    found = search.series(database, settings, a_searcher(a_source), a_source.id, StudyRef("1.2.1", "P1"))
    assert [(one.series_uid, one.instance_count) for one in found] == [
        ("1.2.1.1", 7),
        ("1.2.1.2", 5),
        ("1.2.1.9", None),
    ]
    assert trail(database) == [("server PACS: 3 series of a study", DONE)]


def test_a_study_without_series_is_not_found(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server
) -> None:
    with pytest.raises(NotFound):
        search.series(database, settings, OPERATOR, a_source.id, StudyRef("1.2.9"))
    with pytest.raises(BadRequest):
        search.series(database, settings, OPERATOR, a_source.id, StudyRef("x"))
    assert trail(database) == [("server PACS: 0 series of a study", "NotFound")]


# --- preview


@pytest.fixture
def a_filled_archive(an_archive: PlayedArchive) -> PlayedArchive:
    an_archive.series = {
        "1.2.1": [
            SeriesFound("1.2.1", "1.2.1.1", "CT", "1", "", 100),
            SeriesFound("1.2.1", "1.2.1.2", "SR", "2", "", 1),
            SeriesFound("1.2.1", "1.2.1.3", "US", "3", ""),
        ],
        "1.2.2": [SeriesFound("1.2.2", "1.2.2.1", "SR", "1", "", 1)],
        "1.2.3": [
            SeriesFound("1.2.3", "1.2.3.1", "MR", "1", "", 10),
            SeriesFound("1.2.3", "1.2.3.2", "MR", "2", "", 9),
        ],
    }
    an_archive.instances["1.2.1.3"] = 4
    return an_archive


def test_a_preview_follows_the_rules_of_the_plan(
    database: Database, settings: Settings, a_filled_archive: PlayedArchive, a_source: Server, a_target: Folder
) -> None:
    wishes = (
        StudyWish("1.2.1"),
        StudyWish("1.2.2"),
        StudyWish("1.2.3", patient_id="P3", series_uids=("1.2.3.2",)),
        StudyWish("1.2.3", patient_id="OTHER"),
        StudyWish("1.2.9"),
        StudyWish("1.2.3", series_uids=("1.9",)),
    )
    found = search.preview(database, settings, OPERATOR, a_source.id, a_target.id, wishes)
    first, reports, third, *failed = found.studies
    assert [one.series.series_uid for one in first.series] == ["1.2.1.1", "1.2.1.3"]
    assert [left.reason for left in first.left_out] == ["Modality SR is excluded."]
    assert (first.instance_count, first.problem) == (104, "")
    assert first.size_bytes == 100 * 530_000 + 4 * 5_000_000
    assert "blanked" in first.series[1].note and not first.series[0].note
    assert reports.problem.startswith("Nothing is left to transfer") and not reports.series
    assert [one.series.series_uid for one in third.series] == ["1.2.3.2"]
    assert [study.problem.split(":")[0][:40] for study in failed] == [
        "The study belongs to another patient tha",
        "The source has no study with this Study ",
        "The source does not have 1 of the 1 requ",
    ]
    assert [problem[:8] for problem in found.problems] == ["Study 2:", "Study 4:", "Study 5:", "Study 6:"]
    assert found.instance_count == 113
    assert found.wishes[0] == replace(wishes[0], expected_bytes=first.size_bytes)
    assert found.usage is not None and found.has_room
    assert trail(database) == [("server PACS: preview of 6 studies", DONE)]
    assert SlotStore(database).taken(a_source.id) == 0


def test_nothing_is_left_out_when_the_identity_is_kept(
    database: Database, settings: Settings, a_filled_archive: PlayedArchive, a_source: Server, a_target: Folder
) -> None:
    wishes = (StudyWish("1.2.1"), StudyWish("1.2.2"))
    found = search.preview(database, settings, OPERATOR, a_source.id, a_target.id, wishes, keep_identity=True)
    assert [len(study.series) for study in found.studies] == [3, 1]
    assert not found.problems
    assert not any(series.note for study in found.studies for series in study.series)


def test_a_folder_without_room_for_it_is_a_problem(
    database: Database, settings: Settings, a_filled_archive: PlayedArchive, a_source: Server, a_target: Folder
) -> None:
    a_filled_archive.series["1.2.3"] = [SeriesFound("1.2.3", "1.2.3.1", "SM", "1", "", 10)]
    found = search.preview(database, settings, OPERATOR, a_source.id, a_target.id, (StudyWish("1.2.3"),))
    assert not found.has_room
    assert found.problems == ("The folder research has not enough room within its quota for about so much.",)


def test_a_preview_is_for_the_actors_destinations_and_of_valid_wishes(
    database: Database, settings: Settings, a_filled_archive: PlayedArchive, a_source: Server, a_target: Folder
) -> None:
    with pytest.raises(NotPermitted):
        search.preview(database, settings, a_searcher(a_source), a_source.id, a_target.id, (StudyWish("1.2.1"),))
    for wishes in ((), (StudyWish("x"),), tuple(StudyWish(f"1.2.{n}") for n in range(201))):
        with pytest.raises(BadRequest):
            search.preview(database, settings, OPERATOR, a_source.id, a_target.id, wishes)
    with pytest.raises(BadRequest, match=r"^profile: "):
        search.preview(
            database, settings, OPERATOR, a_source.id, a_target.id, (StudyWish("1.2.1"),), profile="no-such-profile"
        )
    assert not a_filled_archive.opened


def test_a_source_that_fails_fails_the_preview(
    database: Database, settings: Settings, a_filled_archive: PlayedArchive, a_source: Server, a_target: Folder
) -> None:
    a_filled_archive.studies = [Unreachable("It is down.")]
    with pytest.raises(Unreachable, match="It is down"):
        search.preview(database, settings, OPERATOR, a_source.id, a_target.id, (StudyWish("1.2.1"),))
    assert trail(database) == [("server PACS: preview of 1 study", "Unreachable")]


# --- patients


def test_patients_are_found_once_as_many_as_wanted_and_the_keys_are_kept_encrypted(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server
) -> None:
    an_archive.patients = [PatientFound(uid, f"Doe^{uid}", "19700101", "O") for uid in ("P1", "P2", "P2", "P3")]
    query = PatientQuery(patient_name="Doe, J", birth_date="19700101")
    found = search.patients(database, settings, a_searcher(a_source), a_source.id, query, limit=2)
    assert [patient.patient_id for patient in found] == ["P1", "P2"]
    assert found.has_more
    assert an_archive.asked_for_patients == [PatientQuery(patient_name="Doe*^J*", birth_date="19700101")]
    (entry,) = audit.entries(database, OPERATOR)
    assert entry.subject == f"server {a_source.name}: by patient_name, birth_date; 2 patients, more exist"
    assert audit.details(database, OPERATOR, entry.id, "to see the keys")["patient_name"] == "Doe*^J*"


def test_a_patient_that_cannot_be_is_not_asked_for(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server
) -> None:
    with pytest.raises(BadRequest) as refused:
        search.patients(database, settings, a_searcher(a_source), a_source.id, PatientQuery("1\\2", birth_date="7"))
    assert set(refused.value.problems) == {"patient_id", "birth_date"}
    with pytest.raises(BadRequest):
        search.patients(database, settings, a_searcher(a_source), a_source.id, PatientQuery(), limit=0)
    assert not an_archive.opened


@pytest.mark.usefixtures("hasty")
def test_a_search_ends_when_its_server_is_stopped(
    database: Database, settings: Settings, an_archive: PlayedArchive, a_source: Server
) -> None:
    found = search.studies(database, settings, a_searcher(a_source), a_source.id, StudyQuery())
    next(found)
    holding.stop(database, OPERATOR, a_source.id)
    assert an_archive.aborted.wait(30)
    with pytest.raises(ServerStopped):
        list(found)
