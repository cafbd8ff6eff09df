"""The receiver against peers that send anything: what belongs here arrives whole, all else ends one association."""

import errno
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom.network import acceptor, commands, inbox
from dicom.network.commands import Message, Operation
from dicom.network.contexts import DEFLATED
from dicom.network.echo import VERIFICATION
from dicom.network.inbox import Inbox
from dicom.network.pdus import ABORT_PDU, RELEASE_REQUEST_PDU, PduSocket, data_pdus
from dicom.network.receiver import Receiver
from models.domain.errors import AditError, BadRequest, NoSpace, Unsupported
from tests.peers import free_port
from tests.unit.network.test_negotiation import extras, read_back, request

PACS = "PACS"
CT, PRIVATE, FIND = "1.2.840.10008.5.1.4.1.1.2", "1.2.276.0.99.1", "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT, EXPLICIT, JPEG, UNKNOWN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.70", "1.2.99.1"
COMMITMENT, N_EVENT_REPORT = "1.2.840.10008.1.20.1", 0x0100
CT_ID, ECHO_ID = 1, 3
CONTEXTS = {CT_ID: (CT, [EXPLICIT]), ECHO_ID: (VERIFICATION, [IMPLICIT])}
ACCEPT, REJECT, DATA, RELEASED, ABORTED = 2, 3, 4, 6, 7
UID = "1.2.3.4"
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Caller:
    """A peer that opens associations, as raw bytes."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=20)

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_error: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def pdu(self) -> tuple[int, bytes]:
        """Type and body of the next PDU; zero and nothing when the other side has closed."""
        try:
            head = self.exactly(6)
            return head[0], self.exactly(int.from_bytes(head[2:], "big"))
        except ConnectionError:
            return 0, b""

    def exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            piece = self.sock.recv(size - len(found))
            if not piece:
                raise ConnectionError
            found += piece
        return found

    def associated(self) -> "Caller":
        self.send(request(CONTEXTS))
        kind, _ = self.pdu()
        assert kind == ACCEPT
        return self

    def answer(self) -> Message:
        kind, body = self.pdu()
        assert kind == DATA, f"PDU of type {kind}"
        message, follows = commands.decoded(body[6:])
        assert not follows
        return message

    def status(self, data: bytes) -> int | None:
        self.send(data)
        return self.answer().status

    def is_let_down(self) -> bool:
        """Whether the other side aborts or closes, whatever it has said before."""
        while True:
            kind, _ = self.pdu()
            if kind in (ABORTED, 0):
                return True


def store(uid: str = UID, data: bytes | None = b"data", limit: int = 16384, context_id: int = CT_ID) -> bytes:
    return message(Message(Operation.STORE, CT, uid, 7), data, limit, context_id)


def message(sent: Message, data: bytes | None = None, limit: int = 16384, context_id: int = CT_ID) -> bytes:
    command = commands.encoded(sent, data is not None)
    return b"".join(data_pdus(context_id, command, None if data is None else (data,), limit))


def echo(context_id: int = ECHO_ID) -> bytes:
    return message(Message(Operation.ECHO, VERIFICATION, number=8), context_id=context_id)


def value(context_id: int, control: int, data: bytes) -> bytes:
    """A presentation data value."""
    return struct.pack(">IBB", len(data) + 2, context_id, control) + data


def p_data(*values: bytes) -> bytes:
    return struct.pack(">BxI", DATA, sum(map(len, values))) + b"".join(values)


def associations() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name in ("association", "acceptor")]


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end, "it does not come to that"
        time.sleep(0.005)


def leftovers(inbox: Inbox) -> list[Path]:
    return [path for path in inbox.root.rglob("*") if path.is_file() and path.name != "expected"]


class Site:
    """A running receiver that lets PACS in, and its inbox."""

    def __init__(self, directory: Path, room_bytes: int = 1 << 20) -> None:
        self.inbox = Inbox(directory, room_bytes)
        self.port = free_port()
        self.callers: Callable[[], list[str]] = lambda: [PACS]
        self.receiver = Receiver("127.0.0.1", self.port, self.inbox, lambda: self.callers())

    def caller(self) -> Caller:
        return Caller(self.port)

    def associated(self) -> Caller:
        return self.caller().associated()

    def answers_echo(self) -> bool:
        with self.associated() as other:
            return other.status(echo()) == 0


@contextmanager
def running(directory: Path, room_bytes: int = 1 << 20) -> Iterator[Site]:
    site = Site(directory, room_bytes)
    site.receiver.start()
    try:
        yield site
    finally:
        site.receiver.stop()
        assert associations() == [], "a thread is left"


@pytest.fixture
def a_site(tmp_path: Path) -> Iterator[Site]:
    with running(tmp_path / "inbox") as site:
        yield site


@pytest.fixture
def wires(monkeypatch: pytest.MonkeyPatch) -> list[PduSocket]:
    """The receiver's connections from now on."""
    found: list[PduSocket] = []

    def kept(sock: socket.socket, peer_host: str) -> PduSocket:
        found.append(PduSocket(sock, peer_host))
        return found[-1]

    monkeypatch.setattr(acceptor, "PduSocket", kept)
    return found


