"""Our own engine against peers that send anything: each ends as the right error, soon, and nothing is left open."""

import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from io import BufferedRandom
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification
from pynetdicom.presentation import PresentationContext

from dicom.network import choose, commands, direct, probe, scratch
from dicom.network.association import NoContextAccepted
from dicom.network.commands import Message, Operation
from dicom.network.contexts import Context, retrieval, storage
from dicom.network.direct import DirectAssociation
from dicom.network.echo import echo
from dicom.network.find import DimseFinder
from dicom.network.get import GetRetriever
from dicom.network.inbox import Inbox
from dicom.network.move import MoveRetriever
from dicom.network.pdus import ABORT_PDU, RELEASE_REQUEST_PDU, RELEASE_RESPONSE_PDU, data_pdus
from dicom.network.reactor import ReactorAssociation
from dicom.network.store import DimseSender
from models.domain.errors import (
    AssociationRejected,
    Canceled,
    NoSpace,
    PeerBusy,
    PeerError,
    PeerLied,
    TimedOut,
    Unreachable,
    Unsupported,
)
from models.domain.instances import EncodedInstance, StoreOutcome, Verdict
from models.domain.nodes import Server, Timeouts, Tls
from models.domain.refs import Level, Selection, StudyQuery, StudyRef

US = "ADIT"
HERE = Path("/tmp")
CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
MODEL = "1.2.840.10008.5.1.4.1.2.2.3"
SHORT = Timeouts(*(timedelta(seconds=s) for s in (2, 2, 1, 1)))
STUDY = Selection(
    StudyRef("1.2.3"),
    Level.STUDY,
    sop_class_uids=frozenset({CT}),
    transfer_syntax_uids=frozenset({EXPLICIT}),
)
INSTANCE = EncodedInstance(CT, "1.2.3.4", EXPLICIT, (b"\x08\0\x16\0UI\x02\x00" + b"1\0",))
Script = Callable[["Peer"], None]


class Peer:
    """The other end of an accepted association, as raw bytes."""

    def __init__(self, sock: socket.socket, limit: int) -> None:
        self.sock = sock
        self.sock.settimeout(10)
        self.context_ids: dict[str, int] = {}
        self.limit = limit
        self.asked = Message(Operation.OTHER)
        self.context_id = 0

    def read_pdu(self) -> tuple[int, bytes]:
        head = self.exactly(6)
        return head[0], self.exactly(int.from_bytes(head[2:], "big"))

    def exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            piece = self.sock.recv(size - len(found))
            if not piece:
                raise ConnectionError
            found += piece
        return found

    def accept(self) -> None:
        kind, body = self.read_pdu()
        request = A_ASSOCIATE_RQ()
        request.decode(bytes((kind, 0)) + struct.pack(">I", len(body)) + body)
        asked = request.to_primitive()
        self.sock.sendall(self.acceptance(asked))

    def acceptance(self, asked: A_ASSOCIATE) -> bytes:
        answer = A_ASSOCIATE()
        answer.application_context_name = "1.2.840.10008.3.1.1.1"
        answer.calling_ae_title, answer.called_ae_title = asked.calling_ae_title, asked.called_ae_title
        answer.result, answer.result_source = 0, 1
        results = []
        for context in asked.presentation_context_definition_list:
            result = PresentationContext()
            result.context_id, result.result = context.context_id, 0
            result.transfer_syntax = [context.transfer_syntax[0]]
            results.append(result)
            if context.abstract_syntax != CT or context.transfer_syntax[0] == EXPLICIT:
                self.context_ids[str(context.abstract_syntax)] = context.context_id
        answer.presentation_context_definition_results_list = results
        length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
        length.maximum_length_received = self.limit
        implementation.implementation_class_uid = "1.2.3.4.5"
        answer.user_information = [length, implementation]
        accepted = A_ASSOCIATE_AC()
        accepted.from_primitive(answer)
        return accepted.encode()

    def read_message(self) -> None:
        """Read PDUs up to the end of a message."""
        follows = True
        while True:
            kind, body = self.read_pdu()
            if kind != 4:
                raise ConnectionError
            self.context_id = body[4]
            if body[5] & 1:
                self.asked, follows = commands.decoded(body[6:])
            if body[5] == 2 or not follows:
                return

    def agree_to_release(self) -> None:
        """Read what comes, and let the other side go when it asks to."""
        while True:
            kind, _ = self.read_pdu()
            if kind == 5:
                self.sock.sendall(RELEASE_RESPONSE_PDU)
                return

    def storing(self, uid: str = "1.2.3.4", data: bytes = b"1234", limit: int = 100) -> bytes:
        """A C-STORE request as it is sent during a C-GET."""
        command = commands.encoded(Message(Operation.STORE, CT, uid, number=1), has_data_set=True)
        return b"".join(data_pdus(self.context_ids[CT], command, (data,), limit))

    def got(self, status: int = 0, number: int | None = None) -> bytes:
        return self.answering(Message(Operation.GET, MODEL, number=number or self.asked.number, status=status))

    def stored(self, status: int = 0, sop_uid: str = "") -> bytes:
        return self.answering(Message(Operation.STORE, CT, sop_uid, self.asked.number, status))

    def answering(self, message: Message) -> bytes:
        """A message without a data set as it is sent, in the context of the last request."""
        return b"".join(data_pdus(self.context_id, commands.encoded(message, has_data_set=False), None, 200))


