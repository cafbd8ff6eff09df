"""What Prefect's API answers is told in our own words, or is nothing to tell."""

from typing import Any

import pytest
from prefect.exceptions import ObjectNotFound

from services import orchestration
from services.orchestration import DIED, Orchestration

GONE = "5b0c1d9e-7a39-4d55-9f3f-0f4a6a1c2b3d"


class Empty:
    """A client of a Prefect that knows no run."""

    def __init__(self, **_options: object) -> None:
        pass

    def __enter__(self) -> "Empty":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def set_flow_run_state(self, *_: object, **_options: Any) -> None:
        raise ObjectNotFound(http_exc=ValueError())


def test_a_run_that_was_deleted_a_moment_ago_needs_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orchestration, "SyncPrefectClient", Empty)
    Orchestration("http://127.0.0.1:1/api").mark_crashed(GONE, DIED)