# --- negotiation


def negotiated(site: Site, contexts: dict[int, tuple[str, list[str]]]) -> list[tuple[int, str]]:
    """Result and transfer syntax of each context."""
    with site.caller() as caller:
        caller.send(request(contexts))
        kind, body = caller.pdu()
        assert kind == ACCEPT
        answer = read_back(struct.pack(">BxI", kind, len(body)) + body)
        results = answer.presentation_context_definition_results_list
        return [(one.result, str(one.transfer_syntax[0])) for one in results]


def test_the_sender_s_first_readable_syntax_is_chosen(a_site: Site) -> None:
    proposed = {1: (CT, [UNKNOWN, JPEG, IMPLICIT]), 3: (CT, [IMPLICIT, JPEG]), 5: (CT, [UNKNOWN])}
    assert negotiated(a_site, proposed) == [(0, JPEG), (0, IMPLICIT), (0, UNKNOWN)]


def test_private_classes_are_accepted_and_other_services_refused(a_site: Site) -> None:
    proposed = {1: (PRIVATE, [IMPLICIT]), 3: (FIND, [IMPLICIT]), 5: (VERIFICATION, [JPEG]), 7: (CT, [DEFLATED])}
    assert [result for result, _ in negotiated(a_site, proposed)] == [0, 3, 4, 0]


def test_what_a_request_asks_beyond_its_contexts_does_no_harm(a_site: Site) -> None:
    with a_site.caller() as caller:
        caller.send(request(CONTEXTS, items=extras()))
        assert caller.pdu()[0] == ACCEPT
        assert caller.status(echo()) == 0


def test_a_peer_s_limit_of_a_pdu_is_kept(a_site: Site) -> None:
    with a_site.caller() as caller:
        caller.send(request(CONTEXTS, limit=20))
        assert caller.pdu()[0] == ACCEPT
        caller.send(echo())
        command, is_last = b"", False
        while not is_last:
            kind, body = caller.pdu()
            assert kind == DATA and len(body) <= 20
            command += body[6:]
            is_last = bool(body[5] & 2)
        assert commands.decoded(command)[0].status == 0


def test_a_peer_that_takes_no_data_at_all_is_let_down(a_site: Site) -> None:
    with a_site.caller() as caller:
        caller.send(request(CONTEXTS, limit=8))
        assert caller.pdu()[0] == ABORTED


def an_error() -> list[str]:
    raise OSError("DOE^JOHN")


def rejection_by(site: Site) -> tuple[int, bytes]:
    """What a caller hears who is let down afterwards."""
    with site.caller() as caller:
        caller.send(request(CONTEXTS))
        answer = caller.pdu()
        assert caller.pdu() == (0, b"")
        return answer


@pytest.mark.parametrize("callers", [list, lambda: ["OTHER"]])
def test_who_is_not_known_is_rejected(a_site: Site, callers: Callable[[], list[str]]) -> None:
    a_site.callers = callers
    assert rejection_by(a_site) == (REJECT, bytes((0, 1, 1, 3)))