@contextmanager
def a_peer(script: Script, limit: int = 16384, accepts: bool = True) -> Iterator[Server]:
    """A server that accepts one association after the other and does what the script says."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)
    is_over = threading.Event()

    def serve() -> None:
        while not is_over.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock, suppress(OSError, ConnectionError):
                peer = Peer(sock, limit)
                if accepts:
                    peer.accept()
                script(peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    port = listener.getsockname()[1]
    fields = {f"study_root_{word}_support": True for word in ("find", "get", "move")} | {"store_scp_support": True}
    try:
        yield Server("peer", "PEER", "127.0.0.1", port, timeouts=SHORT, **fields)  # type: ignore[arg-type]
    finally:
        is_over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(15)
        assert not thread.is_alive()


def retrieved(server: Server) -> list[EncodedInstance]:
    found: list[EncodedInstance] = []
    with GetRetriever(server, US, HERE) as retriever:
        retriever.retrieve(STUDY, found.append)
    return found


def after_the_request(*pieces: Callable[[Peer], bytes]) -> Script:
    def script(peer: Peer) -> None:
        peer.read_message()
        for piece in pieces:
            peer.sock.sendall(piece(peer))
        peer.agree_to_release()

    return script


def test_instances_arrive_byte_for_byte_whatever_the_size_of_the_pieces() -> None:
    data = bytes(range(256)) * 40
    for limit in (16, 64, 16384, 1 << 20):
        with a_peer(
            after_the_request(lambda peer, limit=limit: peer.storing("1.2.3", data, limit), Peer.got)
        ) as server:
            (instance,) = retrieved(server)
        assert b"".join(instance.parts) == data
        assert (instance.sop_uid, instance.transfer_syntax_uid) == ("1.2.3", EXPLICIT)


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.binary(min_size=2, max_size=400))
def test_instances_arrive_whatever_pieces_the_network_makes(cuts: list[int], data: bytes) -> None:
    even = data + b"\0" * (len(data) % 2)

    def script(peer: Peer) -> None:
        peer.read_message()
        stream = peer.storing("1.2.3", even, 40) + peer.got()
        for cut in cuts:
            peer.sock.sendall(stream[:cut])
            stream = stream[cut:]
        peer.sock.sendall(stream)
        peer.agree_to_release()

    with a_peer(script) as server:
        (instance,) = retrieved(server)
    assert b"".join(instance.parts) == even


LARGE = bytes(range(256)) * (40 << 10)
"""10 MB: more than is kept in memory."""


def open_files(directory: str, pid: int | str = "self") -> list[str]:
    """The files of a directory that a process has open, also those without a name."""
    found: list[str] = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(link.readlink()))
    return [file for file in found if file.startswith(directory)]


def test_a_large_instance_is_in_a_file_without_a_name_for_as_long_as_somebody_has_it(tmp_path: Path) -> None:
    found: list[tuple[EncodedInstance, list[Path], list[str]]] = []
    with (
        a_peer(after_the_request(lambda peer: peer.storing("1.2.3", LARGE, 1 << 17), Peer.storing, Peer.got)) as server,
        GetRetriever(server, US, tmp_path) as retriever,
    ):
        retriever.retrieve(
            STUDY, lambda instance: found.append((instance, list(tmp_path.iterdir()), open_files(str(tmp_path))))
        )
    (large, names, opened), (small, _, _) = found
    assert names == []
    assert opened
    assert b"".join(large.parts) == LARGE
    assert b"".join(small.parts) == b"1234"
    del large
    found.clear()
    assert not open_files(str(tmp_path))


@pytest.mark.parametrize("uses_pynetdicom", [False, True], ids=["direct", "pynetdicom"])
def test_a_large_data_set_that_is_no_instance_is_a_lie(uses_pynetdicom: bool) -> None:
    with (
        a_peer(after_the_request(lambda peer: peer.storing("1.2.3", LARGE, 1 << 17))) as server,
        DimseSender(replace(server, uses_pynetdicom=uses_pynetdicom), US) as sender,
        pytest.raises(PeerLied, match="no DICOM message"),
    ):
        sender.send(INSTANCE)


def sending_a_large_instance(is_over: threading.Event) -> Callable[[Peer], None]:
    """A peer that begins to send a large instance, and tells when the association is over."""

    def script(peer: Peer) -> None:
        peer.read_message()
        with suppress(OSError):
            peer.sock.sendall(peer.storing("1.2.3", LARGE, 1 << 17))
            while peer.sock.recv(1000):
                pass
        is_over.set()

    return script


def test_a_full_scratch_folder_breaks_the_association_off_and_is_said_to_be_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over = threading.Event()

    def full(dir: Path, buffering: int) -> BufferedRandom:
        return Path("/dev/full").open("w+b", buffering=buffering)

    monkeypatch.setattr(scratch.tempfile, "TemporaryFile", full)
    with a_peer(sending_a_large_instance(is_over)) as server, GetRetriever(server, US, tmp_path) as retriever:
        with pytest.raises(NoSpace, match="scratch folder"):
            retriever.retrieve(STUDY, lambda _: None)
        assert is_over.wait(10), "the server was not told"
    assert not open_files("/dev/full")


@pytest.mark.parametrize("uses_pynetdicom", [False, True], ids=["direct", "pynetdicom"])
def test_a_large_instance_that_may_not_go_on_growing_breaks_the_association_off(
    uses_pynetdicom: bool, tmp_path: Path
) -> None:
    is_over = threading.Event()
    asked: list[int] = []

    def check_room(size_bytes: int) -> None:
        asked.append(size_bytes)
        raise NoSpace

    local = choose.Local(US, "RECV", Inbox(tmp_path / "inbox"), tmp_path / "is not even looked at", check_room)
    with a_peer(sending_a_large_instance(is_over)) as plain:
        server = replace(plain, study_root_get_support=True, uses_pynetdicom=uses_pynetdicom)
        with choose.retriever(server, local) as retriever, pytest.raises(NoSpace):
            retriever.retrieve(STUDY, lambda _: None)
        assert is_over.wait(10), "the server was not told"
    assert len(asked) == 1 and asked[0] > 8 << 20


@pytest.mark.parametrize("uses_pynetdicom", [False, True], ids=["direct", "pynetdicom"])
def test_the_room_is_asked_for_each_large_instance_anew(uses_pynetdicom: bool, tmp_path: Path) -> None:
    asked: list[int] = []
    pieces = [lambda peer, uid=uid: peer.storing(uid, LARGE, 1 << 17) for uid in ("1.2.3", "1.2.4")]
    with (
        a_peer(after_the_request(*pieces, Peer.storing, Peer.got)) as server,
        GetRetriever(replace(server, uses_pynetdicom=uses_pynetdicom), US, tmp_path, asked.append) as retriever,
    ):
        retriever.retrieve(STUDY, lambda _: None)
    assert [size > scratch.SPILL_BYTES for size in asked] == [True, True]


@pytest.mark.parametrize("ending", [ABORT_PDU, b""])
def test_a_large_instance_that_breaks_off_leaves_no_file(tmp_path: Path, ending: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.read_message()
        peer.sock.sendall(peer.storing("1.2.3", LARGE, 1 << 17)[: 9 << 20 >> 17 << 17] + ending)

    with (
        a_peer(script) as server,
        GetRetriever(server, US, tmp_path) as retriever,
        pytest.raises(PeerError),
    ):
        retriever.retrieve(STUDY, lambda _: None)
    assert not open_files(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_nothing_of_a_large_instance(tmp_path: Path) -> None:
    is_spilled, release = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.read_message()
        peer.sock.sendall(peer.storing("1.2.3", LARGE, 1 << 17)[:-100])
        is_spilled.set()
        release.wait(20)

    with a_peer(script) as server:
        code = RETRIEVING.format(port=server.port, scratch=str(tmp_path))
        process = subprocess.Popen([sys.executable, "-c", code])
        try:
            assert is_spilled.wait(30)
            while not open_files(str(tmp_path), process.pid):
                assert process.poll() is None
        finally:
            process.kill()
            process.wait(10)
            release.set()
    assert list(tmp_path.iterdir()) == []


RETRIEVING = """
from pathlib import Path
from dicom.network.get import GetRetriever
from models.domain.nodes import Server
from models.domain.refs import Level, Selection, StudyRef

