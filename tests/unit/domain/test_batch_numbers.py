"""Series numbers in batch queries: what is accepted can be compared."""

import pytest

from models.domain.batch_requests import BatchQueryRequest
from models.domain.batches import BatchQueryRow
from models.domain.errors import BadRequest


def asking_for(number: str) -> BatchQueryRequest:
    row = BatchQueryRow(2, patient_id="P1", modalities=("CT",), series_numbers=(number,))
    return BatchQueryRequest((row,), (1,), "Lung study", "Nodules over time.")


@pytest.mark.parametrize("number", ["+-5", "--5", "5+", "", "+", "1e5", "\u00b2", "5.0", "123456789012"])
def test_what_is_no_whole_number_is_refused(number: str) -> None:
    with pytest.raises(BadRequest, match="series_numbers"):
        asking_for(number).check()


@pytest.mark.parametrize("number", ["5", "+02", "-3", "12345678901"])
def test_whole_numbers_are_accepted_as_files_write_them(number: str) -> None:
    asking_for(number).check()
    assert int(number)
