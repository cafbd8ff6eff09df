"""The clinic in which stories in a browser are set; it is started once for all of a file.

It ends with them: asyncio cannot be used beside the browser, and a clinic that nobody visits slows others down.
"""

from collections.abc import Iterator

import pytest

from tests.clinic import Clinic, clinic


@pytest.fixture(scope="module")
def a_clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    with clinic(tmp_path_factory.mktemp("clinic")) as started:
        yield started