server = Server("peer", "PEER", "127.0.0.1", {port}, study_root_get_support=True)
study = Selection(
    StudyRef("1.2.3"),
    Level.STUDY,
    sop_class_uids=frozenset({{"1.2.840.10008.5.1.4.1.1.2"}}),
    transfer_syntax_uids=frozenset({{"1.2.840.10008.1.2.1"}}),
)
GetRetriever(server, "ADIT", Path("{scratch}")).retrieve(study, print)
"""


def a_pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    return struct.pack(">BxI", kind, len(body) if length is None else length) + body


def a_value(context_id: int, control: int, content: bytes, length: int | None = None) -> bytes:
    size = len(content) + 2 if length is None else length
    return struct.pack(">IBB", size, context_id, control) + content


NONSENSE: dict[str, Callable[[Peer], bytes]] = {
    "an unknown type": lambda _: a_pdu(9, b"12345678"),
    "type 0": lambda _: a_pdu(0, b""),
    "another request": lambda _: a_pdu(1, b"12345678"),
    "a PDU of 4 GiB": lambda _: a_pdu(4, b"", 0xFFFFFFFF),
    "a value longer than its PDU": lambda peer: a_pdu(4, a_value(peer.context_ids[CT], 3, b"12", 4000)),
    "a value of length 0": lambda peer: a_pdu(4, a_value(peer.context_ids[CT], 3, b"12", 0)),
    "a value of length 1": lambda peer: a_pdu(4, a_value(peer.context_ids[CT], 3, b"12", 1)),
    "half a value's head": lambda _: a_pdu(4, b"\0\0\0"),
    "a context that was not accepted": lambda _: a_pdu(4, a_value(200, 3, b"12")),
    "the context 0": lambda _: a_pdu(4, a_value(0, 3, b"12")),
    "a data set before a command": lambda peer: a_pdu(4, a_value(peer.context_ids[CT], 2, b"12")),
    "a command that is none": lambda peer: a_pdu(4, a_value(peer.context_ids[CT], 3, b"123456")),
    "an endless command": lambda peer: a_pdu(4, a_value(peer.context_ids[CT], 1, b"x" * 70_000)),
    "two commands for one data set": lambda peer: peer.storing()[: -len(b"1234") - 12] * 2,
    "more behind the last value": lambda peer: a_pdu(
        4, a_value(peer.context_ids[MODEL], 3, peer.got()[12:]) + a_value(peer.context_ids[MODEL], 3, b"1234")
    ),
    "a message in two contexts": lambda peer: (
        a_pdu(4, a_value(peer.context_ids[CT], 1, b"12")) + a_pdu(4, a_value(peer.context_ids[MODEL], 3, b"12"))
    ),
    "an instance without a UID": lambda peer: peer.storing(""),
    "an answer to another question": lambda peer: peer.stored(),
    "an answer to another message": lambda peer: peer.got(number=7),
    "a request that nobody knows": lambda peer: peer.answering(Message(Operation.OTHER, MODEL, other_field=0x140)),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_is_a_lie(what: str) -> None:
    with a_peer(after_the_request(NONSENSE[what])) as server, pytest.raises(PeerLied) as caught:
        retrieved(server)
    assert "1.2.3" not in str(caught.value)


@pytest.mark.parametrize("percent", range(0, 100, 3))
def test_an_end_at_any_byte_breaks_the_association(percent: int) -> None:
    def script(peer: Peer) -> None:
        peer.read_message()
        stream = peer.storing() + peer.got()
        peer.sock.sendall(stream[: len(stream) * percent // 100])

    with a_peer(script) as server, pytest.raises(PeerError, match="broke off"):
        retrieved(server)


@pytest.mark.parametrize("ending", [ABORT_PDU, RELEASE_REQUEST_PDU, RELEASE_RESPONSE_PDU])
def test_an_abort_or_a_release_in_the_middle_breaks_the_association(ending: bytes) -> None:
    with (
        a_peer(after_the_request(Peer.storing, lambda _: ending)) as server,
        pytest.raises(PeerError, match="broke off"),
    ):
        retrieved(server)


@pytest.mark.parametrize("cut", [0, 3, 50])
def test_silence_at_any_byte_is_a_time_out(cut: int) -> None:
    release = threading.Event()

    def script(peer: Peer) -> None:
        peer.read_message()
        peer.sock.sendall(peer.storing()[:cut])
        release.wait(10)

    with a_peer(script) as server:
        with pytest.raises(TimedOut):
            retrieved(server)
        release.set()


def test_silence_during_negotiation_is_a_time_out() -> None:
    release = threading.Event()
    with a_peer(lambda _: release.wait(10) and None, accepts=False) as server:
        with pytest.raises(TimedOut, match="request for an association"):
            retrieved(server)
        release.set()


@pytest.mark.parametrize(
    "answer", [b"", b"\2\0", b"\2\0\0\0\0\4abcd", b"\2\0\xff\xff\xff\xff", ABORT_PDU, b"HTTP/1.1 400"]
)
def test_whatever_is_no_acceptance_ends_the_negotiation(answer: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.read_pdu()
        peer.sock.sendall(answer)

    with a_peer(script, accepts=False) as server, pytest.raises((AssociationRejected, PeerLied, Unsupported)):
        retrieved(server)


def test_what_is_no_dicom_is_told_as_the_wrong_port() -> None:
    """The port of an archive's pages, for one."""

    def script(peer: Peer) -> None:
        peer.read_pdu()
        peer.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with a_peer(script, accepts=False) as server, pytest.raises(PeerLied, match="port"):
        retrieved(server)


