"""Installations behind the API: a filled one is made once and copied for each test."""

import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from api.app import application
from models.db.engine import Database
from tests.api_site import Site, fill, opened, play, serving
from tests.samples import some_settings


@pytest.fixture(scope="session")
def a_filled_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("filled")
    with serving(directory) as site:
        fill(site)
        site.db.empty_log()
    return directory


@cache
def _app(directory: Path) -> Any:
    """Building all routes takes longer than most tests; the installation behind them is exchanged."""
    settings = some_settings(directory)
    return application(settings, Database(settings.url, settings.master_key.get_secret_value()))


@pytest.fixture
def site(a_filled_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A filled installation (``tests.api_site.fill``) whose servers answer searches with nothing."""
    shutil.copy(a_filled_directory / "adit.db", tmp_path / "adit.db")
    settings = some_settings(tmp_path)
    db = Database(settings.url, settings.master_key.get_secret_value())
    play(monkeypatch)
    with opened(settings, db, _app(a_filled_directory)) as found:
        yield found
    db.close()
