"""Uploads to the gateway, as the web process serves them beside all else."""

import threading
from types import SimpleNamespace

import anyio
import pytest

from api.gateway import storing
from services.gateway.storing import Stored


def test_a_large_answer_is_made_in_a_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made, told = list[threading.Thread](), storing._told
    monkeypatch.setattr(storing, "_told", lambda found: (made.append(threading.current_thread()), told(found))[1])
    storage = SimpleNamespace(run=lambda upload: Stored(unnamed_count=2))
    answer = anyio.run(storing.stored, storage, None)
    assert answer.status_code == 409 and b"0008119A" in answer.body
    assert made and made[0] is not threading.current_thread()
