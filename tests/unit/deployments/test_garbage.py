"""When Python looks for garbage."""

import gc

import pytest

from deployments.garbage import importing


def test_no_garbage_is_looked_for_while_importing_and_what_was_imported_is_left_alone() -> None:
    try:
        with importing():
            assert not gc.isenabled()
            imported = [[]]
        assert gc.isenabled()
        assert all(found is not imported for found in gc.get_objects())
    finally:
        gc.unfreeze()


def test_a_failed_import_leaves_the_search_for_garbage_on() -> None:
    try:
        with pytest.raises(ImportError), importing():
            raise ImportError
        assert gc.isenabled()
    finally:
        gc.unfreeze()