@pytest.mark.parametrize("callers", [an_error, lambda: None])
def test_while_nobody_can_tell_who_is_known_a_caller_is_asked_to_try_again(
    a_site: Site, callers: Callable[[], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    a_site.callers = callers
    assert rejection_by(a_site) == (REJECT, bytes((0, 2, 3, 1)))
    assert "the list of servers cannot be read" in caplog.text
    assert "DOE" not in caplog.text


def test_the_log_tells_from_where_somebody_came_who_is_refused_and_none_of_his_words(
    a_site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    a_site.callers = lambda: ["OTHER"]
    rejection_by(a_site)
    assert "from 127.0.0.1 was ended: its calling AE title" in caplog.text
    assert PACS not in caplog.text


def test_callers_are_asked_at_each_association(a_site: Site) -> None:
    answers = [["OTHER"], [" PACS "]]
    a_site.callers = lambda: answers.pop(0)
    with a_site.caller() as caller:
        caller.send(request(CONTEXTS))
        assert caller.pdu()[0] == REJECT
    assert a_site.answers_echo()


def test_another_version_of_the_protocol_is_rejected(a_site: Site) -> None:
    with a_site.caller() as caller:
        asked = request(CONTEXTS)
        caller.send(asked[:6] + b"\0\2" + asked[8:])
        assert caller.pdu() == (REJECT, bytes((0, 1, 2, 2)))


def test_one_association_too_many_is_rejected_until_another_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "MOST_ASSOCIATIONS", 2)
    with running(tmp_path / "inbox") as site, site.associated() as first, site.associated() as second:
        with site.caller() as caller:
            caller.send(request(CONTEXTS))
            assert caller.pdu() == (REJECT, bytes((0, 2, 3, 2)))
        first.send(RELEASE_REQUEST_PDU)
        assert first.pdu()[0] == RELEASED
        wait_until(site.answers_echo)
        assert second.status(echo()) == 0


def test_one_connection_too_many_is_closed_and_the_others_go_on(a_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "_MOST_CONNECTIONS", 1)
    with a_site.associated() as first, a_site.associated() as second, a_site.caller() as third:
        assert third.is_let_down()
        assert first.status(echo()) == second.status(echo()) == 0


def test_strangers_keep_nobody_out_who_is_known(a_site: Site) -> None:
    with ExitStack() as stack, a_site.inbox.expect([UID]):
        strangers = [stack.enter_context(a_site.caller()) for _ in range(acceptor._MOST_CONNECTIONS)]
        wait_until(lambda: len(associations()) == 1 + len(strangers))
        with a_site.associated() as known:
            assert known.status(store()) == 0
        assert strangers[0].is_let_down()
        strangers[-1].send(request(CONTEXTS))
        assert strangers[-1].pdu()[0] == ACCEPT


def test_an_association_never_makes_room_for_strangers(a_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "_MOST_CONNECTIONS", 2)
    with ExitStack() as stack, a_site.associated() as known:
        for _ in range(6):
            stack.enter_context(a_site.caller())
            wait_until(lambda: len(associations()) <= 3)
        assert known.status(echo()) == 0


@pytest.mark.parametrize("trouble", [RuntimeError("can't start new thread"), MemoryError()], ids=repr)
def test_a_connection_without_a_thread_is_closed_and_leaves_its_place_to_others(
    a_site: Site, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    def failing(_thread: threading.Thread) -> None:
        raise trouble

    monkeypatch.setattr(acceptor, "_MOST_CONNECTIONS", 2)
    with a_site.associated() as other:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", failing)
            with a_site.caller() as caller:
                assert caller.is_let_down()
        assert other.status(echo()) == 0
        assert a_site.answers_echo()


def test_an_acceptor_that_was_never_started_leaves_its_port_to_others() -> None:
    port = free_port()
    acceptor.Acceptor("127.0.0.1", port, SimpleNamespace()).stop()  # type: ignore[arg-type]
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_too_many_open_files_do_not_end_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    troubles = [OSError(errno.EMFILE, "Too many open files"), OSError(errno.ECONNABORTED, "gone")]

    class Listener(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            if troubles:
                raise troubles.pop()
            return super().accept()

    def listener(_host: str, port: int) -> socket.socket:
        found = socket.create_server(("127.0.0.1", port))
        return Listener(found.family, found.type, found.proto, found.detach())

    monkeypatch.setattr(acceptor, "_listener", listener)
    with running(tmp_path / "inbox") as site:
        assert site.answers_echo()
        assert troubles == []


def test_a_port_in_use_is_told(a_site: Site) -> None:
    for host in ("127.0.0.1", "no such host"):
        with pytest.raises(BadRequest):
            Receiver(host, a_site.port, a_site.inbox, list).start()
    assert a_site.answers_echo()


def test_each_pdu_is_sent_at_once(a_site: Site, wires: list[PduSocket]) -> None:
    with a_site.associated():
        assert wires[0].socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# --- messages


def test_echo_is_answered_in_any_context_and_cancel_is_passed_over(a_site: Site) -> None:
    with a_site.associated() as caller:
        caller.send(message(Message(Operation.CANCEL, number=1)))
        caller.send(echo())
        answer = caller.answer()
        assert (answer.operation, answer.status, answer.number) == (Operation.ECHO, 0, 8)
        assert (answer.sop_class_uid, answer.sop_uid) == (VERIFICATION, "")
        assert caller.status(echo(CT_ID)) == 0


def test_a_store_is_answered_when_the_instance_is_in_the_inbox(a_site: Site) -> None:
    with a_site.inbox.expect([UID]) as expectation, a_site.associated() as caller:
        caller.send(store())
        answer = caller.answer()
        assert (answer.operation, answer.status, answer.number) == (Operation.STORE, 0, 7)
        assert (answer.sop_class_uid, answer.sop_uid) == (CT, UID)
        (arrived,) = expectation.arrived()
    assert (arrived.sop_class_uid, arrived.sop_uid, arrived.transfer_syntax_uid) == (CT, UID, EXPLICIT)
    assert b"".join(arrived.parts) == b"data"


def test_a_store_without_a_class_is_one_of_its_context(a_site: Site) -> None:
    with a_site.inbox.expect([UID]) as expectation, a_site.associated() as caller:
        assert caller.status(message(Message(Operation.STORE, "", UID, 7), b"data")) == 0
        (arrived,) = expectation.arrived()
    assert arrived.sop_class_uid == CT


def test_many_instances_come_in_one_association_and_by_several_at_once(a_site: Site) -> None:
    uids = [f"1.2.{n}" for n in range(60)]
    statuses: list[int | None] = []

    def send(mine: list[str]) -> None:
        with a_site.associated() as caller:
            statuses.extend(caller.status(store(uid, uid.encode())) for uid in mine)

    with a_site.inbox.expect(uids) as expectation:
        senders = [threading.Thread(target=send, args=(uids[n::3],)) for n in range(3)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(20)
        arrived = {one.sop_uid: b"".join(one.parts).rstrip(b"\0") for one in expectation.arrived()}
    assert statuses == [0] * 60
    assert arrived == {uid: uid.encode() for uid in uids}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (store("1.9"), 0x0124),
        (store("1.2.DOE^JOHN"), 0x0124),
        (store(""), 0x0124),
        (store(data=None), 0x0110),
        (message(Message(Operation.FIND, FIND, number=1), b"keys"), 0x0211),
        (message(Message(Operation.MOVE, FIND, number=1)), 0x0211),
        (message(Message(Operation.OTHER, COMMITMENT, number=1, other_field=N_EVENT_REPORT), b"report"), 0x0211),
        (message(Message(Operation.OTHER, COMMITMENT, number=1, other_field=0x0140)), 0x0211),
    ],
    ids=[
        *("nobody waits", "no UID", "no UID at all", "no data set"),
        *("another operation", "one without data set", "an unknown one", "an unknown one without data set"),
    ],
)
def test_what_cannot_be_done_is_answered_and_the_association_goes_on(a_site: Site, sent: bytes, status: int) -> None:
    with a_site.inbox.expect([UID]), a_site.associated() as caller:
        assert caller.status(sent) == status
        assert caller.status(store()) == 0
    assert a_site.inbox.unwanted_count == (status == 0x0124)


def test_an_operation_that_is_not_known_is_answered_as_the_one_it_is(a_site: Site) -> None:
    with a_site.associated() as caller:
        caller.send(message(Message(Operation.OTHER, COMMITMENT, "1.2.5", 3, other_field=N_EVENT_REPORT), b"report"))
        answer = caller.answer()
        assert (answer.other_field, answer.status, answer.number) == (N_EVENT_REPORT, 0x0211, 3)
        assert (answer.sop_class_uid, answer.sop_uid) == (COMMITMENT, "1.2.5")


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 0xA700), (errno.EIO, 0x0110)])
def test_trouble_of_the_disk_reaches_the_sender(
    a_site: Site, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    def failing(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with a_site.inbox.expect([UID]) as expectation, a_site.associated() as caller:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", failing)
            assert caller.status(store()) == status
        assert list(expectation.arrived()) == []
        assert caller.status(store()) == 0


@pytest.mark.parametrize(("error", "status"), [(NoSpace(), 0xA700), (Unsupported("It is larger."), 0x0110)])
def test_an_instance_that_may_not_go_on_growing_is_refused_and_the_association_goes_on(
    a_site: Site, monkeypatch: pytest.MonkeyPatch, error: AditError, status: int
) -> None:
    def check_room(_size_bytes: int) -> None:
        raise error

    monkeypatch.setattr(inbox, "STEP_BYTES", 1000)
    monkeypatch.setattr(a_site.inbox, "check_room", check_room)
    with a_site.inbox.expect([UID]) as expectation, a_site.associated() as caller:
        assert caller.status(store(data=bytes(100_000))) == status
        assert list(expectation.arrived()) == []
        assert caller.status(store()) == 0


COMMAND = commands.encoded(Message(Operation.STORE, CT, UID, 7), has_data_set=True)


@given(st.binary(min_size=0, max_size=400), st.data())
@MANY
def test_an_instance_arrives_whole_in_whatever_pieces_it_comes(a_site: Site, data: bytes, draw: st.DataObject) -> None:
    values = [*cut(COMMAND, 1, draw), *cut(data, 0, draw)]
    sent = b""
    while values:
        count = draw.draw(st.integers(1, len(values)))
        if any(value[5] & 3 == 2 for value in values[: count - 1]):  # nothing may follow the last of a message
            count = len(values)
        sent += p_data(*values[:count])
        values = values[count:]
    with a_site.inbox.expect([UID]) as expectation, a_site.associated() as caller:
        for begin in range(0, len(sent), step := draw.draw(st.integers(1, 2 * len(sent)))):
            caller.send(sent[begin : begin + step])
        assert caller.answer().status == 0
        (arrived,) = expectation.arrived()
    assert b"".join(arrived.parts) == data


def cut(data: bytes, control: int, draw: st.DataObject) -> list[bytes]:
    """Values of a command or data set in random pieces, odd and empty ones too, the last one marked."""
    places = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=4)))
    pieces = [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)], strict=True)]
    return [value(CT_ID, control | (2 if n == len(pieces) - 1 else 0), piece) for n, piece in enumerate(pieces)]


