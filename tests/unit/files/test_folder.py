"""A study in a folder is there whole or not at all, whatever happens on the way."""

import contextlib
import errno
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dicom.files import folder, layout
from dicom.files.folder import FolderSender, StagedStudy
from dicom.files.staging import sweep_staging
from dicom.part10 import split_part10
from models.domain.errors import Canceled, FolderFull, FolderGone, WriteFailed
from models.domain.instances import EncodedInstance, Verdict
from tests.resident import MOST_BYTES, a_mapped_file, resident_bytes

CLASS, EXPLICIT = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.1.2.1"
SECRET = "MEIER^ANNA"


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    head = group.to_bytes(2, "little") + number.to_bytes(2, "little") + vr
    if vr == b"OB":
        return head + b"\0\0" + len(value).to_bytes(4, "little") + value
    return head + len(value).to_bytes(2, "little") + value


def an_instance(number: int, series: int = 1, content: bytes = b"pixels", size_bytes: int = 0) -> EncodedInstance:
    header = element(0x0020, 0x000E, b"UI", f"1.2.{series}".encode())
    pixels = element(0x7FE0, 0x0010, b"OB", content.ljust(size_bytes, b"x"))
    return EncodedInstance(CLASS, f"1.2.{series}.{number}", EXPLICIT, (header, memoryview(pixels)[:5], pixels[5:]))


def a_study(
    destination: Path,
    key: str = "item-1",
    name: str = "20260102-030405-CT-00000000",
    attempt: str = "first",
    check_ours: Callable[[], object] = lambda: None,
) -> StagedStudy:
    return StagedStudy(
        destination=destination,
        folder_name="Research",
        job_folder="adit_batch_transfer_1_20260102_ada",
        patient_folder=SECRET,
        study_folder=name,
        staging_key=key,
        series_folder=lambda uid: layout.series_folder("1", "CT", "", uid),
        attempt_key=attempt,
        check_ours=check_ours,
    )


def send(study: StagedStudy, *instances: EncodedInstance) -> dict[str, str]:
    with FolderSender(study.write) as sender:
        return {instance.sop_uid: sender.send(instance).digest for instance in instances}


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a folder, also hidden ones."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def visible(destination: Path) -> list[Path]:
    return [path for path in destination.iterdir() if path.name != folder.STAGING]


