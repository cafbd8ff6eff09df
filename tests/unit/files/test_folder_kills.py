"""A worker that is killed while it publishes loses and doubles nothing, at whatever call, and whatever comes next."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from dicom.files import folder
from dicom.files.folder import StagedStudy
from dicom.files.staging import sweep_staging
from models.domain.errors import WriteFailed
from tests.calls import Killed, every_call, interrupted, kill
from tests.unit.files.test_folder import a_study, an_instance, send, tree
from tests.unit.files.test_folder_takeover import begun, can_exchange, published, wanted

__all__ = ["can_exchange"]

OLD, NEW = (an_instance(1, content=b"old"), an_instance(2)), (an_instance(2), an_instance(3))


def discard(destination: Path) -> None:
    a_study(destination, attempt="second").discard()


def sweep(destination: Path) -> None:
    sweep_staging(destination, lambda _key: False)


def give_up(destination: Path) -> None:
    """The next attempt begins, perhaps with other rules, and then the item ends without another publication."""
    second = a_study(destination, attempt="second")
    second.present({})
    send(second, an_instance(4))
    discard(destination)


def outcomes(destination: Path, is_replacement: bool, next_step: Callable[[Path], None]) -> list[dict[str, bytes]]:
    """What is visible after each kill and what came next; nothing else may be left."""
    found: list[dict[str, bytes]] = []
    for number in every_call():
        first = begun(destination, is_replacement)
        try:
            if not interrupted(first.publish, number, kill):
                return found
        except Killed:
            next_step(destination)
        found.append(published(destination))
        assert len(tree(destination)) == len(found[-1]), number
        shutil.rmtree(destination)
    return found


@pytest.mark.parametrize("next_step", [discard, sweep, give_up])
@pytest.mark.parametrize("is_replacement", [True, False], ids=["replacing", "new"])
def test_when_the_item_ends_then_the_old_study_is_there_or_the_new_one(
    tmp_path: Path, is_replacement: bool, next_step: Callable[[Path], None]
) -> None:
    before = wanted(tmp_path / "old", *OLD) if is_replacement else {}
    after = wanted(tmp_path / "new", *NEW)
    found = outcomes(tmp_path / "killed", is_replacement, next_step)
    assert len(found) > 10
    changed_at = found.index(after)
    assert found == [before] * changed_at + [after] * (len(found) - changed_at)


@pytest.mark.parametrize("attempt", ["first", "second"])
@pytest.mark.parametrize("is_replacement", [True, False], ids=["replacing", "new"])
def test_the_next_attempt_ends_with_the_same_bytes(tmp_path: Path, is_replacement: bool, attempt: str) -> None:
    """Of the same name where there is only ever one, as in ``adit deidentify``."""
    digests = send(a_study(tmp_path), *NEW)

    def go_on(destination: Path) -> None:
        second = a_study(destination, attempt=attempt)
        present = second.present(digests)
        send(second, *(instance for instance in NEW if instance.sop_uid not in present))
        second.publish()
        assert second.confirm(digests) == set(digests)

    found = outcomes(tmp_path / "killed", is_replacement, go_on)
    assert len(found) > 10
    assert found == [wanted(tmp_path / "new", *NEW)] * len(found)


@pytest.mark.parametrize("next_step", [discard, sweep, give_up])
def test_a_kill_while_that_is_cleared_away_loses_nothing_either(
    tmp_path: Path, next_step: Callable[[Path], None]
) -> None:
    whole = wanted(tmp_path / "old", *OLD), wanted(tmp_path / "new", *NEW)
    destination = tmp_path / "killed"
    for number in every_call():
        killed_between_the_moves(destination)
        was_killed = False
        try:
            interrupted(lambda: next_step(destination), number, kill)
        except Killed:
            was_killed = True
            sweep(destination)
        assert published(destination) in whole, number
        shutil.rmtree(destination)
        if not was_killed:
            break


def killed_between_the_moves(destination: Path) -> StagedStudy:
    """A study whose old version is out of sight, where that takes two moves, and whose new one is not there yet."""
    study = begun(destination, is_replacement=True)
    real = folder.set_aside

    def die_after(*places: Path) -> Path:
        real(*places)
        raise Killed

    with pytest.MonkeyPatch.context() as patch, suppress(Killed):
        patch.setattr(folder, "set_aside", die_after)
        study.publish()
    return study


@pytest.mark.parametrize("can_exchange", [False], indirect=True)
def test_a_study_of_an_earlier_run_is_kept_also_after_a_kill_between_the_moves(tmp_path: Path) -> None:
    study = killed_between_the_moves(tmp_path / "out")
    study.keep_published(but={"1.2.1.2.dcm", "1.2.1.3.dcm"})
    study.publish()
    assert "1.2.1.1.dcm" in published(tmp_path / "out")


@pytest.mark.parametrize("can_exchange", [False], indirect=True)
def test_a_move_that_fails_leaves_the_old_study_at_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    destination = tmp_path / "out"
    study = begun(destination, is_replacement=True)
    real = folder.set_aside

    def lose_the_staged(*places: Path) -> Path:
        hidden = real(*places)
        study._study.rename(destination / "elsewhere")
        return hidden

    monkeypatch.setattr(folder, "set_aside", lose_the_staged)
    with pytest.raises(WriteFailed):
        study.publish()
    assert published(destination) == wanted(tmp_path / "old", *OLD)