def trickle(peer: Peer, beginning: bytes) -> None:
    """Send so little at a time that no single wait is long, and then hang up."""
    peer.sock.sendall(beginning)
    for _ in range(80):
        time.sleep(0.1)
        peer.sock.sendall(b"\0")


def test_an_answer_to_the_request_that_trickles_is_a_time_out() -> None:
    def script(peer: Peer) -> None:
        peer.read_pdu()
        trickle(peer, a_pdu(2, b"", 4000))

    with a_peer(script, accepts=False) as server, pytest.raises(TimedOut, match="request for an association"):
        sent(server)


def test_a_message_that_trickles_is_a_time_out() -> None:
    def script(peer: Peer) -> None:
        peer.read_message()
        trickle(peer, peer.storing(data=bytes(40_000), limit=1 << 17)[:-39_000])

    with a_peer(script) as server, pytest.raises(TimedOut):
        retrieved(replace(server, timeouts=replace(SHORT, negotiation=timedelta(seconds=60))))


def test_a_release_that_trickles_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "_RELEASE_PATIENCE_S", 0.3)
    has_hung_up = threading.Event()

    def script(peer: Peer) -> None:
        peer.read_message()
        peer.sock.sendall(peer.stored())
        peer.read_pdu()
        try:
            trickle(peer, a_pdu(4, b"", 4000))
        except OSError:
            has_hung_up.set()

    with a_peer(script) as server:
        assert sent(replace(server, timeouts=Timeouts())).verdict is Verdict.STORED
        assert has_hung_up.wait(20)