# --- nonsense


HTTP = b"GET / HTTP/1.1\r\nHost: adit\r\nUser-Agent: scanner\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        HTTP,
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(500),
        b"\x01\0\xff\xff\xff\xff",
        b"\x01\0\0\0\0\x04abcd",
        request(CONTEXTS)[:5] + b"\xff" + request(CONTEXTS)[6:] + bytes(400),
        echo(),
        RELEASE_REQUEST_PDU,
        ABORT_PDU,
        bytes(6),
    ],
    ids=["HTTP", "TLS", "huge", "short", "wrong lengths", "a message", "release", "abort", "zeros"],
)
def test_who_does_not_ask_for_an_association_is_let_down(a_site: Site, sent: bytes) -> None:
    with a_site.associated() as other, a_site.caller() as caller:
        caller.send(sent)
        assert caller.is_let_down()
        assert other.status(echo()) == 0


@pytest.mark.parametrize(
    "sent",
    [
        request(CONTEXTS),
        HTTP,
        b"\x08\0\0\0\0\x04abcd",
        b"\x02\0\0\0\0\x04abcd",
        b"\x04\0\xff\xff\xff\xff" + value(CT_ID, 1, b"x"),
        p_data(b"\0\0\0\x01\x01"),
        p_data(struct.pack(">IBB", 100, CT_ID, 1) + b"x"),
        p_data(value(9, 3, COMMAND)),
        p_data(value(CT_ID, 3, COMMAND), value(ECHO_ID, 2, b"x")),
        p_data(value(CT_ID, 2, b"no command")),
        p_data(value(CT_ID, 3, COMMAND), value(CT_ID, 1, COMMAND)),
        p_data(value(CT_ID, 3, b"\xff" * 40)),
        p_data(value(CT_ID, 3, COMMAND[:-1])),
        p_data(value(CT_ID, 1, bytes(60_000))) * 2,
        message(Message(Operation.STORE, CT, UID, 7, status=0)),
        message(Message(Operation.STORE, CT, UID, 7, status=0), b"data"),
        store(context_id=ECHO_ID),
    ],
    ids=[
        *("second request", "HTTP", "unknown PDU", "accept", "huge PDU", "short value", "value longer than its PDU"),
        *("unknown context", "context changes", "data first", "two commands", "garbage", "half a command"),
        *("huge command", "an answer", "an answer with data", "store where only echo is"),
    ],
)
def test_nonsense_aborts_its_association_and_no_other(a_site: Site, sent: bytes) -> None:
    with a_site.inbox.expect([UID]), a_site.associated() as other, a_site.associated() as caller:
        caller.send(sent)
        assert caller.pdu()[0] == ABORTED
        assert caller.pdu() == (0, b"")
        assert other.status(store()) == 0


