"""What a QIDO-RS search at the gateway asks of an archive, level by level, and how it ends; the archive is played."""

import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import TracebackType
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.attributes import path_of
from dicom.network import choose
from dicom.network.dicom_json import Item, element
from models.db.engine import Database
from models.db.nodes import NodeStore
from models.db.slots import SlotStore
from models.domain.errors import (
    BadRequest,
    Canceled,
    NotFound,
    NotPermitted,
    PeerBusy,
    PeerError,
    TimedOut,
    Unreachable,
)
from models.domain.nodes import Server
from models.domain.people import Actor, NodeAccess, Permission, operator
from models.domain.refs import Level
from models.settings import Settings
from services import audit
from services.gateway import queries, searching
from services.gateway.searching import WebFound, WebSearch
from services.searching import visits
from tests.samples import a_server, some_settings

OPERATOR = operator("root")
Asked = tuple[Level, Mapping[str, str], Collection[str] | None]


@dataclass
class PlayedArchive:
    """A finder whose answers are the test's, by level. An error among them is raised once, then left out."""

    found: dict[Level, list[Item | Exception]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    taken: int = 0
    is_broken_off: bool = False
    stands_still: bool = False
    is_waiting: threading.Event = field(default_factory=threading.Event)
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

    def find_attributes(
        self, level: Level, matching: Mapping[str, str], returned: Collection[str] | None
    ) -> Iterator[Item]:
        self.asked.append((level, dict(matching), returned))
        is_finished = False
        try:
            for one in list(self.found.get(level, [])):
                if isinstance(one, Exception):
                    self.found[level].remove(one)
                    raise one
                self.taken += 1
                yield one
            if self.stands_still:
                self.is_waiting.set()
                assert self.aborted.wait(30)
                raise Canceled
            is_finished = True
        finally:
            self.is_broken_off = not is_finished


def an_item(**values: str) -> Item:
    return {tag(name): element("UI" if "UID" in name else "LO", value) for name, value in values.items()}


def tag(name: str) -> str:
    found = path_of(name)
    assert found is not None
    return found


def some_studies(count: int) -> list[Item | Exception]:
    return [an_item(StudyInstanceUID=f"1.2.{number}") for number in range(1, count + 1)]


@pytest.fixture
def an_archive(monkeypatch: pytest.MonkeyPatch) -> PlayedArchive:
    archive = PlayedArchive({Level.STUDY: some_studies(5)})
    monkeypatch.setattr(choose, "asker", lambda server, ae_title, page_size=0: archive)
    monkeypatch.setattr(visits, "WAIT_BEFORE_SECOND_TRY_S", 0.0)
    return archive


@pytest.fixture
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return some_settings(tmp_path_factory.mktemp("data"))


@pytest.fixture
def pacs(database: Database) -> Server:
    added = NodeStore(database).add(a_server())
    assert isinstance(added, Server)
    return added


def a_search(
    database: Database, settings: Settings, level: Level = Level.STUDY, *place: str, **parameters: str
) -> WebSearch:
    query = queries.read(level, parameters.items(), *place)
    return searching.search(database, settings, OPERATOR, "PACS", query)


def uids(found: WebFound, name: str = "StudyInstanceUID") -> list[str]:
    return [item[tag(name)]["Value"][0] for item in found.items]  # type: ignore[index, call-overload]


def test_a_study_search_is_one_question_on_its_level(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    found = a_search(database, settings, PatientID="P1", StudyDate="20240101-").run()
    assert uids(found) == [f"1.2.{number}" for number in range(1, 6)]
    ((level, matching, returned),) = an_archive.asked
    assert (level, matching) == (Level.STUDY, {tag("PatientID"): "P1", tag("StudyDate"): "20240101-"})
    assert returned == list(queries.DEFAULTS[Level.STUDY])


def test_keys_of_the_study_are_asked_of_the_study(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    an_archive.found = {
        Level.STUDY: [an_item(StudyInstanceUID="1.2", PatientName="Doe")],
        Level.SERIES: [an_item(SeriesInstanceUID="1.2.3")],
    }
    (found,) = (
        a_search(database, settings, Level.SERIES, "1.2", PatientName="Doe", Modality="CT", includefield="StudyID")
        .run()
        .items
    )
    (above, series) = an_archive.asked
    assert above == (Level.STUDY, {tag("PatientName"): "Doe", tag("StudyInstanceUID"): "1.2"}, [tag("StudyID")])
    assert series[:2] == (Level.SERIES, {tag("Modality"): "CT", tag("StudyInstanceUID"): "1.2"})
    assert found[tag("PatientName")] == element("LO", "Doe")
    url = found["00081190"]["Value"][0]  # type: ignore[index, call-overload]
    assert url.endswith("/api/dicom-web/PACS/wadors/studies/1.2/series/1.2.3")


def test_nothing_more_is_asked_when_the_study_does_not_fit(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    an_archive.found = {Level.SERIES: [an_item(SeriesInstanceUID="1.2.3")]}
    assert a_search(database, settings, Level.SERIES, "1.2", PatientName="Doe").run().items == ()
    assert [level for level, *_ in an_archive.asked] == [Level.STUDY]


def test_a_patient_that_is_named_is_told_on_every_level(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    """Servers without the study root model have to be asked for one patient."""
    an_archive.found = {
        Level.STUDY: [an_item(StudyInstanceUID="1.2")],
        Level.IMAGE: [an_item(SOPInstanceUID="1.2.3.4")],
    }
    a_search(database, settings, Level.IMAGE, "1.2", "1.2.3", PatientID="P1").run()
    assert [(level, matching[tag("PatientID")]) for level, matching, _ in an_archive.asked] == [
        (Level.STUDY, "P1"),
        (Level.IMAGE, "P1"),
    ]


def test_the_instances_of_a_study_are_those_of_its_series(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    an_archive.found = {
        Level.SERIES: [an_item(SeriesInstanceUID="1.2.3"), an_item(SeriesInstanceUID="1.2.4")],
        Level.IMAGE: [an_item(SOPInstanceUID="1.2.3.4")],
    }
    found = a_search(database, settings, Level.IMAGE, "1.2").run()
    assert uids(found, "SeriesInstanceUID") == ["1.2.3", "1.2.4"]
    assert [level for level, *_ in an_archive.asked] == [Level.SERIES, Level.IMAGE, Level.IMAGE]


def test_the_archive_is_left_alone_once_there_is_enough(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    found = a_search(database, settings, limit="2", offset="1").run()
    assert uids(found) == ["1.2.2", "1.2.3"] and "additional" in found.warnings[0]
    assert an_archive.taken == 4 and an_archive.is_broken_off and an_archive.closed == 1
    assert SlotStore(database).taken(pacs.id) == 0


def test_a_list_as_long_as_the_server_ever_gives_may_have_been_cut(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    NodeStore(database).update(replace(pacs, max_search_results=5))
    assert a_search(database, settings).run().warnings
    assert not a_search(database, settings, PatientID="P", offset="5").run().items


def test_a_key_that_the_server_ignores_is_told(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    an_archive.found[Level.STUDY] = [an_item(StudyInstanceUID="1.2", PatientID="P1")]
    (warning,) = a_search(database, settings, PatientID="P1", Occupation="Baker").run().warnings
    assert "nothing of Occupation, so" in warning and "Baker" not in warning


def test_a_search_that_is_stopped_ends_at_once_and_frees_its_place(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    an_archive.stands_still = True
    search = a_search(database, settings)
    stopper = threading.Thread(target=lambda: (an_archive.is_waiting.wait(30), search.stop()))
    stopper.start()
    with pytest.raises(Canceled):
        search.run()
    stopper.join()
    assert an_archive.aborted.is_set() and SlotStore(database).taken(pacs.id) == 0
    assert audit.entries(database, OPERATOR)[0].outcome == "Canceled"


def test_what_breaks_once_is_tried_again_and_what_is_not_there_is_told(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    an_archive.found[Level.STUDY].insert(3, PeerError("It broke."))
    assert len(a_search(database, settings).run().items) == 5
    an_archive.found[Level.STUDY] = [Unreachable()]
    with pytest.raises(Unreachable):
        a_search(database, settings).run()
    an_archive.found[Level.STUDY] = [PeerBusy()]
    with pytest.raises(PeerBusy):
        a_search(database, settings).run()
    assert [entry.outcome for entry in audit.entries(database, OPERATOR)] == ["PeerBusy", "Unreachable", "done"]


def test_all_is_asked_for_on_the_level_of_the_search_only(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    an_archive.found[Level.STUDY] = [an_item(StudyInstanceUID="1.2")]
    a_search(database, settings, Level.SERIES, "1.2", includefield="all", PatientID="P1").run()
    assert [(level, returned) for level, _, returned in an_archive.asked] == [(Level.STUDY, []), (Level.SERIES, None)]


def test_who_may_not_search_there_is_told_before_anything_is_asked(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    query = queries.read(Level.STUDY, ())
    reads = NodeAccess(frozenset({pacs.id}))
    may = frozenset({Permission.WEB_QUERY})
    for actor, error in (
        (Actor("ada", access=reads), NotPermitted),
        (Actor("ada", permissions=may), NotFound),
        (Actor("ada", permissions=may, access=NodeAccess(destinations=frozenset({pacs.id}))), NotFound),
    ):
        with pytest.raises(error):
            searching.search(database, settings, actor, "PACS", query)
    with pytest.raises(NotFound):
        searching.search(database, settings, Actor("ada", permissions=may, access=reads), "NOBODY", query)
    assert an_archive.asked == []
    assert len(audit.entries(database, OPERATOR)) == 4


def test_every_wrong_parameter_is_named_at_once() -> None:
    with pytest.raises(BadRequest) as raised:
        queries.read(Level.STUDY, [("limit", "x"), ("PatientID", "\\"), ("Geheim", "Gerda"), ("Doe^John", "y")], "1.x")
    assert set(raised.value.problems) == {"study", "limit", "PatientID", "parameter"}
    assert all(word not in str(raised.value) for word in ("Geheim", "Gerda", "Doe"))


def test_nobody_passes_over_a_whole_archive() -> None:
    assert queries.read(Level.STUDY, [("offset", "100000")]).offset == 100_000
    with pytest.raises(BadRequest) as raised:
        queries.read(Level.STUDY, [("offset", "100001")])
    assert set(raised.value.problems) == {"offset"}


def test_a_search_that_takes_too_long_is_ended(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "_BEAT_S", 0.01)
    monkeypatch.setattr(searching, "LONGEST", timedelta())
    renewed = visits.Visit._renewed
    monkeypatch.setattr(visits.Visit, "_renewed", lambda *of: an_archive.is_waiting.wait(30) and renewed(*of))
    an_archive.stands_still = True
    with pytest.raises(TimedOut):
        a_search(database, settings).run()
    assert an_archive.aborted.is_set() and SlotStore(database).taken(pacs.id) == 0
    assert audit.entries(database, OPERATOR)[0].outcome == "TimedOut"


@pytest.mark.parametrize("ae_title", ["PACS\0", "\0", "", "P" * 17, "PÄCS", "PA\nCS", "\udcff"])
def test_no_server_is_looked_up_by_what_is_no_ae_title(
    database: Database, settings: Settings, pacs: Server, monkeypatch: pytest.MonkeyPatch, ae_title: str
) -> None:
    monkeypatch.setattr(NodeStore, "by_ae_title", lambda *_: pytest.fail("PostgreSQL takes no such text"))
    with pytest.raises(NotFound):
        searching.search(database, settings, OPERATOR, ae_title, queries.read(Level.STUDY, ()))
    assert audit.entries(database, OPERATOR)[0].outcome == "NotFound"


@pytest.mark.parametrize(
    ("name", "value", "path", "wanted"),
    [
        ("RequestAttributesSequence.RequestedProcedureID", "RP1", "00400275.00401001", "RP1"),
        ("00400275.RequestedProcedureID", "RP1", "00400275.00401001", "RP1"),
        ("00091010", "private", "00091010", "private"),
        ("PatientName", "*", "00100010", ""),
        ("StudyDate", "", "00080020", ""),
        ("SOPClassUID", "1.2,1.3", "00080016", "1.2\\1.3"),
        ("PatientName", " Doe^John ", "00100010", "Doe^John"),
    ],
)
def test_a_key_is_taken_as_the_standard_means_it(name: str, value: str, path: str, wanted: str) -> None:
    assert queries.read(Level.IMAGE, [(name, value)], "1.2", "1.3").matching == {path: wanted}


NAMES = st.one_of(
    st.sampled_from(
        ["limit", "offset", "fuzzymatching", "includefield", "PatientName", "StudyDate", "0020000D", "Rows"]
    ),
    st.sampled_from(["RequestAttributesSequence.RequestedProcedureID", "00091010", "7FE00010", "SOPInstanceUID"]),
    st.text(max_size=12),
)


@given(
    st.sampled_from(list(Level)[1:]), st.lists(st.tuples(NAMES, st.text(max_size=20)), max_size=4), st.text(max_size=9)
)
def test_whatever_is_asked_is_a_query_or_a_bad_request(
    level: Level, parameters: list[tuple[str, str]], place: str
) -> None:
    try:
        read = queries.read(level, parameters, place)
    except BadRequest as error:
        assert error.problems
    else:
        assert all(len(value) <= 400 for value in read.matching.values())
