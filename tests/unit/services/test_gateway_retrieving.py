"""Retrievals through the gateway: who gets what, on which terms, and that a failure never looks like a whole study."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset

from dicom.deid.encoding import read_elements, syntax_of
from dicom.deid.engine import Deidentifier
from dicom.deid.identity import heading_of
from dicom.mapping import give_back
from models.db.engine import Database, open_database
from models.db.nodes import NodeStore
from models.db.scopes import ScopeStore
from models.db.slots import SlotStore
from models.domain.audit import BEGUN, DONE, AuditAction
from models.domain.errors import (
    AditError,
    BadRequest,
    Canceled,
    Excluded,
    IdentityConflict,
    Incomplete,
    NotFound,
    NotPermitted,
    PeerBusy,
    PeerError,
    ResidueFound,
    ServerStopped,
    TimedOut,
    Unreachable,
    Unreadable,
    Unsupported,
)
from models.domain.instances import Bytes, EncodedInstance
from models.domain.nodes import Server
from models.domain.people import Actor, NodeAccess, Permission, operator
from models.domain.refs import Level, SeriesFound
from models.settings import Settings
from services import audit, holding
from services.gateway import fetching, retrieving
from services.gateway.places import Places
from services.gateway.retrieving import NOT_LISTED, Retrieval
from services.gateway.terms import Terms, Wanted
from services.searching import visits
from services.streams import Stream
from tests.databases import put_tables
from tests.played_source import PlayedSource, play, played_ct
from tests.resident import MOST_BYTES, a_mapped_file, resident_bytes
from tests.samples import a_server, some_settings

N = 7
MAY = frozenset({Permission.WEB_RETRIEVE})
SUBJECT = Terms("SUBJ-01")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return some_settings(tmp_path_factory.mktemp("data"), spool_reserve_mb=1)


@pytest.fixture(scope="module")
def db(settings: Settings) -> Iterator[Database]:
    put_tables(settings.url)
    opened = open_database(settings)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def a_pacs(db: Database) -> Server:
    added = NodeStore(db).add(a_server(dicomweb_wado_support=True, dicomweb_root_url="http://pacs.example.org"))
    assert isinstance(added, Server)
    return added


@pytest.fixture
def a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlayedSource:
    return play(monkeypatch, played_ct(tmp_path / "ct"))


@pytest.fixture
def ask(db: Database, settings: Settings, a_pacs: Server, a_source: PlayedSource) -> Callable[..., Retrieval]:
    """A retrieval of the study, or of what is wanted of it, by somebody without the right to see identities."""

    def asking(asked: Terms = SUBJECT, wanted: Wanted | None = None, **fields: object) -> Retrieval:
        values: dict[str, object] = {"places": Places(1), "actor": a_caller(a_pacs), "settings": settings, **fields}
        wish = wanted or Wanted(a_source.study.study_uid)
        return retrieving.retrieval(db, ae_title="PACS", wanted=wish, asked=asked, **values)  # type: ignore[arg-type]

    return asking


def a_caller(source: Server, *more: Permission, user_id: int = 7) -> Actor:
    return Actor("ada", permissions=MAY | set(more), access=NodeAccess(frozenset({source.id})), user_id=user_id)


def everything(retrieval: Retrieval) -> list[EncodedInstance]:
    with retrieval:
        retrieval.begin()
        found = list(retrieval)
        retrieval.conclude()
    return found


def last_line(db: Database) -> tuple[str, str]:
    entry = audit.entries(db, operator("root"), limit=1)[0]
    return entry.subject, entry.outcome


def bodies(found: list[EncodedInstance]) -> dict[str, bytes]:
    return {instance.sop_uid: b"".join(instance.parts) for instance in found}


# --- terms


def test_with_a_pseudonym_everything_leaves_treated_and_under_uids_that_stay_the_same(
    ask: Callable[..., Retrieval], a_source: PlayedSource, db: Database
) -> None:
    first, second = everything(ask()), everything(ask())
    assert bodies(first) == bodies(second)
    assert len(first) == N
    assert not {one.sop_uid for one in first} & {one.sop_uid for one in a_source.instances}
    assert {heading_of(one).patient_id for one in first} == {"SUBJ-01"}
    assert last_line(db) == ("server PACS: 7 of 7 instances of a study, pseudonymized", DONE)


def test_what_two_people_get_under_one_pseudonym_cannot_be_linked(
    ask: Callable[..., Retrieval], a_pacs: Server
) -> None:
    mine = everything(ask())
    theirs = everything(ask(actor=a_caller(a_pacs, user_id=8)))
    another = everything(ask(Terms("SUBJ-02")))
    uids = [{one.sop_uid for one in found} for found in (mine, theirs, another)]
    assert not uids[0] & uids[1] and not uids[0] & uids[2]


def test_without_a_pseudonym_the_right_to_see_identities_is_needed_and_bytes_are_the_sources_own(
    ask: Callable[..., Retrieval], a_source: PlayedSource, a_pacs: Server, db: Database
) -> None:
    with pytest.raises(NotPermitted, match="Give a pseudonym"):
        ask(Terms())
    assert last_line(db) == ("server PACS: with identity", "NotPermitted")
    found = everything(ask(Terms(), actor=a_caller(a_pacs, Permission.SELECTIVE_UNPSEUDONYMIZED)))
    assert bodies(found) == bodies(list(a_source.instances))


def test_with_a_trial_the_patient_keeps_the_pseudonym_of_the_trial(ask: Callable[..., Retrieval]) -> None:
    given = everything(ask(Terms("TRIAL-7", "NCT-GIVEN")))
    bound = everything(ask(Terms("", "NCT-GIVEN")))
    assert bodies(given) == bodies(bound)
    with pytest.raises(IdentityConflict):
        everything(ask(Terms("TRIAL-8", "NCT-GIVEN")))
    generated = everything(ask(Terms("", "NCT-NEW")))
    names = {heading_of(one).patient_id for one in generated}
    assert len(names) == 1 and names != {"TRIAL-7"}


def test_a_trial_of_others_is_refused_before_the_source_is_asked(
    ask: Callable[..., Retrieval], a_pacs: Server, a_source: PlayedSource, db: Database
) -> None:
    everything(ask(Terms("", "NCT-ADA")))
    eve, opened = replace(a_caller(a_pacs), name="eve", user_id=8), a_source.opened
    for asked in (Terms("", "NCT-ADA"), Terms("TRIAL-9", "NCT-ADA")):
        with pytest.raises(NotPermitted, match="trial_protocol_id: the trial NCT-ADA is used by others"):
            ask(asked, actor=eve)
    assert a_source.opened == opened
    assert last_line(db) == ("server PACS: for the trial NCT-ADA", "NotPermitted")


def test_a_trial_that_has_become_that_of_others_meanwhile_sends_nothing(
    ask: Callable[..., Retrieval], a_pacs: Server, a_source: PlayedSource, db: Database
) -> None:
    late, sent = ask(Terms("", "NCT-LATE"), actor=replace(a_caller(a_pacs), name="eve", user_id=8)), a_source.sent
    ScopeStore(db).for_trial("NCT-LATE", "ada")
    with pytest.raises(NotPermitted, match="used by others"):
        everything(late)
    assert a_source.sent == sent
    assert last_line(db)[1] == "NotPermitted"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (Terms("a*b"), "pseudonym"),
        (Terms("a\\b"), "pseudonym"),
        (Terms("a^b"), "pseudonym"),
        (Terms("a=b"), "pseudonym"),
        (Terms("a" * 65), "pseudonym"),
        (Terms("a", "t\\u"), "trial_protocol_id"),
        (Terms("a", "t", "n" * 65), "trial_protocol_name"),
        (Terms("", "", "name"), "trial_protocol_name"),
        (Terms(profile="basic"), "profile"),
        (Terms("a", profile="there-is-none"), "profile"),
    ],
)
def test_terms_that_cannot_be_are_named_and_nothing_is_asked(
    ask: Callable[..., Retrieval], a_source: PlayedSource, asked: Terms, field: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        ask(asked)
    assert set(caught.value.problems) == {field}
    assert a_source.opened == 0


@pytest.mark.parametrize("pseudonym", ["PATID0000001", "quarnbababadu", "x19310211"])
def test_a_pseudonym_that_tells_who_it_is_is_refused_before_anything_is_sent(
    ask: Callable[..., Retrieval], a_source: PlayedSource, db: Database, pseudonym: str
) -> None:
    assert a_source.study.patient_id == "PATID0000001"
    for asked in (Terms(pseudonym), Terms(pseudonym, "NCT-TELLING")):
        with pytest.raises(IdentityConflict):
            everything(ask(asked))
        assert a_source.sent == 0
        assert pseudonym not in last_line(db)[0]


@pytest.mark.parametrize("wanted", [Wanted("x"), Wanted("1.2", "series"), Wanted("1.2", "1.3", "1.*")])
def test_what_is_no_uid_is_refused(ask: Callable[..., Retrieval], wanted: Wanted) -> None:
    with pytest.raises(BadRequest, match="no DICOM UID"):
        ask(wanted=wanted)


def test_without_source_or_right_there_is_no_retrieval(ask: Callable[..., Retrieval], a_pacs: Server) -> None:
    with pytest.raises(NotFound):
        ask(actor=replace(a_caller(a_pacs), access=NodeAccess(destinations=frozenset({a_pacs.id}))))
    with pytest.raises(NotPermitted):
        ask(actor=replace(a_caller(a_pacs), permissions=frozenset({Permission.WEB_QUERY})))


# --- levels


def test_a_series_or_one_instance_is_all_that_is_sent(ask: Callable[..., Retrieval], a_source: PlayedSource) -> None:
    study, series = a_source.study.study_uid, a_source.series[1].series_uid
    assert len(everything(ask(wanted=Wanted(study, series)))) == 3
    uid = next(one.sop_uid for one in a_source.instances if heading_of(one).series_uid == series)
    assert len(everything(ask(wanted=Wanted(study, series, uid)))) == 1
    assert a_source.asked == [(Level.SERIES, 3), (Level.IMAGE, 1)]


@pytest.mark.parametrize("missing", ["study", "series", "instance"])
def test_what_the_source_does_not_have_is_not_found(
    ask: Callable[..., Retrieval], a_source: PlayedSource, missing: str
) -> None:
    study, series = a_source.study.study_uid, a_source.series[0].series_uid
    wanted = {"study": Wanted("1.2.3"), "series": Wanted(study, "1.2.3"), "instance": Wanted(study, series, "1.2.3")}
    with pytest.raises(NotFound):
        everything(ask(wanted=wanted[missing]))


def test_a_server_that_knows_studies_only_by_patient_is_said_to_be_one(
    db: Database, settings: Settings, a_source: PlayedSource
) -> None:
    fields = {"study_root_find_support": False, "patient_root_find_support": True}
    server = NodeStore(db).add(a_server("Old", **fields))
    assert isinstance(server, Server)
    retrieval = retrieving.retrieval(
        db, settings, a_caller(server), "OLD", Places(1), Wanted(a_source.study.study_uid), SUBJECT
    )
    with pytest.raises(Unsupported, match="together with their patient"):
        everything(retrieval)


# --- left out


def test_excluded_modalities_are_left_out_of_what_is_pseudonymized_only_and_said_to_be(
    ask: Callable[..., Retrieval], a_source: PlayedSource, settings: Settings, a_pacs: Server
) -> None:
    a_source.series[1] = replace(a_source.series[1], modality="PR")
    strict = settings.model_copy(update={"exclude_modalities": ("PR",)})
    retrieval = ask(settings=strict)
    assert len(everything(retrieval)) == 4
    assert retrieval.warning == "1 series left out: Modality PR is excluded."
    kept = ask(Terms(), actor=a_caller(a_pacs, Permission.SELECTIVE_UNPSEUDONYMIZED), settings=strict)
    assert len(everything(kept)) == N


def test_when_every_modality_is_excluded_that_is_the_answer(ask: Callable[..., Retrieval], settings: Settings) -> None:
    with pytest.raises(Excluded, match="Modality CT is excluded"):
        everything(ask(settings=settings.model_copy(update={"exclude_modalities": ("CT",)})))


def with_burned_in(instance: EncodedInstance) -> EncodedInstance:
    """The same instance, which declares that somebody's name may be in its pixels."""
    data, syntax = memoryview(b"".join(instance.parts)), syntax_of(instance.transfer_syntax_uid)
    elements = read_elements(data, syntax)
    pieces = {one.tag: bytes(data[one.start : one.end]) for one in elements}
    pieces[0x00280301] = syntax.encoded(0x00280301, b"CS", b"YES ")
    return replace(instance, parts=(b"".join(pieces[tag] for tag in sorted(pieces)),))