CONVERSATION = request(CONTEXTS) + store(data=bytes(range(200)), limit=100) + echo() + RELEASE_REQUEST_PDU


def pdu_ends(data: bytes) -> Iterator[int]:
    position = 0
    while position < len(data):
        position += 6 + int.from_bytes(data[position + 2 : position + 6], "big")
        yield position


def check_that_nothing_stays(site: Site, sent: bytes, resets: bool = False) -> None:
    with site.inbox.expect([UID]) as expectation, site.associated() as other:
        with site.caller() as caller, suppress(OSError):
            caller.send(sent)
            if resets:
                caller.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_until(lambda: len(associations()) == 2)
        arrived = list(expectation.arrived())
        assert [b"".join(one.parts) for one in arrived] == [bytes(range(200))] * len(arrived)
        assert leftovers(site.inbox) == []
        assert other.status(echo()) == 0


@given(st.integers(0, len(CONVERSATION)), st.booleans())
@MANY
def test_a_peer_that_goes_at_any_byte_leaves_nothing_behind(a_site: Site, count: int, resets: bool) -> None:
    check_that_nothing_stays(a_site, CONVERSATION[:count], resets)


@pytest.mark.parametrize("end", list(pdu_ends(CONVERSATION)))
def test_a_peer_that_aborts_after_any_pdu_leaves_nothing_behind(a_site: Site, end: int) -> None:
    check_that_nothing_stays(a_site, CONVERSATION[:end] + ABORT_PDU)


