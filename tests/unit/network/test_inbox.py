"""The inbox hands an instance to whoever waits for it, to nobody else, and leaves nothing behind."""

import errno
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from dicom.mapping import give_back
from dicom.network import inbox as inbox_module
from dicom.network.inbox import Inbox
from dicom.part10 import part10_prefix
from models.domain.errors import AditError, NoSpace, Unsupported, WriteFailed
from models.domain.instances import EncodedInstance
from tests.resident import resident_bytes

CT, ELE = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"


@pytest.fixture
def an_inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "spool" / "inbox")


def receive(inbox: Inbox, sop_uid: str, data: bytes = b"data set") -> int:
    arrival = inbox.receive(sop_uid, part10_prefix(CT, sop_uid, ELE))
    for begin in range(0, len(data), 1 << 20):
        arrival.write(data[begin : begin + (1 << 20)])
    return arrival.deliver()


def joined(instance: EncodedInstance) -> bytes:
    return b"".join(instance.parts)


def leftovers(inbox: Inbox) -> list[Path]:
    return [path for path in inbox.root.rglob("*") if path.is_file()]


def test_an_instance_reaches_the_retrieval_that_waits_for_it(an_inbox: Inbox) -> None:
    with an_inbox.expect(["1.2", "1.3"]) as expectation:
        assert receive(an_inbox, "1.2") == 1
        (instance,) = expectation.arrived()
        assert (instance.sop_class_uid, instance.sop_uid, instance.transfer_syntax_uid) == (CT, "1.2", ELE)
        assert joined(instance) == b"data set"
        assert list(expectation.arrived()) == [], "it was given out twice"
    assert leftovers(an_inbox) == []


def test_what_nobody_waits_for_is_not_kept(an_inbox: Inbox) -> None:
    with an_inbox.expect(["1.2"]):
        assert receive(an_inbox, "1.9") == 0
    assert receive(an_inbox, "1.2") == 0
    assert an_inbox.unwanted_count == 2
    assert leftovers(an_inbox) == []


def test_an_instance_without_a_uid_belongs_to_nobody(an_inbox: Inbox) -> None:
    with an_inbox.expect([]), an_inbox.expect(["1.2"]):
        assert receive(an_inbox, "") == 0


def test_two_retrievals_of_the_same_study_both_get_everything(an_inbox: Inbox) -> None:
    with an_inbox.expect(["1.2", "1.3"]) as first, Inbox(an_inbox.root).expect(["1.3", "1.2"]) as second:
        assert [receive(an_inbox, uid) for uid in ("1.2", "1.3")] == [2, 2]
        assert [instance.sop_uid for instance in first.arrived()] == ["1.2", "1.3"]
        assert {instance.sop_uid for instance in second.arrived()} == {"1.2", "1.3"}