def test_held_instances_are_left_out_and_the_delivery_tells_of_them_by_their_new_names(
    ask: Callable[..., Retrieval], a_source: PlayedSource, db: Database
) -> None:
    every = {one.sop_uid for one in everything(ask())}
    held = [0, 5]
    a_source.instances = [
        with_burned_in(one) if number in held else one for number, one in enumerate(a_source.instances)
    ]
    retrieval = ask()
    found = everything(retrieval)
    delivery = retrieval.delivery
    assert (delivery.expected, delivery.sent, len(delivery.left_out)) == (N, N - 2, 2)
    assert retrieval.gaps.startswith("Left out: 2 instances. 2 x ")
    assert delivery.left_out.keys() == every - {one.sop_uid for one in found}
    assert last_line(db)[0].startswith(
        "server PACS: 5 of 7 instances of a study, pseudonymized; left out: 2 instances. 2 x "
    )


def test_when_all_are_held_nothing_is_sent_and_the_reason_is_told(
    ask: Callable[..., Retrieval], a_source: PlayedSource, db: Database
) -> None:
    a_source.instances = [with_burned_in(one) for one in a_source.instances]
    with pytest.raises(Excluded, match=r"Nothing is left to send: 7 instances\. 7 x"):
        everything(ask())
    assert last_line(db)[1] == "Excluded"


