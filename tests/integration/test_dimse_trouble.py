"""Peers that lie, break off, fall silent or are too fast: each ends as the right error, soon, and leaves no thread."""

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pynetdicom import AE, StoragePresentationContexts, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from dicom.network.association import DimsePort
from dicom.network.echo import echo
from dicom.network.find import DimseFinder
from dicom.network.get import GetRetriever
from dicom.network.inbox import Inbox
from dicom.network.move import MoveRetriever
from dicom.network.reactor import ReactorAssociation
from dicom.network.receiver import Receiver
from dicom.network.store import DimseSender
from dicom.part10 import split_part10
from models.domain.errors import (
    Canceled,
    PeerBusy,
    PeerError,
    PeerLied,
    TimedOut,
    Unsupported,
    WriteFailed,
)
from models.domain.instances import EncodedInstance, Verdict
from models.domain.nodes import Server, Timeouts
from models.domain.refs import Level, Selection, StudyQuery, StudyRef
from tests.installation import PATIENT
from tests.peers import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("bulk_engine")

US = "ADIT"
HERE = Path("/tmp")
SHORT = Timeouts(*(timedelta(seconds=s) for s in (2, 2, 1, 1)))
ENCODED_CT = (str(CTImageStorage), "1.2.840.10008.1.2.1")


@pytest.fixture(scope="module")
def a_study(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    return studies.write_ct(tmp_path_factory.mktemp("ct"), patient=1, study=1, instances=(5,), rows=32, columns=32)


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    wait_until(lambda: set(threading.enumerate()) <= before, "the end of all threads")


@contextmanager
def scripted(*handlers: tuple[Any, Callable[..., Any]]) -> Iterator[Server]:
    """A pynetdicom SCP whose handlers are the test's."""
    ae = AE("SCRIPTED")
    for model in (
        StudyRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelGet,
        StudyRootQueryRetrieveInformationModelMove,
    ):
        ae.add_supported_context(model)
    for context in StoragePresentationContexts:
        ae.add_supported_context(context.abstract_syntax, scu_role=True, scp_role=True)
    port = free_port()
    sockets: list[socket.socket] = []  # pynetdicom forgets to close some
    opened = (evt.EVT_CONN_OPEN, lambda event: sockets.append(event.assoc.dul.socket.socket))
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[opened, *handlers])
    try:
        yield Server(
            "Scripted",
            "SCRIPTED",
            "127.0.0.1",
            port,
            study_root_find_support=True,
            study_root_get_support=True,
            study_root_move_support=True,
            store_scp_support=True,
        )
    finally:
        ae.shutdown()
        server.server_close()
        for left in sockets:
            left.close()