@pytest.mark.parametrize("hello", [0, 1000], ids=["at once", "after our hello"])
def test_a_peer_that_hangs_up_during_the_tls_handshake_is_tried_again(hello: int) -> None:
    def script(peer: Peer) -> None:
        if hello:
            peer.sock.recv(hello)

    with a_peer(script, accepts=False) as server, pytest.raises(Unreachable):
        sent(replace(server, tls=Tls()))


def test_a_peer_that_does_not_speak_tls_is_not_tried_again() -> None:
    def script(peer: Peer) -> None:
        peer.sock.recv(1000)
        peer.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with a_peer(script, accepts=False) as server, pytest.raises(Unsupported, match="TLS"):
        sent(replace(server, tls=Tls()))


def test_a_rejection_is_told_with_its_reason() -> None:
    def script(peer: Peer) -> None:
        peer.read_pdu()
        rejection = A_ASSOCIATE_RJ()
        rejection.result, rejection.source, rejection.reason_diagnostic = 1, 1, 7
        peer.sock.sendall(rejection.encode())

    with a_peer(script, accepts=False) as server, pytest.raises(AssociationRejected, match="called AE title"):
        retrieved(server)


@pytest.mark.parametrize("uses_pynetdicom", [False, True], ids=["direct", "pynetdicom"])
@pytest.mark.parametrize("limit", [1, 6, 7, 15])
def test_a_peer_that_takes_next_to_nothing_is_not_sent_to(limit: int, uses_pynetdicom: bool) -> None:
    with a_peer(after_the_request(), limit=limit) as server, pytest.raises(PeerLied, match=f" {limit} bytes"):
        sent(replace(server, uses_pynetdicom=uses_pynetdicom))


