"""How much of a large instance may lie in our scratch folder: as much as others do not need."""

from pathlib import Path

import pytest

from models.domain.errors import NoSpace, Unsupported
from models.domain.instances import LARGEST_BYTES
from services.local_side import local_side
from tests.samples import some_settings


def test_an_instance_may_grow_to_the_largest_that_is_taken(tmp_path: Path) -> None:
    check_room = local_side(some_settings(tmp_path, spool_reserve_mb=1)).check_room
    assert check_room is not None
    check_room(LARGEST_BYTES)
    with pytest.raises(Unsupported, match="larger than 16 GiB"):
        check_room(LARGEST_BYTES + 1)


def test_an_instance_does_not_take_the_room_that_has_to_stay_free(tmp_path: Path) -> None:
    check_room = local_side(some_settings(tmp_path, spool_reserve_mb=10**9)).check_room
    assert check_room is not None
    with pytest.raises(NoSpace):
        check_room(9 << 20)