def a_selection(study: StudyFiles, **fields: object) -> Selection:
    uids = tuple(str(dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in study.files)
    values = {"study": StudyRef(study.study_uid), "level": Level.STUDY, "sop_uids": uids}
    return Selection(**(values | {"sop_class_uids": frozenset({CTImageStorage})} | fields))  # type: ignore[arg-type]


def sending(files: list[Path], *last: object) -> Callable[[evt.Event], Iterator[object]]:
    def answer(_event: evt.Event) -> Iterator[object]:
        yield len(files)
        for file in files:
            yield 0xFF00, dcmread(file)
        yield from last

    return answer


def listing(count: int) -> Callable[[evt.Event], Iterator[object]]:
    def answer(event: evt.Event) -> Iterator[object]:
        for number in range(count):
            found = Dataset()
            found.QueryRetrieveLevel = event.identifier.QueryRetrieveLevel
            found.StudyInstanceUID = f"1.2.{number}"
            yield 0xFF00, found

    return answer


def test_success_with_fewer_instances_than_asked_for_returns_with_those(a_study: StudyFiles) -> None:
    arrived: list[EncodedInstance] = []
    with scripted((evt.EVT_C_GET, sending(a_study.files[:2]))) as server, GetRetriever(server, US, HERE) as retriever:
        retriever.retrieve(a_selection(a_study), arrived.append)
    assert len(arrived) == 2


def test_a_failure_status_raises_although_some_instances_came(a_study: StudyFiles) -> None:
    arrived: list[EncodedInstance] = []

    def answer(_event: evt.Event) -> Iterator[object]:
        yield 5
        yield 0xFF00, dcmread(a_study.files[0])
        yield 0xC123, None

    with (
        scripted((evt.EVT_C_GET, answer)) as server,
        GetRetriever(server, US, HERE) as retriever,
        pytest.raises(PeerError, match="C123"),
    ):
        retriever.retrieve(a_selection(a_study), arrived.append)
    assert len(arrived) == 1


def test_a_list_of_instances_that_is_refused_is_asked_for_one_by_one(a_study: StudyFiles) -> None:
    asked: list[int] = []

    def answer(event: evt.Event) -> Iterator[object]:
        named = event.identifier.SOPInstanceUID
        uids = [named] if isinstance(named, str) else list(named)
        asked.append(len(uids))
        if len(uids) > 1:
            yield 1
            yield 0xA900, None
            return
        chosen = [file for file in a_study.files if dcmread(file, stop_before_pixels=True).SOPInstanceUID == uids[0]]
        yield from sending(chosen)(event)

    arrived: list[EncodedInstance] = []
    selection = a_selection(a_study, level=Level.IMAGE, series_uid="1.2.3")
    with scripted((evt.EVT_C_GET, answer)) as server, GetRetriever(server, US, HERE) as retriever:
        retriever.retrieve(selection, arrived.append)
        retriever.retrieve(selection, arrived.append)
    assert asked == [5, *[1] * 5, *[1] * 5], "the server was asked for a list again"
    assert {one.sop_uid for one in arrived} == set(selection.sop_uids)


def test_what_the_sink_raises_comes_out_unchanged_and_the_association_is_broken_off(a_study: StudyFiles) -> None:
    error = WriteFailed("Disk on fire.")
    aborted = threading.Event()

    def sink(_instance: EncodedInstance) -> None:
        raise error

    handlers = ((evt.EVT_C_GET, sending(a_study.files)), (evt.EVT_CONN_CLOSE, lambda _: aborted.set()))
    with scripted(*handlers) as server, GetRetriever(server, US, HERE) as retriever:
        with pytest.raises(WriteFailed) as caught:
            retriever.retrieve(a_selection(a_study), sink)
        assert caught.value is error
        assert aborted.wait(240)


def test_an_archive_that_dies_during_c_get_is_a_peer_error_and_the_next_call_reconnects(a_study: StudyFiles) -> None:
    is_dying = [True]

    def answer(event: evt.Event) -> Iterator[object]:
        yield 5
        yield 0xFF00, dcmread(a_study.files[0])
        if is_dying.pop():
            event.assoc.dul.socket.socket.shutdown(socket.SHUT_RDWR)
            is_dying.append(False)
            return
        for file in a_study.files[1:]:
            yield 0xFF00, dcmread(file)

    arrived: list[EncodedInstance] = []
    with scripted((evt.EVT_C_GET, answer)) as server, GetRetriever(server, US, HERE) as retriever:
        with pytest.raises(PeerError, match="broke off"):
            retriever.retrieve(a_selection(a_study), arrived.append)
        arrived.clear()
        retriever.retrieve(a_selection(a_study), arrived.append)
    assert len(arrived) == 5


def test_a_silent_archive_times_out(a_study: StudyFiles) -> None:
    silence = threading.Event()

    def answer(_event: evt.Event) -> Iterator[object]:
        yield 1
        silence.wait(240)

    with (
        scripted((evt.EVT_C_GET, answer)) as server,
        GetRetriever(replace(server, timeouts=SHORT), US, HERE) as retriever,
    ):
        with pytest.raises(TimedOut):
            retriever.retrieve(a_selection(a_study), lambda _: None)
        silence.set()


def test_a_server_that_accepts_the_connection_and_says_nothing_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(TimedOut):
            echo(Server("Mute", "MUTE", "127.0.0.1", port, timeouts=SHORT), US)


def test_a_server_that_talks_something_else_is_an_error_of_the_peer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                peer.recv(1000)

        speaker = threading.Thread(target=greet)
        speaker.start()
        with pytest.raises(PeerError):
            echo(Server("Web", "WEB", "127.0.0.1", listener.getsockname()[1], timeouts=SHORT), US)
        speaker.join(10)


def test_abort_from_another_thread_ends_each_blocked_call_whatever_its_time_out(
    a_study: StudyFiles, tmp_path: Path
) -> None:
    def silent(_event: evt.Event) -> Iterator[object]:
        started.set()
        release.wait(240)
        yield 0

    def calls(server: Server) -> Iterator[tuple[DimsePort, Callable[[], object]]]:
        finder = DimseFinder(server, US)
        yield finder, lambda: list(finder.find_studies(StudyQuery()))
        getter = GetRetriever(server, US, HERE)
        yield getter, lambda: getter.retrieve(a_selection(a_study), lambda _: None)
        mover = MoveRetriever(server, US, "RECV", inbox)
        yield mover, lambda: mover.retrieve(a_selection(a_study), lambda _: None)

    handlers = [(kind, silent) for kind in (evt.EVT_C_FIND, evt.EVT_C_GET, evt.EVT_C_MOVE)]
    started, release = threading.Event(), threading.Event()
    inbox = Inbox(tmp_path)
    with inbox.served(), scripted(*handlers) as server:
        for port, call in calls(replace(server, timeouts=PATIENT)):
            started.clear()
            aborter = threading.Thread(target=lambda port=port: started.wait(240) and port.abort())  # type: ignore[misc]
            aborter.start()
            with port:
                with pytest.raises(Canceled):
                    call()
                with pytest.raises(Canceled):
                    call()
            aborter.join(10)
        release.set()


def test_abort_while_the_association_is_negotiated() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        finder = DimseFinder(
            Server("Mute", "MUTE", "127.0.0.1", listener.getsockname()[1], study_root_find_support=True), US
        )

        def abort_later() -> None:
            peer, _ = listener.accept()
            peer.recv(10)
            finder.abort()
            peer.close()

        aborter = threading.Thread(target=abort_later)
        aborter.start()
        with finder, pytest.raises(Canceled):
            list(finder.find_studies(StudyQuery()))
        aborter.join(10)


def test_a_search_that_breaks_raises_after_its_first_results_and_repeats_none() -> None:
    def answer(event: evt.Event) -> Iterator[object]:
        yield from listing(3)(event)
        yield 0xA700, None

    seen: list[str] = []
    with scripted((evt.EVT_C_FIND, answer)) as server, DimseFinder(server, US) as finder:
        with pytest.raises(PeerBusy):
            seen.extend(study.study_uid for study in finder.find_studies(StudyQuery()))
        with pytest.raises(PeerBusy):
            next(finder.find_series(StudyRef("1.2.9")))
    assert seen == ["1.2.0", "1.2.1", "1.2.2"]


def test_an_instance_without_a_uid_is_a_lie_because_a_count_would_be_wrong() -> None:
    with scripted((evt.EVT_C_FIND, listing(2))) as server, DimseFinder(server, US) as finder, pytest.raises(PeerLied):
        list(finder.find_instances(StudyRef("1.2.0"), "1.2.3"))


def test_fast_answers_are_never_lost(a_study: StudyFiles, bulk_engine: object) -> None:
    """pynetdicom's own requestor loses one of some hundred, when the machine is busy, and then waits for its time-out.

    The proof is that its reactor, which takes the answers away, cannot run; the sends are there to show it.
    """
    instance = split_part10(a_study.files[0].read_bytes())
    with scripted((evt.EVT_C_STORE, lambda _: 0)) as server, DimseSender(server, US) as sender:
        for _ in range(300):
            assert sender.send(instance).verdict is Verdict.STORED
            if bulk_engine is ReactorAssociation:
                assert isinstance(sender._association, ReactorAssociation) and sender._association._wire is not None
                assert not sender._association._wire._reactor_checkpoint.is_set(), "the reactor may run"


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (0x0000, Verdict.STORED),
        (0xB000, Verdict.STORED_WITH_WARNING),
        (0xB006, Verdict.STORED_WITH_WARNING),
        (0xB007, Verdict.STORED_WITH_WARNING),
        (0xA900, Verdict.REFUSED),
        (0xC000, Verdict.REFUSED),
        (0x0124, Verdict.REFUSED),
    ],
)
def test_the_status_of_each_instance_is_kept(a_study: StudyFiles, status: int, verdict: Verdict) -> None:
    instance = split_part10(a_study.files[0].read_bytes())
    with scripted((evt.EVT_C_STORE, lambda _: status)) as server, DimseSender(server, US) as sender:
        outcome = sender.send(instance)
    assert (outcome.status, outcome.verdict) == (status, verdict)


