"""A data directory of its own, and nothing of the developer's environment."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.settings import settings


@pytest.fixture
def a_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory that is named in the environment; what commands add to the environment is taken away."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("ADIT_")]:
        del os.environ[name]
    monkeypatch.chdir(tmp_path)
    data_dir = tmp_path / "data"
    os.environ["ADIT_DATA_DIR"] = str(data_dir)
    settings.cache_clear()
    yield data_dir
    os.environ.clear()
    os.environ.update(before)
    settings.cache_clear()