def test_a_published_study_holds_exactly_the_instances_sent(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    sent = [an_instance(1), an_instance(2), an_instance(1, series=2)]
    digests = send(study, *sent)
    assert visible(tmp_path) == []
    study.publish()
    files = tree(study.path)
    assert len(files) == 3
    for instance in sent:
        name = f"{layout.series_folder('1', 'CT', '', instance.sop_uid.rpartition('.')[0])}/{instance.sop_uid}.dcm"
        stored = split_part10(files[name])
        assert (stored.sop_uid, stored.transfer_syntax_uid) == (instance.sop_uid, EXPLICIT)
        assert b"".join(stored.parts) == b"".join(instance.parts)
        assert hashlib.sha256(files[name]).hexdigest() == digests[instance.sop_uid]
    assert study.confirm(digests) == set(digests)
    assert len(tree(tmp_path)) == 3


def test_a_mapped_file_is_never_in_memory_whole_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = a_mapped_file(tmp_path)
    header = element(0x0020, 0x000E, b"UI", b"1.2.3")
    head = b"\xe0\x7f\x10\x00OB\0\0" + len(pixels).to_bytes(4, "little")
    study = a_study(tmp_path)
    before = most = resident_bytes()

    def watched(descriptor: int, buffers: list[memoryview], write: Callable[..., int] = os.writev) -> int:
        nonlocal most
        written = write(descriptor, buffers)
        most = max(most, resident_bytes())
        return written

    monkeypatch.setattr(folder.os, "writev", watched)
    digests = send(study, EncodedInstance(CLASS, "1.2.3.4", EXPLICIT, (header, head, pixels)))
    assert most - before < MOST_BYTES
    assert study.present(digests) == {"1.2.3.4"}


def test_what_is_staged_is_ours_alone_and_what_is_published_is_as_the_umask_says(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    send(study, an_instance(1))
    assert (tmp_path / folder.STAGING).stat().st_mode & 0o777 == 0o700
    assert (tmp_path / folder.STAGING / "item-1").stat().st_mode & 0o777 == 0o700
    study.publish()
    (tmp_path / "probe").mkdir()
    assert study.path.stat().st_mode == (tmp_path / "probe").stat().st_mode


def test_publishing_twice_is_publishing_once(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    digests = send(study, an_instance(1))
    study.publish()
    before = tree(tmp_path)
    a_study(tmp_path).publish()
    assert tree(tmp_path) == before
    assert a_study(tmp_path).confirm(digests) == set(digests)


def test_an_instance_without_a_series_is_refused(tmp_path: Path) -> None:
    with FolderSender(a_study(tmp_path).write) as sender:
        outcome = sender.send(EncodedInstance(CLASS, "1.2.3", EXPLICIT, (element(0x0020, 0x0011, b"IS", b"1 "),)))
    assert (outcome.verdict, outcome.status, outcome.digest) == (Verdict.REFUSED, 0xC000, "")


def test_an_aborted_sender_writes_no_more(tmp_path: Path) -> None:
    with FolderSender(a_study(tmp_path).write) as sender:
        sender.abort()
        sender.abort()
        with pytest.raises(Canceled):
            sender.send(an_instance(1))
    assert list(tmp_path.iterdir()) == []


def test_a_second_attempt_keeps_what_is_right_and_drops_what_is_not(tmp_path: Path) -> None:
    digests = send(a_study(tmp_path), an_instance(1), an_instance(2), an_instance(3))
    send(a_study(tmp_path), an_instance(2, content=b"other"))
    second = a_study(tmp_path)
    assert second.present({uid: digests[uid] for uid in ("1.2.1.1", "1.2.1.2")}) == {"1.2.1.1"}
    send(second, an_instance(2))
    second.publish()
    assert sorted(Path(name).name for name in tree(second.path)) == ["1.2.1.1.dcm", "1.2.1.2.dcm"]
    assert second.confirm(digests) == {"1.2.1.1", "1.2.1.2"}


@pytest.mark.parametrize("has_links", [True, False])
def test_what_is_published_counts_as_present_and_is_not_lost_when_more_is_published(
    tmp_path: Path, has_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_links:
        monkeypatch.setattr(os, "link", _raise_not_supported)
    first = a_study(tmp_path)
    digests = send(first, an_instance(1), an_instance(2))
    first.publish()
    second = a_study(tmp_path)
    assert second.present(digests) == {"1.2.1.1", "1.2.1.2"}
    digests |= send(second, an_instance(3))
    assert len(tree(second.path)) == 2
    second.publish()
    assert second.confirm(digests) == set(digests)
    assert len(tree(tmp_path)) == 3


def _raise_not_supported(*_: object) -> None:
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_later_run_replaces_the_study_and_merges_nothing(
    tmp_path: Path, can_exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can_exchange:  # as on NFS
        monkeypatch.setattr(folder, "_exchange", lambda one, other: False)
    first = a_study(tmp_path)
    send(first, an_instance(1), an_instance(2))
    first.publish()
    second = a_study(tmp_path)
    assert second.present({}) == set()
    digests = send(second, an_instance(2, content=b"new"), an_instance(3))
    second.publish()
    assert second.confirm(digests) == {"1.2.1.2", "1.2.1.3"}
    assert len(tree(tmp_path)) == 2


def test_a_changed_or_missing_file_is_not_confirmed(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    digests = send(study, an_instance(1), an_instance(2), an_instance(3))
    study.publish()
    files = sorted(study.path.rglob("*.dcm"))
    files[0].write_bytes(files[0].read_bytes()[:-1])
    files[1].unlink()
    assert study.confirm(digests) == {"1.2.1.3"}


def test_a_discarded_study_leaves_nothing(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    send(study, an_instance(1))
    study.discard()
    study.discard()
    assert tree(tmp_path) == {}
    assert visible(tmp_path) == []


def test_studies_are_published_into_one_patient_folder_at_the_same_time(tmp_path: Path) -> None:
    names = [layout.study_folder("20260102", "030405", ("CT",), f"1.2.{n}") for n in range(24)]

    def transfer(number: int) -> None:
        study = a_study(tmp_path, f"item-{number}", names[number])
        digests = send(study, an_instance(number))
        study.publish()
        assert study.confirm(digests) == set(digests)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(transfer, range(24)))
    assert sorted(path.name for path in a_study(tmp_path).path.parent.iterdir()) == sorted(names)
    assert len(tree(tmp_path)) == 24


def test_staging_of_items_that_nobody_works_on_is_swept(tmp_path: Path) -> None:
    for key in ("item-1", "item-2"):
        send(a_study(tmp_path, key), an_instance(1))
    assert sweep_staging(tmp_path, lambda key: key == "item-2") == 1
    assert [path.name for path in (tmp_path / folder.STAGING).iterdir()] == ["item-2"]
    assert sweep_staging(tmp_path / "never used", lambda key: False) == 0


def test_large_instances_of_many_parts_are_written_whole(tmp_path: Path) -> None:
    whole = b"".join(an_instance(1, size_bytes=3_000_000).parts)
    parts = tuple(memoryview(whole)[at : at + 999] for at in range(0, len(whole), 999))
    study = a_study(tmp_path)
    send(study, EncodedInstance(CLASS, "1.2.1.1", EXPLICIT, parts))
    study.publish()
    assert b"".join(split_part10(next(study.path.rglob("*.dcm")).read_bytes()).parts) == whole


def test_a_destination_that_is_gone_is_not_made_and_no_patient_is_named(tmp_path: Path) -> None:
    study = a_study(tmp_path / "share")
    with pytest.raises(FolderGone, match=r"^The folder Research cannot be written .ENOENT") as caught:
        send(study, an_instance(1))
    assert str(tmp_path) not in str(caught.value)
    assert not (tmp_path / "share").exists()
    assert caught.value.__cause__ is not None
    assert "1.2.1" not in f"{caught.value} {caught.value.__cause__}"


def test_a_destination_below_a_file_is_no_folder_at_this_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderGone, match="ENOTDIR"):
        send(a_study(tmp_path / "file" / "folder"), an_instance(1))


def test_a_place_that_is_taken_by_a_file_names_no_patient(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    send(study, an_instance(1))
    study.path.parent.parent.mkdir()
    study.path.parent.touch()
    with pytest.raises(WriteFailed, match=r"^The folder Research cannot be read or written") as caught:
        study.publish()
    assert str(tmp_path) not in str(caught.value)
    assert SECRET not in f"{caught.value} {caught.value.__cause__} {caught.value.__cause__!r}"


@contextlib.contextmanager
def a_file_system(place: Path, options: str) -> Iterator[Path]:
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_told_and_takes_the_rest_once_there_is_room(tmp_path: Path) -> None:
    with a_file_system(tmp_path / "full", "size=1m") as destination:
        (destination / "ballast").write_bytes(bytes(600_000))
        study = a_study(destination)
        digests = send(study, an_instance(1, size_bytes=200_000))
        with pytest.raises(FolderFull, match=r"^The disk of the folder Research has no room left\.$"):
            send(study, an_instance(2, size_bytes=400_000))
        assert len(tree(destination / folder.STAGING)) == 1
        (destination / "ballast").unlink()
        assert study.present(digests) == set(digests)
        digests |= send(study, an_instance(2, size_bytes=400_000))
        study.publish()
        assert study.confirm(digests) == set(digests)


def test_a_folder_that_is_read_only_takes_nothing_at_this_time(tmp_path: Path) -> None:
    with a_file_system(tmp_path / "read_only", "size=1m,ro") as destination, pytest.raises(FolderGone, match="EROFS"):
        send(a_study(destination), an_instance(1))


ENDLESS = """
import sys
from pathlib import Path
from tests.unit.files.test_folder import a_study, an_instance, send
study = a_study(Path(sys.argv[1]))
for number in range(1, 100_000):
    send(study, an_instance(number, size_bytes=50_000))
    print(number, flush=True)
"""


def test_a_killed_worker_leaves_nothing_visible_and_the_next_one_ends_with_the_same_tree(tmp_path: Path) -> None:
    (tmp_path / "undisturbed").mkdir()
    undisturbed = a_study(tmp_path / "undisturbed")
    digests = send(undisturbed, *(an_instance(number, size_bytes=50_000) for number in range(1, 41)))
    undisturbed.publish()

    destination = tmp_path / "disturbed"
    destination.mkdir()
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", ENDLESS, destination], cwd=root, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        while int(worker.stdout.readline()) < 20:
            pass
        worker.send_signal(signal.SIGKILL)
    assert visible(destination) == []

    study = a_study(destination)
    present = study.present(digests)
    assert {f"1.2.1.{number}" for number in range(1, 21)} <= present
    missing = [number for number in range(1, 41) if f"1.2.1.{number}" not in present]
    send(study, *(an_instance(number, size_bytes=50_000) for number in missing))
    study.publish()
    assert tree(destination) == tree(tmp_path / "undisturbed")