def test_what_the_source_sends_without_having_listed_it_is_left_out(
    ask: Callable[..., Retrieval], a_source: PlayedSource
) -> None:
    a_source.unlisted = frozenset({a_source.instances[2].sop_uid})
    retrieval = ask()
    assert len(everything(retrieval)) == N - 1
    assert list(retrieval.delivery.left_out.values()) == [NOT_LISTED]


@pytest.mark.parametrize("counts", [True, False])
def test_a_source_that_lists_nothing_gives_all_it_has_with_a_warning_that_it_may_not_be_all(
    ask: Callable[..., Retrieval], a_source: PlayedSource, counts: bool
) -> None:
    a_source.lists_instances = False
    if not counts:
        a_source.series = [replace(one, instance_count=None) for one in a_source.series]
    retrieval = ask()
    assert len(everything(retrieval)) == N
    assert "does not list its instances" in retrieval.warning
    assert retrieval.delivery.expected is None
    one = a_source.instances[0]
    wanted = Wanted(a_source.study.study_uid, heading_of(one).series_uid, one.sop_uid)
    assert len(everything(ask(wanted=wanted))) == 1, "an instance that is named needs no list"


def test_a_source_that_counts_more_than_it_lists_or_sends_is_not_believed(
    ask: Callable[..., Retrieval], a_source: PlayedSource
) -> None:
    a_source.series[0] = replace(a_source.series[0], instance_count=9)
    retrieval = ask()
    assert len(everything(retrieval)) == N
    assert "counts more instances than it lists" in retrieval.warning
    a_source.lists_instances = False
    with pytest.raises(Incomplete, match="5 listed"):
        everything(ask())