def test_a_retrieval_that_takes_its_link_at_once_does_not_take_it_from_another(
    an_inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with an_inbox.expect(["1.2"]) as first, an_inbox.expect(["1.2"]) as second:
        link, taken = inbox_module._link, list[EncodedInstance]()

        def link_and_take(path: Path, directory: Path) -> bool:
            is_linked = link(path, directory)
            taken.extend([*first.arrived(), *second.arrived()])
            return is_linked

        monkeypatch.setattr(inbox_module, "_link", link_and_take)
        assert receive(an_inbox, "1.2") == 2
        assert len(taken) == 2


def test_large_instances_are_mapped_and_their_file_is_gone_before_they_are_handed_over(an_inbox: Inbox) -> None:
    data = os.urandom(inbox_module.MAPPED_FROM_BYTES)
    with an_inbox.expect(["1.2"]) as expectation:
        receive(an_inbox, "1.2", data)
        (instance,) = expectation.arrived()
        assert {path.name for path in leftovers(an_inbox)} == {"expected"}
    assert joined(instance) == data
    touched = resident_bytes()
    give_back(instance.parts)
    assert resident_bytes() < touched - inbox_module.MAPPED_FROM_BYTES // 2


def test_an_unfinished_instance_has_no_name(an_inbox: Inbox) -> None:
    with an_inbox.expect(["1.2"]):
        arrival = an_inbox.receive("1.2", b"head")
        arrival.write(b"half of it")
        assert {path.name for path in leftovers(an_inbox)} == {"expected"}
        arrival.discard()
        assert arrival.deliver() == 0


@pytest.mark.parametrize("error", [NoSpace("It is full."), Unsupported("It is larger than any.")])
def test_of_an_instance_that_may_not_go_on_growing_nothing_is_kept(
    an_inbox: Inbox, monkeypatch: pytest.MonkeyPatch, error: AditError
) -> None:
    def check_room(size_bytes: int) -> None:
        if size_bytes > 100:
            raise error

    monkeypatch.setattr(inbox_module, "STEP_BYTES", 50)
    an_inbox.check_room = check_room
    with an_inbox.expect(["1.2"]) as expectation:
        assert receive(an_inbox, "1.2", bytes(100)) == 1
        arrival = an_inbox.receive("1.2", b"")
        for _ in range(3):
            arrival.write(bytes(60))
        with pytest.raises(type(error)):
            arrival.deliver()
        assert len(list(expectation.arrived())) == 1
    assert leftovers(an_inbox) == []


def test_the_registration_of_a_dead_process_counts_no_longer_and_is_swept(an_inbox: Inbox) -> None:
    script = """
        import os, sys
        from pathlib import Path
        from dicom.network.inbox import Inbox
        expectation = Inbox(Path(sys.argv[1])).expect(["1.2"])
        print("waiting", flush=True)
        sys.stdin.read()
        os._exit(1)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(an_inbox.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == b"waiting\n"
        assert receive(an_inbox, "1.2") == 1
        assert an_inbox.sweep() == 0, "a living process was swept"
        process.stdin.close()
        process.wait(30)
    assert len(leftovers(an_inbox)) == 2
    assert receive(an_inbox, "1.2") == 0
    assert an_inbox.sweep() == 1
    assert leftovers(an_inbox) == []


def test_sweeping_removes_what_a_dead_receiver_was_handing_out(an_inbox: Inbox) -> None:
    abandoned = an_inbox.root / "incoming" / "x.dcm"
    abandoned.write_bytes(b"")
    assert an_inbox.sweep() == 1
    assert not abandoned.exists()


def test_names_tell_nothing_of_a_patient(an_inbox: Inbox) -> None:
    with an_inbox.expect(["1.2.840.99"]):
        receive(an_inbox, "1.2.840.99")
        assert not any("1.2.840.99" in str(path) for path in an_inbox.root.rglob("*"))


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, NoSpace), (errno.EDQUOT, NoSpace), (errno.EIO, WriteFailed)]
)
def test_a_disk_that_fails_at_the_last_moment_is_told_before_success_is_answered(
    an_inbox: Inbox, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def failing(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with an_inbox.expect(["1.2"]) as expectation:
        monkeypatch.setattr(os, "fsync", failing)
        with pytest.raises(kind):
            receive(an_inbox, "1.2")
        assert list(expectation.arrived()) == []
    assert leftovers(an_inbox) == []


def test_only_our_own_user_may_look_inside(an_inbox: Inbox) -> None:
    assert an_inbox.root.stat().st_mode & 0o077 == 0
    with an_inbox.expect(["1.2"]):
        assert all(path.stat().st_mode & 0o077 == 0 for path in an_inbox.root.rglob("*") if path.is_dir())


def test_a_sender_waits_while_what_came_before_is_not_taken(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "narrow", room_bytes=500)
    with inbox.expect(["1.1", "1.2"]) as waiting:
        receive(inbox, "1.1", bytes(1000))
        second = threading.Thread(target=receive, args=(inbox, "1.2", bytes(1000)))
        second.start()
        second.join(0.3)
        assert second.is_alive(), "the second instance was taken in although there was no room"
        assert [instance.sop_uid for instance in waiting.arrived()] == ["1.1"]
        second.join(20)
        assert [instance.sop_uid for instance in waiting.arrived()] == ["1.2"]


def test_a_sender_is_told_when_there_is_no_room_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom.network.inbox._ROOM_WITHIN_S", 0.1)
    inbox = Inbox(tmp_path / "narrow", room_bytes=500)
    with inbox.expect(["1.1", "1.2"]) as waiting:
        receive(inbox, "1.1", bytes(1000))
        with pytest.raises(NoSpace):
            receive(inbox, "1.2", bytes(1000))
        assert [instance.sop_uid for instance in waiting.arrived()] == ["1.1"]


def test_an_inbox_is_served_as_long_as_a_receiver_lives(an_inbox: Inbox) -> None:
    other = Inbox(an_inbox.root)
    assert not other.is_served
    with an_inbox.served():
        assert other.is_served
        assert an_inbox.is_served
        with other.served():  # two receivers of one inbox take nothing from one another
            assert an_inbox.is_served
        an_inbox.sweep()
        assert other.is_served
    assert not other.is_served
    assert leftovers(an_inbox) == []


def test_the_lock_of_a_killed_receiver_is_gone(an_inbox: Inbox) -> None:
    serving = f"""
        import time, pathlib
        from dicom.network.inbox import Inbox
        with Inbox(pathlib.Path({str(an_inbox.root)!r})).served():
            print("up", flush=True)
            time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(serving)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as receiver:
        assert receiver.stdout is not None
        receiver.stdout.readline()
        assert an_inbox.is_served
        receiver.kill()
    assert not an_inbox.is_served