@pytest.mark.parametrize(
    ("status", "verdict"), [(0, Verdict.STORED), (0xB000, Verdict.STORED_WITH_WARNING), (0xC000, Verdict.REFUSED)]
)
def test_an_instance_is_stored_and_the_answer_told(status: int, verdict: Verdict) -> None:
    def script(peer: Peer) -> None:
        for _ in range(3):
            peer.read_message()
            peer.sock.sendall(peer.stored(status))
        peer.agree_to_release()

    with a_peer(script) as server, DimseSender(server, US) as sender:
        assert [sender.send(INSTANCE).verdict for _ in range(3)] == [verdict] * 3


ASKING: dict[str, Callable[[Server, Path], object]] = {
    "C-ECHO": lambda server, _: echo(server, US),
    "C-FIND": lambda server, _: list(DimseFinder(server, US).find_studies(StudyQuery())),
    "C-GET": lambda server, _: retrieved(server),
    "C-MOVE": lambda server, root: moved(server, root),
    "the test of C-MOVE": lambda server, _: probe.move_nothing(server, US, US, SHORT.response),
    "C-STORE": lambda server, _: sent(server),
}


def moved(server: Server, root: Path) -> None:
    inbox = Inbox(root)
    with inbox.served(), MoveRetriever(server, US, US, inbox) as retriever:
        retriever.retrieve(replace(STUDY, sop_uids=("1.2.3.4",)), lambda _: None)


def sent(server: Server) -> StoreOutcome:
    with DimseSender(server, US) as sender:
        return sender.send(INSTANCE)


@pytest.mark.parametrize("uses_pynetdicom", [False, True], ids=["direct", "pynetdicom"])
@pytest.mark.parametrize("what", ASKING)
def test_a_success_for_another_message_is_a_lie(what: str, uses_pynetdicom: bool, tmp_path: Path) -> None:
    def script(peer: Peer) -> None:
        peer.read_message()
        peer.sock.sendall(peer.answering(replace(peer.asked.answer(0), number=peer.asked.number + 6)))
        with suppress(ConnectionError):
            peer.agree_to_release()

    with a_peer(script) as server, pytest.raises(PeerLied, match="another message"):
        ASKING[what](replace(server, uses_pynetdicom=uses_pynetdicom), tmp_path)


@pytest.mark.parametrize("uses_pynetdicom", [False, True], ids=["direct", "pynetdicom"])
def test_a_success_for_another_instance_is_a_lie(uses_pynetdicom: bool) -> None:
    other = after_the_request(lambda peer: peer.stored(sop_uid="1.2.3.5"))
    with a_peer(other) as server, pytest.raises(PeerLied, match="another message"):
        sent(replace(server, uses_pynetdicom=uses_pynetdicom))