def test_that_it_has_begun_is_written_down_before_anything_leaves_and_how_it_ended_after(
    ask: Callable[..., Retrieval], a_source: PlayedSource, db: Database
) -> None:
    with ask() as retrieval:
        retrieval.begin()
        assert last_line(db) == ("server PACS: 0 of 7 instances of a study, pseudonymized", BEGUN)
        list(retrieval)
        retrieval.conclude()
    entries = audit.entries(db, operator("root"), limit=2)
    assert [(one.action, one.outcome) for one in entries] == [
        (AuditAction.WEB_RETRIEVE, DONE),
        (AuditAction.WEB_RETRIEVE, BEGUN),
    ]
    before = audit.entries(db, operator("root"), limit=1)[0].id
    a_source.withheld |= {one.sop_uid for one in a_source.instances}
    with pytest.raises(Incomplete):
        everything(ask())
    assert [one.outcome for one in audit.entries(db, operator("root"), limit=5) if one.id > before] == ["Incomplete"]


# --- failures


@pytest.mark.parametrize(
    "error", [Unreachable(), TimedOut(), PeerBusy(), Unsupported(), PeerError()], ids=lambda error: error.code
)
def test_a_failure_before_the_first_instance_is_told_as_what_it_is(
    ask: Callable[..., Retrieval], a_source: PlayedSource, db: Database, error: AditError
) -> None:
    def fail(number: int) -> None:
        raise error

    a_source.before = fail
    with pytest.raises(type(error)):
        everything(ask())
    assert last_line(db)[1] == error.code
    assert a_source.opened == a_source.closed


