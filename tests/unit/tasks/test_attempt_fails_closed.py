"""Nothing of a pseudonymized item passes an attempt that does not know its pseudonym yet."""

from dataclasses import replace
from typing import Any

import pytest
from pydicom import Dataset

from dicom.deid.policy import compiled
from dicom.deid.profile import load
from models.domain.errors import Bug, IdentityConflict
from models.domain.instances import EncodedInstance
from models.domain.plans import Plan
from models.domain.refs import StudyFound
from tasks.attempt import Attempt
from tests.corpus import instance_of

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


def test_where_the_identity_is_kept_everything_of_the_study_passes_as_it_is() -> None:
    attempt = an_attempt(None)
    original = instance_of("ct")
    study_uid, patient_id = str(original.dataset.StudyInstanceUID), original.patient.patient_id
    attempt.plan = Plan(StudyFound(study_uid, patient_id), (), (), True)
    assert attempt.keeps_identity
    assert attempt.treated(original.instance) is original.instance
    assert attempt.target_uid("1.2.3") == "1.2.3"
    attempt.check_name("DOE")
    attempt.plan = Plan(StudyFound(study_uid, "SOMEBODY"), (), (), True)
    with pytest.raises(IdentityConflict):
        attempt.treated(original.instance)


def test_an_instance_that_is_not_the_one_it_claims_to_be_passes_under_no_identity() -> None:
    """It would be stored and confirmed under a UID that is not its own."""
    attempt, original = an_attempt(None), instance_of("ct")
    attempt.plan = Plan(StudyFound(str(original.dataset.StudyInstanceUID), original.patient.patient_id), (), (), True)
    with pytest.raises(IdentityConflict, match="another SOP Instance UID"):
        attempt.treated(replace(original.instance, sop_uid="1.2.3"))
