"""What an error of a step means for its item."""

import pytest

from flows.transfer_study import known
from models.domain.errors import Bug, LeaseLost, Unreachable


def test_an_error_of_ours_is_told_as_it_is() -> None:
    error = Unreachable("The archive does not answer.")
    assert known(error) is error


def test_a_fault_is_told_by_its_kind() -> None:
    told = known(ValueError("Doe^John"))
    assert isinstance(told, Bug) and "Doe" not in told.message


@pytest.mark.parametrize("ending", [SystemExit(0), KeyboardInterrupt()])
def test_an_item_whose_process_ends_has_not_failed(ending: BaseException) -> None:
    """It is given up, and taken up again when its lease has run out."""
    assert isinstance(known(ending), LeaseLost)