def test_a_failure_halfway_is_raised_and_never_looks_like_the_end(
    ask: Callable[..., Retrieval], a_source: PlayedSource, db: Database
) -> None:
    def fail(number: int) -> None:
        if number >= 3:
            raise TimedOut

    a_source.before = fail
    with pytest.raises(TimedOut):
        everything(ask())
    assert last_line(db)[1] == "TimedOut"
    assert [level for level, _ in a_source.asked] == [Level.STUDY, Level.IMAGE]


def test_a_connection_that_breaks_once_is_made_again_for_what_is_missing(
    ask: Callable[..., Retrieval], a_source: PlayedSource
) -> None:
    broken: list[int] = []

    def fail_once(number: int) -> None:
        if number == 3 and not broken:
            broken.append(number)
            raise PeerError

    a_source.before = fail_once
    assert len({one.sop_uid for one in everything(ask())}) == N
    assert a_source.sent == N


def test_fewer_instances_than_listed_are_a_failure(
    ask: Callable[..., Retrieval], a_source: PlayedSource, db: Database
) -> None:
    a_source.withheld.add(a_source.instances[6].sop_uid)
    with pytest.raises(Incomplete, match="1 listed"):
        everything(ask())
    assert last_line(db)[1] == "Incomplete"


@pytest.mark.parametrize("what", ["study", "patient", "series", "instance"])
@pytest.mark.parametrize("asked", [Terms(), SUBJECT], ids=["kept", "treated"])
def test_an_instance_of_somebody_or_something_else_breaks_the_retrieval(
    ask: Callable[..., Retrieval], a_source: PlayedSource, a_pacs: Server, what: str, asked: Terms
) -> None:
    original = a_source.instances[4]
    changed = b"".join(original.parts)
    heading = heading_of(original)
    old = {
        "study": heading.study_uid,
        "patient": heading.patient_id,
        "series": heading.series_uid,
        "instance": original.sop_uid,
    }[what]
    new = old[:-1] + ("7" if old[-1] != "7" else "8")
    assert old.encode() in changed
    swapped = replace(original, parts=(changed.replace(old.encode(), new.encode()),))
    a_source.instances = [swapped if one is original else one for one in a_source.instances]
    if what == "series":
        a_source.series.append(SeriesFound(heading.study_uid, new, "CT"))
        wanted = Wanted(heading.study_uid, heading.series_uid, original.sop_uid)
        listed = a_source.find_instances
        a_source.find_instances = lambda study, series, **rest: listed(study, new, **rest)  # type: ignore[method-assign]
        a_source.asked = []
    else:
        wanted = Wanted(heading.study_uid)
    with pytest.raises(IdentityConflict):
        everything(ask(asked, wanted, actor=a_caller(a_pacs, Permission.SELECTIVE_UNPSEUDONYMIZED)))


