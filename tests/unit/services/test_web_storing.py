"""What becomes of instances that are stored through the gateway when things go wrong; the archive is played."""

import json
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from dicom.network import choose, scratch
from dicom.part10 import part10_prefix
from models.db.engine import Database
from models.db.nodes import NodeStore
from models.db.slots import SlotStore
from models.domain.errors import (
    AditError,
    BadRequest,
    Canceled,
    NoSpace,
    PeerBusy,
    PeerError,
    ServerStopped,
    TimedOut,
    Unreachable,
)
from models.domain.instances import EncodedInstance, StoreOutcome, Verdict
from models.domain.nodes import Server
from models.domain.people import operator
from models.settings import Settings
from services import audit, holding
from services.gateway import storing
from services.gateway.storing import Stored, TooLarge, WrongType
from services.searching import visits
from tests.samples import a_server, some_settings

OPERATOR = operator("root")
CT, IMPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2"
MULTIPART = 'multipart/related; type="application/dicom"; boundary=b'
END = b"--b--\r\n"


@dataclass
class PlayedArchive:
    """A sender that answers what the test says, in order, and stores everything once that is used up."""

    answers: list[StoreOutcome | Exception] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    opened: int = 0
    closed: int = 0

    def __enter__(self) -> Self:
        self.opened += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.closed += 1

    def abort(self) -> None:
        pass

    def send(self, instance: EncodedInstance) -> StoreOutcome:
        self.sent.append(instance.sop_uid)
        answer = self.answers.pop(0) if self.answers else StoreOutcome(instance.sop_uid, Verdict.STORED)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def an_archive(monkeypatch: pytest.MonkeyPatch) -> PlayedArchive:
    archive = PlayedArchive()
    monkeypatch.setattr(choose, "sender", lambda server, local: archive)
    return archive


@pytest.fixture
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return some_settings(tmp_path_factory.mktemp("data"))


@pytest.fixture
def pacs(database: Database) -> Server:
    added = NodeStore(database).add(a_server())
    assert isinstance(added, Server)
    return added


def element(tag: int, value: str) -> bytes:
    encoded = value.encode() + b"\0" * (len(value) % 2)
    return (
        (tag >> 16).to_bytes(2, "little")
        + (tag & 0xFFFF).to_bytes(2, "little")
        + len(encoded).to_bytes(4, "little")
        + encoded
    )


def a_part(number: int, study_uid: str = "1.2") -> bytes:
    uid = f"{study_uid}.3.{number}"
    data = element(0x00080018, uid) + element(0x0020000D, study_uid) + element(0x0020000E, f"{study_uid}.3")
    return b"--b\r\n\r\n" + part10_prefix(CT, uid, IMPLICIT) + data + b"\r\n"


def run(database: Database, settings: Settings, *chunks: bytes, study: str = "") -> Stored:
    return storing.storage(database, settings, OPERATOR, "PACS", MULTIPART, study).run(iter(chunks))


def reasons(found: Stored) -> list[object]:
    return [entry["00081197"]["Value"][0] for entry in found.failed]  # type: ignore[index, call-overload]