def test_a_full_archive_is_busy_and_has_refused_nothing(a_study: StudyFiles) -> None:
    instance = split_part10(a_study.files[0].read_bytes())
    statuses = [0xA700, 0]
    with scripted((evt.EVT_C_STORE, lambda _: statuses.pop(0))) as server, DimseSender(server, US) as sender:
        with pytest.raises(PeerBusy):
            sender.send(instance)
        assert sender.send(instance).verdict is Verdict.STORED


def test_an_archive_that_breaks_off_during_c_store_is_an_error_and_the_next_send_reconnects(
    a_study: StudyFiles,
) -> None:
    instance = split_part10(a_study.files[0].read_bytes())
    breaks = [True, False]

    def answer(event: evt.Event) -> int:
        if breaks.pop(0):
            event.assoc.dul.socket.socket.shutdown(socket.SHUT_RDWR)
        return 0

    with scripted((evt.EVT_C_STORE, answer)) as server, DimseSender(server, US) as sender:
        with pytest.raises(PeerError):
            sender.send(instance)
        assert sender.send(instance).verdict is Verdict.STORED


def test_no_answer_to_c_store_times_out(a_study: StudyFiles) -> None:
    instance = split_part10(a_study.files[0].read_bytes())
    release = threading.Event()

    def silent(_event: evt.Event) -> int:
        release.wait(240)
        return 0

    with scripted((evt.EVT_C_STORE, silent)) as server:
        with DimseSender(replace(server, timeouts=SHORT), US) as sender, pytest.raises(TimedOut):
            sender.send(instance)
        release.set()