def test_an_identifier_that_is_left_ends_the_retrieval(
    ask: Callable[..., Retrieval], a_source: PlayedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    treat, seen = Deidentifier.instance, list[str]()

    def leaky(self: Deidentifier, instance: EncodedInstance) -> EncodedInstance:
        seen.append(instance.sop_uid)
        if len(seen) == 1 + skipped:
            raise ResidueFound
        return treat(self, instance)

    monkeypatch.setattr(Deidentifier, "instance", leaky)
    for skipped in (0, 3):
        seen.clear()
        with ask() as retrieval, pytest.raises(ResidueFound):
            retrieval.begin()
            assert skipped
            list(retrieval)


def test_what_the_source_lists_of_the_patient_is_searched_for_in_every_instance(
    ask: Callable[..., Retrieval], a_source: PlayedSource
) -> None:
    """The station is named like the patient, whom no instance calls so."""
    a_source.study = replace(a_source.study, patient_name="Stnbababadu^Velmi")
    with ask() as retrieval, pytest.raises(ResidueFound):
        retrieval.begin()


# --- pace


def test_the_first_instance_is_given_before_the_last_has_arrived(
    ask: Callable[..., Retrieval], a_source: PlayedSource
) -> None:
    may_go_on = threading.Event()

    def hold(number: int) -> None:
        if number:
            assert may_go_on.wait(30)

    a_source.before = hold
    with ask() as retrieval:
        retrieval.begin()
        first = next(retrieval)
        assert a_source.sent <= 1
        may_go_on.set()
        assert len([first, *retrieval]) == N


def test_a_caller_who_goes_ends_the_retrieval_at_the_source(
    ask: Callable[..., Retrieval], a_source: PlayedSource, db: Database
) -> None:
    def stand_still(number: int) -> None:
        if number == 3:
            a_source.wait()

    a_source.before = stand_still
    with pytest.raises(Canceled), ask() as retrieval:
        retrieval.begin()
        threading.Timer(0.1, retrieval.stop).start()
        list(retrieval)
    assert a_source.aborted.is_set()
    assert last_line(db)[1] == "Canceled"
    assert a_source.opened == a_source.closed


def test_a_revoked_token_ends_it_as_not_permitted(ask: Callable[..., Retrieval], a_source: PlayedSource) -> None:
    a_source.before = lambda number: a_source.wait() if number == 3 else None
    with pytest.raises(NotPermitted, match="revoked"), ask() as retrieval:
        retrieval.begin()
        threading.Timer(0.1, lambda: retrieval.stop(NotPermitted("The token was revoked."))).start()
        list(retrieval)


def test_leaving_without_having_read_leaves_a_line_and_no_thread(ask: Callable[..., Retrieval], db: Database) -> None:
    before = threading.active_count()
    with ask() as retrieval:
        retrieval.begin()
    assert last_line(db) == ("server PACS: 0 of 7 instances of a study, pseudonymized", "Canceled")
    assert threading.active_count() <= before


def test_a_reader_who_is_slow_stalls_the_source_and_gets_everything_in_the_end(
    ask: Callable[..., Retrieval], a_source: PlayedSource, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is broken off before the source would do so, and what is missing is asked for by name."""
    monkeypatch.setattr(fetching, "PATIENCE_S", 0.05)
    monkeypatch.setattr(retrieving, "PATIENCE_S", 0.05)
    size = a_source.instances[0].size_bytes
    monkeypatch.setattr(retrieving, "_stream_bytes", lambda settings: 2 * size)
    has_stalled = threading.Event()
    retrieve = a_source.retrieve

    def noting(*arguments: object) -> None:
        try:
            retrieve(*arguments)  # type: ignore[arg-type]
        finally:
            has_stalled.set()

    a_source.retrieve = noting  # type: ignore[method-assign]
    with ask() as retrieval:
        retrieval.begin()
        assert has_stalled.wait(30)
        assert a_source.sent < N
        assert len({one.sop_uid for one in retrieval}) == N
    assert a_source.sent == N
    assert Level.IMAGE in {level for level, _ in a_source.asked}


def test_a_reader_who_is_slow_has_no_place_in_the_budget_until_there_is_room(
    ask: Callable[..., Retrieval],
    a_source: PlayedSource,
    a_pacs: Server,
    db: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retrieving, "PATIENCE_S", 0.0)
    monkeypatch.setattr(retrieving, "_stream_bytes", lambda settings: 2 * a_source.instances[0].size_bytes)
    slots, held = SlotStore(db), list[int]()
    is_waiting, may_wait = threading.Event(), threading.Event()
    wait_for_room = Stream.wait_for_room

    def watched(stream: Stream) -> None:
        held.append(slots.taken(a_pacs.id))
        is_waiting.set()
        assert may_wait.wait(30)
        wait_for_room(stream)

    monkeypatch.setattr(Stream, "wait_for_room", watched)
    a_source.before = lambda number: held.append(-slots.taken(a_pacs.id))
    with ask() as retrieval:
        retrieval.begin()
        assert is_waiting.wait(30)
        may_wait.set()
        assert len({one.sop_uid for one in retrieval}) == N
    assert set(held) == {0, -1}, "none while waiting, one while the source sends"
    assert slots.taken(a_pacs.id) == 0


def test_a_reader_who_goes_while_waiting_leaves_no_place_behind(
    ask: Callable[..., Retrieval], a_source: PlayedSource, a_pacs: Server, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieving, "PATIENCE_S", 0.0)
    monkeypatch.setattr(retrieving, "_stream_bytes", lambda settings: 2 * a_source.instances[0].size_bytes)
    is_waiting, wait_for_room = threading.Event(), Stream.wait_for_room
    monkeypatch.setattr(Stream, "wait_for_room", lambda stream: (is_waiting.set(), wait_for_room(stream))[1])
    with pytest.raises(Canceled), ask() as retrieval:
        retrieval.begin()
        assert is_waiting.wait(30)
        retrieval.stop()
        list(retrieval)
    assert SlotStore(db).taken(a_pacs.id) == 0


def test_nobody_has_more_than_half_of_the_places_whatever_tokens_they_use() -> None:
    places = Places(4, "uploads")
    with places.taken(7), places.taken(7):
        with pytest.raises(PeerBusy, match="2 of your uploads"), places.taken(7):
            pass
        with places.taken(8), places.taken(9), pytest.raises(PeerBusy, match="All 4 uploads"), places.taken(10):
            pass
        with places.taken(8), places.taken(8):
            pass
    with places.taken(7), places.taken(7):
        pass


def test_two_retrievals_beyond_the_places_are_told_to_come_again(ask: Callable[..., Retrieval]) -> None:
    places = Places(1)
    with ask(places=places) as retrieval:
        retrieval.begin()
        for _ in range(2):
            with pytest.raises(PeerBusy, match="All 1 retrievals"):
                everything(ask(places=places))
        assert len(list(retrieval)) == N
    assert len(everything(ask(places=places))) == N


# --- memory


@pytest.fixture
def given_back(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Bytes, ...]]:
    """The buffers that retrievals have given back, in the order in which they did."""
    found: list[tuple[Bytes, ...]] = []
    monkeypatch.setattr(retrieving, "give_back", found.append)
    return found


def test_an_instance_that_waits_for_its_reader_is_not_in_memory_meanwhile(
    ask: Callable[..., Retrieval], a_source: PlayedSource, given_back: list[tuple[Bytes, ...]]
) -> None:
    with ask() as retrieval:
        retrieval.begin()
        for number, _ in enumerate(retrieval, 1):
            assert given_back == [instance.parts for instance in a_source.instances[:number]]
        retrieval.conclude()


def test_an_instance_that_may_not_leave_does_not_stay_in_memory(
    ask: Callable[..., Retrieval],
    a_source: PlayedSource,
    given_back: list[tuple[Bytes, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_deidentifier: Deidentifier, _instance: EncodedInstance) -> EncodedInstance:
        raise Excluded

    monkeypatch.setattr(Deidentifier, "instance", refuse)
    with pytest.raises(Excluded):
        everything(ask())
    assert given_back == [instance.parts for instance in a_source.instances]


def test_a_file_comes_in_pieces_that_join_to_it_and_do_not_stay_in_memory(tmp_path: Path) -> None:
    pixels = a_mapped_file(tmp_path)
    instance = EncodedInstance("1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2.1", (b"header", pixels))
    digest = hashlib.sha256(b"header")
    digest.update(pixels)
    give_back((pixels,))
    before = most = resident_bytes()
    length, pieces = retrieving.file_of(instance)
    head, found, size = next(pieces), hashlib.sha256(), 0
    for piece in pieces:
        found.update(piece)
        size += len(piece)
        most = max(most, resident_bytes())
    assert bytes(head[128:132]) == b"DICM"
    assert found.digest() == digest.digest()
    assert len(head) + size == length
    assert most - before < MOST_BYTES


@pytest.mark.parametrize("data", [None, b"no data set"])
def test_of_what_was_described_nothing_stays_in_memory(
    a_source: PlayedSource, given_back: list[tuple[Bytes, ...]], data: bytes | None
) -> None:
    instance = a_source.instances[0] if data is None else replace(a_source.instances[0], parts=(data,))
    with nullcontext() if data is None else pytest.raises(Unreadable):
        retrieving.described(instance)
    assert given_back == [instance.parts]


# --- metadata


def test_metadata_is_of_the_treated_instance_and_has_no_pixels(ask: Callable[..., Retrieval]) -> None:
    for instance in everything(ask()):
        said = json.loads(retrieving.described(instance))
        data_set = Dataset.from_json(said)
        assert (data_set.PatientID, data_set.SOPInstanceUID) == ("SUBJ-01", instance.sop_uid)
        assert not any(tag.startswith("7FE0") for tag in said)


# --- servers that are held back


def test_a_server_that_is_stopped_breaks_off_what_is_under_way(
    ask: Callable[..., Retrieval],
    a_source: PlayedSource,
    a_pacs: Server,
    db: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(visits, "_BEAT_S", 0.02)

    def stop(number: int) -> None:
        if number == 3:
            holding.stop(db, operator("root"), a_pacs.id, "It swaps its disks.")
            a_source.wait()

    a_source.before = stop
    try:
        with pytest.raises(ServerStopped, match="It swaps its disks"), ask() as retrieval:
            retrieval.begin()
            list(retrieval)
        assert last_line(db)[1] == "ServerStopped"
        assert SlotStore(db).taken(a_pacs.id) == 0
        with pytest.raises(ServerStopped):
            ask()
    finally:
        holding.let_go_on(db, operator("root"), a_pacs.id)
    a_source.before, a_source.aborted = lambda number: None, threading.Event()
    assert len(everything(ask())) == N
