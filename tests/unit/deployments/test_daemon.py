"""How the long-running programs end."""

import logging

import pytest

from deployments import daemon
from models.domain.errors import WrongVersion


def test_a_program_that_refuses_to_run_says_why_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> None:
        raise WrongVersion("The database is of a newer version of ADIT.")

    with caplog.at_level(logging.INFO), pytest.raises(SystemExit) as ended:
        daemon.run(refuse)
    assert ended.value.code == 2
    (record,) = caplog.records
    assert record.getMessage() == "WrongVersion: The database is of a newer version of ADIT."
    assert record.exc_info is None


def test_a_fault_is_no_refusal() -> None:
    def stumble() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        daemon.run(stumble)
