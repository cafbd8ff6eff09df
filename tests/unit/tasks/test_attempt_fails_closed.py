"""Nothing of a pseudonymized item passes an attempt that does not know its pseudonym yet."""

from typing import Any

import pytest
from pydicom import Dataset

from dicom.deid.policy import compiled
from dicom.deid.profile import load
from models.domain.errors import Bug
from models.domain.instances import EncodedInstance
from tasks.attempt import Attempt

INSTANCE = EncodedInstance("1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2.1", (b"a data set",))
UNUSED = ("db", "settings", "job", "item", "lease", "source", "destination", "local", "receipt")


def an_attempt(policy: object) -> Attempt:
    nothing: dict[str, Any] = dict.fromkeys((*UNUSED, "retrieved", "pseudonymized"))
    return Attempt(**nothing, policy=policy)  # type: ignore[arg-type]


def test_before_the_pseudonym_is_known_nothing_passes() -> None:
    attempt = an_attempt(compiled(load("basic")))
    assert not attempt.keeps_identity
    for call in (
        lambda: attempt.treated(INSTANCE),
        lambda: attempt.treated_dataset(Dataset()),
        lambda: attempt.target_uid("1.2.3"),
        lambda: attempt.check_name("DOE"),
    ):
        with pytest.raises(Bug):
            call()


def test_where_the_identity_is_kept_everything_passes_as_it_is() -> None:
    attempt = an_attempt(None)
    assert attempt.keeps_identity
    assert attempt.treated(INSTANCE) is INSTANCE
    assert attempt.target_uid("1.2.3") == "1.2.3"
    attempt.check_name("DOE")