def test_each_instance_is_sent_on_before_more_is_read_and_over_one_connection(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    def watched() -> Iterator[bytes]:
        for number in range(5):
            assert len(an_archive.sent) >= number - 1
            assert SlotStore(database).taken(pacs.id) == (1 if number > 1 else 0)
            yield a_part(number)
        yield END

    found = storing.storage(database, settings, OPERATOR, "PACS", MULTIPART).run(watched())
    assert (found.status, len(found.stored), an_archive.opened, an_archive.closed) == (200, 5, 1, 1)
    assert SlotStore(database).taken(pacs.id) == 0


def test_a_caller_who_rests_has_neither_connection_nor_place_until_the_next_instance_is_there(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(3):
            yield a_part(number) + b"--b\r\n"
            taken.append(SlotStore(database).taken(pacs.id))
            monkeypatch.setattr(storing, "LONGEST_REST_S", -1.0)
            yield b""
            taken.append(SlotStore(database).taken(pacs.id))
            monkeypatch.undo()
            monkeypatch.setattr(choose, "sender", lambda server, local: an_archive)
            yield b"X: y\r\n\r\nno DICOM\r\n"
        yield END

    found = storing.storage(database, settings, OPERATOR, "PACS", MULTIPART).run(chunks())
    assert (len(found.stored), found.unnamed_count, an_archive.opened, an_archive.closed) == (3, 3, 3, 3)
    assert taken == [1, 0] * 3
    assert SlotStore(database).taken(pacs.id) == 0


def test_what_goes_wrong_on_the_way_is_told_of_each_instance(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    an_archive.answers = [
        StoreOutcome("", Verdict.STORED),
        PeerError("It broke."),
        StoreOutcome("", Verdict.REFUSED, 0xC001),
        PeerBusy(),
        NoSpace(),
        StoreOutcome("", Verdict.STORED_WITH_WARNING, 0xB000),
        StoreOutcome("", Verdict.REFUSED),
    ]
    found = run(database, settings, *map(a_part, range(8)), END)
    assert (found.status, len(found.stored)) == (202, 3)
    assert reasons(found) == [0x0110, 0xC001, 0xA700, 0xA700, 0x0110]
    assert found.stored[1]["00081196"] == {"vr": "US", "Value": [0xB000]}
    assert set(found.item()) == {"00081190", "00081198", "00081199"}


def test_a_warning_alone_is_not_quite_success(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    an_archive.answers = [StoreOutcome("", Verdict.STORED_WITH_WARNING, 0xB006)]
    assert run(database, settings, a_part(1), END).status == 202


@pytest.mark.parametrize(("error", "tries"), [(Unreachable(), 2), (TimedOut(), 2), (PeerError("It broke."), 4)])
def test_a_server_that_is_gone_is_not_asked_for_ever(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive, error: AditError, tries: int
) -> None:
    an_archive.answers = [StoreOutcome("", Verdict.STORED), error, error, error, error]
    found = run(database, settings, *map(a_part, range(9)), END)
    assert (found.status, len(found.stored), len(found.failed), len(an_archive.sent)) == (202, 1, 8, tries)


@pytest.mark.parametrize("error", [Unreachable(), PeerBusy(), NoSpace(), PeerError("It broke.")])
def test_a_server_that_never_answered_is_an_error_of_the_whole(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive, error: AditError
) -> None:
    an_archive.answers = [error]
    with pytest.raises(type(error)):
        run(database, settings, a_part(1), a_part(2), END)
    assert audit.entries(database, OPERATOR)[0].outcome == error.code
    assert SlotStore(database).taken(pacs.id) == 0 and an_archive.closed == 1


def test_nobody_bothers_the_server_when_nothing_is_to_be_sent(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    found = run(database, settings, a_part(1, "1.9"), b"--b\r\n\r\nno DICOM\r\n", END, study="1.2")
    assert (found.status, reasons(found), found.unnamed_count, an_archive.opened) == (409, [0xA900], 1, 0)
    with pytest.raises(BadRequest):
        run(database, settings, END)


def test_a_caller_who_hangs_up_ends_it_and_what_was_stored_is_written_down(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    def chunks() -> Iterator[bytes]:
        yield a_part(1) + a_part(2)
        raise Canceled("The caller has hung up.")

    with pytest.raises(Canceled):
        storing.storage(database, settings, OPERATOR, "PACS", MULTIPART).run(chunks())
    entry = audit.entries(database, OPERATOR)[0]
    assert (entry.outcome, entry.subject) == ("Canceled", "server PACS: 1 of 1 instances stored")
    assert SlotStore(database).taken(pacs.id) == 0 and an_archive.closed == 1


def test_a_caller_who_falls_silent_is_not_taken_for_a_broken_body(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    def chunks() -> Iterator[bytes]:
        yield a_part(1)
        raise TimedOut

    with pytest.raises(TimedOut):
        storing.storage(database, settings, OPERATOR, "PACS", MULTIPART).run(chunks())


def test_an_instance_whose_place_cannot_be_read_is_the_servers_to_judge(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    """Without a study in the address; with one it cannot be shown to belong there."""
    part = b"--b\r\n\r\n" + part10_prefix(CT, "1.2.3.4", "1.2.3.999") + b"whatever" + b"\r\n"
    found = run(database, settings, part, END)
    assert (found.status, an_archive.sent) == (200, ["1.2.3.4"]) and "00081190" not in found.stored[0]
    found = run(database, settings, part, END, study="1.2")
    assert (found.status, reasons(found), len(an_archive.sent)) == (409, [0xC000], 1)


@pytest.mark.parametrize("uid", ["<script>", "1.2." + "3" * 61, "1..2", "Mueller^Anna"])
def test_an_instance_that_names_itself_by_no_uid_is_not_named_in_the_answer(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive, uid: str
) -> None:
    parts = [b"--b\r\n\r\n" + part10_prefix(*uids, IMPLICIT) + b"\r\n" for uids in ((uid, "1.2.3"), (CT, uid))]
    found = run(database, settings, *parts, a_part(1), END)
    assert (found.status, found.unnamed_count, len(found.stored), len(found.failed)) == (202, 2, 1, 0)
    assert uid not in json.dumps(found.item())


@pytest.mark.parametrize("syntax", ["Mueller^Anna", "1..2", "1.2\r\nX: y"])
def test_an_instance_whose_transfer_syntax_is_no_uid_is_not_sent_and_stands_in_no_log(
    database: Database,
    settings: Settings,
    pacs: Server,
    an_archive: PlayedArchive,
    caplog: pytest.LogCaptureFixture,
    syntax: str,
) -> None:
    part = b"--b\r\n\r\n" + part10_prefix(CT, "1.2.3.4", syntax) + element(0x00080018, "1.2.3.4") + b"\r\n"
    found = run(database, settings, part, a_part(1), END)
    assert (found.status, reasons(found), an_archive.sent) == (202, [0xC000], ["1.2.3.1"])
    assert syntax not in json.dumps(found.item()) + caplog.text


def test_a_study_uid_that_has_no_end_is_not_read(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    data = element(0x00080018, "1.2.3") + element(0x0020000D, "1.2" + " " * 100_000) + element(0x0020000E, "1.2.3")
    part = b"--b\r\n\r\n" + part10_prefix(CT, "1.2.3", IMPLICIT) + data + b"\r\n"
    assert reasons(run(database, settings, part, END, study="1.2")) == [0xC000]


@pytest.mark.parametrize("content_type", ["", "text/html", "multipart/related", 'multipart/related; type="text/html"'])
def test_another_kind_of_body_is_refused_before_it_is_read(
    database: Database, settings: Settings, pacs: Server, content_type: str
) -> None:
    with pytest.raises(WrongType):
        storing.storage(database, settings, OPERATOR, "PACS", content_type)


def test_a_head_without_end_is_too_large(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive
) -> None:
    with pytest.raises(TooLarge, match="stored before that: 1"):
        run(database, settings, a_part(1), b"--b\r\n", *[b"X: y" * 5000] * 2)


def test_an_instance_that_leaves_too_little_room_on_the_disk_is_refused_before_it_is_there(
    database: Database, tmp_path: Path, pacs: Server, an_archive: PlayedArchive
) -> None:
    read: list[int] = []

    def chunks() -> Iterator[bytes]:
        yield a_part(1) + b"--b\r\n\r\n"
        for number in range(100):
            read.append(number)
            yield bytes(1 << 20)

    strict = some_settings(tmp_path, spool_reserve_mb=10**9)
    with pytest.raises(NoSpace):
        storing.storage(database, strict, OPERATOR, "PACS", MULTIPART).run(chunks())
    assert len(read) < 12 and len(an_archive.sent) == 1
    assert audit.entries(database, OPERATOR)[0].outcome == "NoSpace"


def test_an_instance_that_is_larger_than_any_is_too_large(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "LARGEST_BYTES", 9 << 20)
    monkeypatch.setattr(scratch, "STEP_BYTES", 1 << 20)
    with pytest.raises(TooLarge, match="stored before that: 1"):
        run(database, settings, a_part(1), b"--b\r\n\r\n", *[bytes(1 << 20)] * 12)


def test_a_body_of_more_parts_than_any_sensible_one_is_too_large(
    database: Database, settings: Settings, pacs: Server, an_archive: PlayedArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "MOST_PARTS", 5)
    tiny = b"--b\r\n\r\n\r\n"
    assert run(database, settings, a_part(1), tiny * 4, END).count == 5
    with pytest.raises(TooLarge, match=r"more than 5 parts.*stored before that: 1"):
        run(database, settings, a_part(1), tiny * 5, END)


@settings_of(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_comes_is_told_of_or_a_bad_request(data: st.DataObject) -> None:
    """A body with bytes changed, cut out and put in, in chunks of any size."""
    body = bytearray(b"".join(map(a_part, range(2))) + END)
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(body)))
        length, put_in = data.draw(st.integers(0, 5)), data.draw(st.binary(max_size=5))
        body[at : at + length] = put_in
    size = data.draw(st.integers(1, len(body) + 1))
    chunks = [bytes(body[at : at + size]) for at in range(0, len(body), size)]
    with tempfile.TemporaryDirectory() as scratch:
        report, delivery = Stored(), _Everything()
        storage = storing.Storage(None, some_settings(Path(scratch)), OPERATOR, a_server(), b"b", "")  # type: ignore[arg-type]
        storage._report = report
        try:
            for part in storage._parts(chunks):
                storage._take(part, delivery)  # type: ignore[arg-type]
        except BadRequest:
            pass
        assert report.status in (200, 202, 409) and json.dumps(report.item())
        assert len(report.stored) == len(delivery.sent)


class _Everything:
    """Stores whatever comes."""

    def __init__(self) -> None:
        self.sent: list[EncodedInstance] = []

    def delivered(self, instance: EncodedInstance) -> tuple[int, bool]:
        self.sent.append(instance)
        return 0, False


def test_a_server_that_is_stopped_ends_the_storage_and_it_is_told_what_was_stored(
    database: Database,
    settings: Settings,
    pacs: Server,
    an_archive: PlayedArchive,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(visits, "_BEAT_S", 0.02)
    aborted = threading.Event()
    monkeypatch.setattr(an_archive, "abort", aborted.set)

    def body() -> Iterator[bytes]:
        yield a_part(1)
        yield a_part(2)  # which ends where the third begins
        holding.stop(database, OPERATOR, pacs.id)
        assert aborted.wait(30), "nobody has broken the connection"
        yield a_part(3)
        yield END

    stored = storing.storage(database, settings, OPERATOR, "PACS", MULTIPART)
    with pytest.raises(ServerStopped, match=r"stopped PACS .* Instances stored before that: 1\."):
        stored.run(body())
    assert len(an_archive.sent) == 1
    assert SlotStore(database).taken(pacs.id) == 0
