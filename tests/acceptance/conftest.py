"""The clinic in which stories in a browser are set; it is started once for all of them, and ends with the last."""

from collections.abc import Iterator

import pytest

from tests.clinic import Clinic, clinic


@pytest.fixture(scope="package")
def a_clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    with clinic(tmp_path_factory.mktemp("clinic")) as started:
        yield started
