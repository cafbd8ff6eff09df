"""Who has lost an item and goes on with it shows nothing that is another's, wherever the share has let him stand."""

import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from dicom.files import folder
from dicom.files.folder import StagedStudy
from dicom.files.staging import sweep_staging
from models.domain.errors import LeaseLost, WriteFailed
from tests.calls import every_call, interrupted
from tests.unit.files.test_folder import a_study, an_instance, send, tree

OLD, FIRST, SECOND = (an_instance(1, content=b"old"), an_instance(2)), (an_instance(2), an_instance(3)), b"changed"


@pytest.fixture(params=[True, False], ids=["exchanges", "renames"], autouse=True)
def can_exchange(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not request.param:  # as on NFS
        monkeypatch.setattr(folder, "_exchange", _exchange)
    monkeypatch.setattr(folder, "_flush_file_system", _flush_file_system)
    monkeypatch.setattr(folder.os, "fsync", lambda _descriptor: None)
    return request.param


def _exchange(_one: Path, _other: Path) -> bool:
    return False


def _flush_file_system(_folder: Path) -> None: ...


def begun(destination: Path, is_replacement: bool) -> StagedStudy:
    """A first attempt that has staged all that it wants to publish, perhaps in the place of what is there."""
    destination.mkdir()
    if is_replacement:
        send(a_study(destination), *OLD)
        a_study(destination).publish()
    first = a_study(destination, attempt="first")
    first.present({})
    send(first, *FIRST)
    return first


def published(destination: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in a_study(destination).path.rglob("*.dcm")}


def wanted(directory: Path, *instances: object) -> dict[str, bytes]:
    """What is at the place of a study of these instances, when nothing disturbs."""
    directory.mkdir()
    send(a_study(directory), *instances)  # type: ignore[arg-type]
    a_study(directory).publish()
    return published(directory)


@pytest.mark.parametrize("is_replacement", [True, False], ids=["replacing", "new"])
def test_wherever_the_first_stands_still_the_half_study_of_the_second_does_not_appear(
    tmp_path: Path, is_replacement: bool
) -> None:
    whole = [{}, wanted(tmp_path / "old", *OLD), wanted(tmp_path / "first", *FIRST)]
    others = [an_instance(number, content=SECOND) for number in (2, 3, 4)]
    last = wanted(tmp_path / "second", *others)
    destination = tmp_path / "disturbed"
    for number in every_call():
        first = begun(destination, is_replacement)
        second = a_study(destination, attempt="second")

        def take_over(second: StagedStudy = second) -> None:
            second.present({})
            send(second, *others[:2])

        was_disturbed = True
        with suppress(WriteFailed):
            was_disturbed = interrupted(first.publish, number, take_over)
        if not was_disturbed:
            break
        assert published(destination) in whole, number
        send(second, others[2])
        second.publish()
        sweep_staging(destination, lambda _key: False)
        assert published(destination) == last, number
        assert len(tree(destination)) == len(last), number
        shutil.rmtree(destination)
    assert number > 10


def test_who_loses_the_item_while_the_data_is_flushed_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose() -> None:
        assert flushed, "that was too early"
        raise LeaseLost

    flushed: list[Path] = []
    monkeypatch.setattr(folder, "_flush_file_system", flushed.append)
    study = a_study(tmp_path, check_ours=lose)
    send(study, an_instance(1))
    with pytest.raises(LeaseLost):
        study.publish()
    assert not study.path.exists()
    assert len(tree(tmp_path)) == 1


def test_who_has_lost_the_item_takes_nothing_over(tmp_path: Path) -> None:
    def lose() -> None:
        raise LeaseLost

    send(a_study(tmp_path, attempt="second"), an_instance(1))
    before = tree(tmp_path)
    with pytest.raises(LeaseLost):
        a_study(tmp_path, attempt="first", check_ours=lose).present({})
    assert tree(tmp_path) == before


def test_the_next_attempt_goes_on_with_what_the_last_has_staged(tmp_path: Path) -> None:
    digests = send(a_study(tmp_path, attempt="first"), an_instance(1), an_instance(2))
    send(a_study(tmp_path, attempt="lost, and still at it"), an_instance(1))
    second = a_study(tmp_path, attempt="second")
    assert second.present(digests) == set(digests)
    second.publish()
    assert second.confirm(digests) == set(digests)
    assert len(tree(tmp_path)) == 2


def test_what_the_next_attempt_stages_outlives_the_end_of_one_that_has_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = a_study(tmp_path, attempt="first"), a_study(tmp_path, attempt="second")
    send(first, an_instance(1))
    monkeypatch.setattr(folder, "flush_folder", lambda _folder: send(second, an_instance(2)))
    first.publish()
    assert len(published(tmp_path)) == 1
    assert second.present(send(second, an_instance(2))) == {"1.2.1.2"}
