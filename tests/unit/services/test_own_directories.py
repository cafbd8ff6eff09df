"""One place knows all directories that ADIT keeps for itself; the programs use no other, and no folder lies there."""

import re
from pathlib import Path

import pytest

from models.domain.errors import BadRequest
from models.domain.nodes import Folder
from models.domain.people import operator
from models.settings import Settings
from services import nodes, own_directories
from tests.databases import Clock, sqlite_database
from tests.house.source_tree import ROOT
from tests.samples import some_settings

OF_FOLDERS = {"backup_dir", "profiles_dir", "spool_dir", "backups_dir", "prefect_dir", "temporary_dir", "logs_dir"}


@pytest.mark.parametrize("place", ["", "mine", "mine/old"])
def test_no_folder_lies_in_or_around_the_profiles_of_the_site(tmp_path: Path, place: str) -> None:
    settings = some_settings(tmp_path / "data", profiles_dir=tmp_path / "share" / "mine")
    database = sqlite_database(tmp_path, Clock())
    with pytest.raises(BadRequest, match=r"^path: it is where ADIT keeps the profiles of this site"):
        nodes.add_folder(database, settings, operator("root"), Folder("x", tmp_path / "share" / place))
    nodes.add_folder(database, settings, operator("root"), Folder("x", tmp_path / "share" / "studies"))
    database.close()


def test_every_directory_of_the_settings_is_kept(tmp_path: Path) -> None:
    settings = some_settings(tmp_path / "data", profiles_dir=tmp_path / "profiles", backup_dir=tmp_path / "backups")
    named = {name for name in (*Settings.model_fields, *vars(Settings)) if name.endswith("_dir")}
    assert named == OF_FOLDERS | {"data_dir"}, "one that is new has to be kept, too"
    for name in OF_FOLDERS:
        assert own_directories.problem(settings, getattr(settings, name) / "studies"), name
    assert own_directories.problem(settings, settings.data_dir)
    assert settings.database_file and own_directories.problem(settings, settings.database_file)


def test_directories_within_the_data_directory_are_named_by_the_settings_alone() -> None:
    named = re.compile(r"""data_dir\)? ?/ f?["'](?!master\.key|prefect\.auth|up\.lock)""")
    files = [
        path
        for room in ("deployments", "services", "tasks", "flows", "ui", "api")
        for path in (ROOT / room).rglob("*.py")
    ]
    assert len(files) > 100
    assert [str(path) for path in files if named.search(path.read_text())] == []


def test_a_database_that_is_no_file_has_no_place(tmp_path: Path) -> None:
    assert some_settings(tmp_path, database_url="postgresql+psycopg://adit@db/adit").database_file is None
    assert some_settings(tmp_path, database_url="sqlite:////srv/adit.db?mode=rwc").database_file == Path("/srv/adit.db")