@given(st.data())
@MANY
def test_a_conversation_with_bytes_changed_ends(a_site: Site, draw: st.DataObject) -> None:
    sent = bytearray(CONVERSATION)
    for _ in range(draw.draw(st.integers(1, 4))):
        sent[draw.draw(st.integers(0, len(sent) - 1))] = draw.draw(st.integers(0, 255))
    with a_site.inbox.expect([UID]) as expectation:
        with a_site.caller() as caller, suppress(OSError):
            caller.send(bytes(sent))
            caller.sock.shutdown(socket.SHUT_WR)
            while caller.sock.recv(4096):
                pass
        wait_until(lambda: len(associations()) == 1)
        assert len(list(expectation.arrived())) <= 1
    assert leftovers(a_site.inbox) == []
    assert a_site.answers_echo()


@given(st.binary(max_size=3000))
@MANY
def test_any_bytes_in_an_association_end_it_or_are_answered(a_site: Site, sent: bytes) -> None:
    with a_site.associated() as caller, suppress(OSError):
        caller.send(sent)
        caller.sock.shutdown(socket.SHUT_WR)
        while caller.sock.recv(4096):
            pass
    wait_until(lambda: len(associations()) == 1)
    assert a_site.answers_echo()


def test_a_bug_ends_one_association_and_tells_nothing_of_a_patient(
    a_site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("DOE^JOHN")

    with a_site.associated() as other, a_site.associated() as caller, caplog.at_level(logging.DEBUG):
        with monkeypatch.context() as patched:
            patched.setattr(a_site.inbox, "receive", broken)
            caller.send(store())
            assert caller.is_let_down()
        assert other.status(echo()) == 0
    assert "RuntimeError" in caplog.text
    assert "DOE" not in caplog.text and UID not in caplog.text


# --- silence and the end


def test_a_request_that_never_becomes_whole_is_not_waited_for(a_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "_NEGOTIATION_S", 0.3)
    with a_site.caller() as silent, a_site.caller() as slow:
        with suppress(OSError):
            for byte in request(CONTEXTS) * 1000:  # more than the limit of time lets through
                slow.send(bytes((byte,)))
                time.sleep(0.01)
                if not associations()[1:]:
                    break
            else:
                pytest.fail("the request is still waited for")
        assert silent.is_let_down()
    assert a_site.answers_echo()


@pytest.mark.parametrize(
    ("name", "sent"), [("_IDLE_S", b""), ("_SILENCE_S", store()[:40]), ("_SILENCE_S", store()[:-2])]
)
def test_silence_ends_an_association_and_keeps_nothing(
    a_site: Site, monkeypatch: pytest.MonkeyPatch, name: str, sent: bytes
) -> None:
    monkeypatch.setattr(acceptor, name, 0.2)
    with a_site.inbox.expect([UID]) as expectation, a_site.associated() as caller:
        caller.send(sent)
        assert caller.is_let_down()
        assert list(expectation.arrived()) == []
    assert leftovers(a_site.inbox) == []


def test_a_peer_that_trickles_within_a_message_is_not_waited_for(a_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "_SILENCE_S", 0.3)
    with a_site.inbox.expect([UID]), a_site.associated() as caller:
        with suppress(OSError):
            for byte in store(data=bytes(5000)):  # more than the limit of time lets through
                caller.send(bytes((byte,)))
                time.sleep(0.005)
                if not associations()[1:]:
                    break
            else:
                pytest.fail("the message is still waited for")
        assert caller.is_let_down()
    assert leftovers(a_site.inbox) == []


def test_a_release_is_agreed_to_and_its_connection_ends(a_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "_PARTING_S", 0.2)
    with a_site.associated() as caller:
        caller.send(RELEASE_REQUEST_PDU)
        assert caller.pdu()[0] == RELEASED
        wait_until(lambda: len(associations()) == 1)  # although the caller does not close


def test_stop_ends_every_association_whatever_it_does(tmp_path: Path) -> None:
    with running(tmp_path / "inbox", room_bytes=1) as site, site.inbox.expect([UID, "1.5"]) as expectation:
        with (
            site.caller() as silent,
            site.associated() as idle,
            site.associated() as storing,
            site.associated() as full,
        ):
            assert storing.status(store("1.5")) == 0  # now there is no room any more
            storing.send(store(data=bytes(50_000))[:-1000])
            full.send(store())
            wait_until(lambda: len(associations()) == 5)
            site.receiver.stop()
            assert associations() == []
            assert all(caller.is_let_down() for caller in (silent, idle, storing, full))
            assert [one.sop_uid for one in expectation.arrived()] == ["1.5"]
            assert leftovers(site.inbox) == []
            assert not site.inbox.is_served
            with pytest.raises(OSError):
                site.caller()
        site.receiver.stop()  # harmless
        site.receiver.start()
        assert site.answers_echo()
        assert site.inbox.is_served


def test_a_caller_hears_that_the_receiver_stops(a_site: Site, wires: list[PduSocket]) -> None:
    with a_site.associated() as caller:
        assert caller.status(echo()) == 0
        wait_until(lambda: not wires[0].is_sending)
        a_site.receiver.stop()
        assert caller.pdu()[0] == ABORTED
