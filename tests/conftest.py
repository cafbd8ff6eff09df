"""What every test process does first, and which tests belong to one process."""

import pytest
from hypothesis import HealthCheck, settings

from tests import scratch

scratch.use_memory()
settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")  # a busy machine is no reason to fail

_SHARED_BY_FILES = "a_clinic"
"""A fixture that starts much, and is started once for the tests of several files."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests of one file be run by one process, and so those that use the clinic."""
    for item in items:
        shares = _SHARED_BY_FILES in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group(_SHARED_BY_FILES if shares else item.nodeid.partition("::")[0]))