def test_a_server_without_storage_cannot_serve_a_c_get(a_study: StudyFiles) -> None:
    ae = AE("FINDER")
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelGet)
    port = free_port()
    ae.start_server(("127.0.0.1", port), block=False)
    try:
        server = Server("Finder", "FINDER", "127.0.0.1", port, study_root_get_support=True)
        with GetRetriever(server, US, HERE) as retriever, pytest.raises(Unsupported, match="SOP classes"):
            retriever.retrieve(a_selection(a_study), lambda _: None)
    finally:
        ae.shutdown()


@pytest.fixture
def a_receiver(tmp_path: Path) -> Iterator[tuple[Server, Inbox]]:
    inbox = Inbox(tmp_path / "inbox")
    port = free_port()
    receiver = Receiver("127.0.0.1", port, inbox, lambda: ["PACS_1"])
    receiver.start()
    yield Server("Receiver", "RECV", "127.0.0.1", port), inbox
    receiver.stop()


def leftovers(inbox: Inbox) -> list[Path]:
    return [path for path in inbox.root.rglob("*") if path.is_file()]


def test_our_receiver_takes_private_classes_and_any_syntax(a_receiver: tuple[Server, Inbox]) -> None:
    server, inbox = a_receiver
    private = EncodedInstance("1.2.276.0.99.1", "1.2.3", "1.2.840.10008.1.2.4.202", (b"bytes of a private class",))
    with inbox.expect(["1.2.3"]) as expectation, DimseSender(server, "PACS_1") as sender:
        assert sender.send(private).verdict is Verdict.STORED
        (arrived,) = expectation.arrived()
    assert (arrived.sop_class_uid, arrived.transfer_syntax_uid) == (private.sop_class_uid, private.transfer_syntax_uid)
    assert b"".join(arrived.parts) == private.parts[0]


def test_our_receiver_refuses_what_nobody_waits_for_and_keeps_nothing(a_receiver: tuple[Server, Inbox]) -> None:
    server, inbox = a_receiver
    with DimseSender(server, "PACS_1") as sender:
        outcome = sender.send(EncodedInstance(*_ct("1.2.3"), (b"ab" * 500_000,)))
    assert (outcome.verdict, outcome.status) == (Verdict.REFUSED, 0x0124)
    assert leftovers(inbox) == []


