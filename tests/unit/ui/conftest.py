"""The pages with an installation behind them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app_pages import Site, a_site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty installation on SQLite; nobody is signed in."""
    site = a_site(tmp_path, monkeypatch)
    yield site
    site.db.close()
