"""The dispatcher's care for folders: a folder that hangs holds up neither jobs nor other folders."""

import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from deployments import upkeep
from deployments.upkeep import FolderKeeper
from models.db.engine import Database
from models.db.nodes import NodeStore
from models.domain.errors import WriteFailed
from models.domain.nodes import Folder
from services import housekeeping
from tests.databases import Clock, sqlite_database


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return sqlite_database(tmp_path, Clock())


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which the test moves."""
    moment = [1000.0]
    monkeypatch.setattr(upkeep, "time", SimpleNamespace(monotonic=lambda: moment[0]))
    return moment


def test_a_folder_that_hangs_holds_up_no_other_and_is_not_begun_twice(
    db: Database, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, tended = threading.Event(), list[str]()

    def tend(_db: Database, folder: Folder, is_due: bool) -> bool:
        tended.append(folder.name)
        if folder.name == "gone":
            assert hangs.wait(10)
        return is_due

    monkeypatch.setattr(housekeeping, "tend_folder", tend)
    for name in ("gone", "here"):
        NodeStore(db).add(Folder(name, Path("/", name)))
    keeper = FolderKeeper(db)
    for _ in range(3):
        keeper.look()
        wait_for(keeper, "here")
        now[0] += 61
    assert sorted(tended) == ["gone", "here", "here", "here"]
    hangs.set()
    wait_for(keeper, "gone")


def test_a_folder_is_swept_each_minute_and_measured_each_ten_and_a_slow_one_less_often(
    db: Database, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    walks = list[float]()

    def tend(walk_s: float) -> Callable[[Database, Folder, bool], bool]:
        def call(_db: Database, _folder: Folder, is_due: bool) -> bool:
            if is_due:
                walks.append(now[0])
                now[0] += walk_s
            return is_due

        return call

    NodeStore(db).add(Folder("research", Path("/research")))
    for walk_s, shortest in ((1, 601), (100, 1100)):
        walks.clear()
        monkeypatch.setattr(housekeeping, "tend_folder", tend(walk_s))
        keeper = FolderKeeper(db)
        while len(walks) < 4:
            keeper.look()
            wait_for(keeper, "research")
            now[0] += 10
        assert all(shortest <= after - before <= shortest + 70 for before, after in pairwise(walks)), walks


def test_what_fails_is_tried_again_and_told_without_the_names_of_files(
    db: Database, now: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    errors = [WriteFailed("The folder /MEIER is away."), OSError(5, "Input/output error", "/MEIER^ANNA")]

    def tend(_db: Database, _folder: Folder, is_due: bool) -> bool:
        assert is_due
        if errors:
            raise errors.pop()
        return True

    monkeypatch.setattr(housekeeping, "tend_folder", tend)
    NodeStore(db).add(Folder("research", Path("/research")))
    keeper = FolderKeeper(db)
    for _ in range(3):
        keeper.look()
        wait_for(keeper, "research")
        now[0] += 61
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "MEIER" not in caplog.text


def wait_for(keeper: FolderKeeper, name: str) -> None:
    """Until nobody is at a folder."""
    for folder in housekeeping.folders(keeper._db):
        if folder.name == name and folder.id in keeper._threads:
            keeper._threads[folder.id].join(10)