def test_our_receiver_keeps_nothing_of_an_instance_that_breaks_off(a_receiver: tuple[Server, Inbox]) -> None:
    server, inbox = a_receiver

    class BrokenOffError(Exception):
        pass

    def broken_off() -> Iterator[bytes]:
        yield b"x" * (1 << 20)
        raise BrokenOffError

    with inbox.expect(["1.2.3"]) as expectation:
        with DimseSender(server, "PACS_1") as sender, pytest.raises(BrokenOffError):
            sender.send(EncodedInstance(*_ct("1.2.3"), broken_off()))  # type: ignore[arg-type]
        assert list(expectation.arrived()) == []
    assert leftovers(inbox) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_out_of_resources_to_the_sender(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.system(f"mount -t tmpfs -o size=1m tmpfs {disk} 2>/dev/null"):
        pytest.skip("no disk can be mounted here")
    inbox, port = Inbox(disk / "inbox"), free_port()
    receiver = Receiver("127.0.0.1", port, inbox, lambda: ["PACS_1"])
    receiver.start()
    try:
        with inbox.expect(["1.2.3", "1.2.4"]) as expectation:
            with DimseSender(Server("Receiver", "RECV", "127.0.0.1", port), "PACS_1") as sender:
                with pytest.raises(PeerBusy, match="A700"):
                    sender.send(EncodedInstance(*_ct("1.2.3"), (b"x" * 5_000_000,)))
                assert sender.send(EncodedInstance(*_ct("1.2.4"), (b"small",))).verdict is Verdict.STORED
            assert [one.sop_uid for one in expectation.arrived()] == ["1.2.4"]
    finally:
        receiver.stop()
        os.system(f"umount {disk}")


def test_callers_are_asked_at_each_association_and_an_error_lets_nobody_in(tmp_path: Path) -> None:
    answers: list[list[str]] = [["PACS_1"], []]
    port = free_port()
    receiver = Receiver("127.0.0.1", port, Inbox(tmp_path), lambda: answers.pop(0))
    receiver.start()
    try:
        server = Server("Receiver", "RECV", "127.0.0.1", port)
        echo(server, "PACS_1")
        for reason in ("calling AE title not recogni", "temporary congestion"):  # an empty answer, then an IndexError
            with pytest.raises(PeerError, match=reason):
                echo(server, "PACS_1")
    finally:
        receiver.stop()


def test_no_patient_gets_into_logs_or_errors(a_study: StudyFiles, capfd: pytest.CaptureFixture[str]) -> None:
    def answer(_event: evt.Event) -> Iterator[object]:
        yield 5
        yield 0xFF00, dcmread(a_study.files[0])
        yield 0xC123, None

    query = StudyQuery(patient_id=a_study.patient_id, patient_name=a_study.patient_name)
    texts: list[str] = []
    with scripted((evt.EVT_C_GET, answer), (evt.EVT_C_FIND, lambda _: iter([(0xC001, None)]))) as server:
        with GetRetriever(server, US, HERE) as retriever, pytest.raises(PeerError) as caught:
            retriever.retrieve(a_selection(a_study), lambda _: None)
        texts.append(str(caught.value))
        with DimseFinder(server, US) as finder, pytest.raises(PeerError) as caught:
            list(finder.find_studies(query))
        texts.append(str(caught.value))
    texts.extend(capfd.readouterr())
    assert not any(value in text for value in a_study.planted for text in texts)


@pytest.mark.skipif(not os.environ.get("ADIT_SLOW_TESTS"), reason="takes minutes and 5 GB of disk")
def test_an_instance_of_more_than_4_gib_arrives_with_flat_memory(tmp_path: Path) -> None:
    if shutil.disk_usage(tmp_path).free < 8 << 30:
        pytest.skip("not enough disk")
    inbox, port = Inbox(tmp_path / "inbox"), free_port()
    receiver = Receiver("127.0.0.1", port, inbox, lambda: ["PACS_1"])
    receiver.start()
    piece, count = os.urandom(1 << 20), (4 << 10) + 8
    peak = [0]

    def pieces() -> Iterator[bytes]:
        for _ in range(count):
            peak[0] = max(peak[0], _resident_bytes())
            yield piece

    try:
        before = _resident_bytes()
        with inbox.expect(["1.2.3"]) as expectation:
            with DimseSender(Server("Receiver", "RECV", "127.0.0.1", port), "PACS_1") as sender:
                instance = EncodedInstance(*_ct("1.2.3"), pieces())  # type: ignore[arg-type]
                assert sender.send(instance).verdict is Verdict.STORED
            (arrived,) = expectation.arrived()
        assert arrived.size_bytes == count << 20
        assert arrived.parts[0][-len(piece) :] == piece
        assert peak[0] - before < 200 << 20, f"{(peak[0] - before) >> 20} MiB"
    finally:
        receiver.stop()


def _ct(sop_uid: str) -> tuple[str, str, str]:
    sop_class_uid, transfer_syntax_uid = ENCODED_CT
    return sop_class_uid, sop_uid, transfer_syntax_uid


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