@pytest.mark.parametrize("sop_uid", ["", INSTANCE.sop_uid])
def test_an_answer_need_not_name_the_instance(sop_uid: str) -> None:
    with a_peer(after_the_request(lambda peer: peer.stored(sop_uid=sop_uid))) as server:
        assert sent(server).verdict is Verdict.STORED


def test_a_late_answer_is_not_taken_for_that_to_the_next_instance() -> None:
    def script(peer: Peer) -> None:
        for _ in range(2):
            peer.read_message()
            peer.sock.sendall(peer.answering(replace(peer.asked.answer(0), number=1)))

    with a_peer(script) as server, DimseSender(server, US) as sender:
        assert sender.send(INSTANCE).verdict is Verdict.STORED
        with pytest.raises(PeerLied):
            sender.send(INSTANCE)


def test_a_full_archive_is_busy() -> None:
    with (
        a_peer(after_the_request(lambda peer: peer.stored(0xA700))) as server,
        DimseSender(server, US) as sender,
        pytest.raises(PeerBusy),
    ):
        sender.send(INSTANCE)


def test_an_archive_that_has_released_gets_a_new_association() -> None:
    def script(peer: Peer) -> None:
        peer.read_message()
        peer.sock.sendall(peer.stored())
        peer.sock.sendall(RELEASE_REQUEST_PDU)
        with suppress(OSError):
            peer.read_pdu()

    with a_peer(script) as server, DimseSender(server, US) as sender:
        for _ in range(2):
            assert sender.send(INSTANCE).verdict is Verdict.STORED
            first = sender._association
            while first is not None and first.is_usable:
                pass


def test_a_peer_that_stops_reading_is_given_up() -> None:
    release = threading.Event()
    large = EncodedInstance(CT, "1.2.3.4", EXPLICIT, (bytes(64 << 20),))
    with a_peer(lambda _: release.wait(20) and None) as server, DimseSender(server, US) as sender:
        with pytest.raises(TimedOut, match="takes no data"):
            sender.send(large)
        release.set()


@pytest.mark.parametrize("moment", ["receiving", "sending"])
def test_an_abort_from_another_thread_ends_what_is_blocked(moment: str) -> None:
    release = threading.Event()
    large = EncodedInstance(CT, "1.2.3.4", EXPLICIT, (bytes(64 << 20) if moment == "sending" else b"12",))
    patient = Timeouts(*(timedelta(seconds=30) for _ in range(4)))
    with a_peer(lambda _: release.wait(20) and None) as server:
        sender = DimseSender(Server(**{**_fields(server), "timeouts": patient}), US)
        timer = threading.Timer(0.3, sender.abort)
        timer.start()
        with sender, pytest.raises(Canceled):
            sender.send(large)
        release.set()
        timer.join()


def _fields(server: Server) -> dict[str, object]:
    return {name: getattr(server, name) for name in server.__dataclass_fields__}


def test_a_server_that_accepts_no_storage_class_is_unsupported() -> None:
    def script(peer: Peer) -> None:
        kind, body = peer.read_pdu()
        request = A_ASSOCIATE_RQ()
        request.decode(bytes((kind, 0)) + struct.pack(">I", len(body)) + body)
        asked = request.to_primitive()
        asked.presentation_context_definition_list = [
            context for context in asked.presentation_context_definition_list if str(context.abstract_syntax) == MODEL
        ]
        peer.sock.sendall(peer.acceptance(asked))
        peer.agree_to_release()

    with a_peer(script, accepts=False) as server, pytest.raises(Unsupported):
        retrieved(server)


@settings(deadline=None, max_examples=120, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=300), st.integers(0, 200), st.booleans())
def test_any_bytes_end_as_an_error_of_ours(noise: bytes, position: int, keeps_beginning: bool) -> None:
    """A fuzz run: noise alone, or noise within a valid exchange."""

    def script(peer: Peer) -> None:
        peer.read_message()
        valid = peer.storing() + peer.got()
        stream = valid[:position] + noise + valid[position + len(noise) :] if keeps_beginning else noise
        peer.sock.sendall(stream)

    with a_peer(script) as server, suppress(PeerError):
        retrieved(server)


def an_item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


SYNTAX = an_item(0x40, EXPLICIT.encode())
USER_INFORMATION = an_item(0x50, an_item(0x51, struct.pack(">I", 16384)) + an_item(0x52, b"1.2.3"))


def an_answer(context: bytes, user_information: bytes = USER_INFORMATION) -> bytes:
    """An A-ASSOCIATE-AC with what is said of context 1, under result 0 or another."""
    return a_pdu(2, b"\0\1" + bytes(66) + an_item(0x21, b"\1\0" + context) + user_information)


ACCEPTED = b"\0\0" + SYNTAX
TAKEN = {
    "a long version": an_answer(ACCEPTED, an_item(0x50, an_item(0x55, b"A" * 20))),
    "a version that is no ASCII": an_answer(ACCEPTED, an_item(0x50, an_item(0x55, b"V\xe41"))),
    "an unknown user item": an_answer(ACCEPTED, an_item(0x50, an_item(0xF0, b"xx"))),
    "roles": an_answer(ACCEPTED, an_item(0x50, an_item(0x54, struct.pack(">H", len(CT)) + CT.encode() + b"\0\1"))),
    "no user information": an_answer(ACCEPTED, b""),
    "an unknown item": an_answer(ACCEPTED, USER_INFORMATION + an_item(0x99, b"?")),
    "a padded syntax": an_answer(b"\0\0" + an_item(0x40, EXPLICIT.encode() + b"\0")),
    "nonsense for a context that is not accepted": an_answer(
        ACCEPTED, an_item(0x21, b"\3\0\3\0\xff") + USER_INFORMATION
    ),
}


@pytest.mark.parametrize("what", TAKEN)
def test_what_means_nothing_to_us_in_an_acceptance_is_read_over(what: str) -> None:
    def script(peer: Peer) -> None:
        peer.read_pdu()
        peer.sock.sendall(TAKEN[what])
        peer.read_message()
        peer.sock.sendall(peer.stored())
        peer.agree_to_release()

    with a_peer(script, accepts=False) as server:
        assert sent(server).verdict is Verdict.STORED


@pytest.mark.parametrize("kind", [DirectAssociation, ReactorAssociation])
@pytest.mark.parametrize("context", [b"\0\0", b"\0\0" + an_item(0x40, b""), b"\3\0", b"\4\0" + SYNTAX])
def test_a_context_without_its_syntax_is_not_accepted(
    context: bytes, kind: type[DirectAssociation] | type[ReactorAssociation]
) -> None:
    def script(peer: Peer) -> None:
        peer.read_pdu()
        peer.sock.sendall(an_answer(context))
        peer.agree_to_release()

    with a_peer(script, accepts=False) as server:
        association = kind(server, US, storage((Context(CT, EXPLICIT),)))
        with pytest.raises(NoContextAccepted):
            association.open()
        assert association._wire is None


def test_a_bug_in_the_negotiation_leaves_no_connection_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(_: bytes) -> None:
        raise IndexError

    monkeypatch.setattr(direct, "decoded_acceptance", stumble)
    ended = threading.Event()

    def script(peer: Peer) -> None:
        assert peer.read_pdu()[0] == 7
        ended.set()

    with a_peer(script) as server:
        association = DirectAssociation(server, US, retrieval(MODEL, STUDY))
        with pytest.raises(IndexError):
            association.open()
        assert association._wire is None
        assert ended.wait(10)


def without_family(found: list[Any]) -> Callable[..., list[Any]]:
    """Addresses of a host, the first of them of a family that this kernel does not have."""
    return lambda *_, **__: [(200, socket.SOCK_STREAM, 0, "", ("::1", 104)), *found]


def test_an_address_family_that_the_kernel_lacks_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_peer(after_the_request(Peer.stored)) as server:
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", without_family(found))
        assert sent(server).verdict is Verdict.STORED
        probe.reach(server.host, server.port, SHORT.connect)


def test_a_server_with_no_address_for_this_kernel_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", without_family([]))
    server = Server("peer", "PEER", "127.0.0.1", 104)
    with pytest.raises(Unreachable):
        echo(server, US)
    with pytest.raises(Unreachable):
        probe.reach(server.host, server.port, SHORT.connect)


def test_an_association_has_no_thread_of_its_own() -> None:
    before = threading.active_count()
    with a_peer(after_the_request()) as server:
        association = DirectAssociation(server, US, retrieval(MODEL, STUDY))
        association.open()
        assert threading.active_count() == before + 1  # the peer's
        association.break_off()
