"""The de-identification of an item knows what the source lists of its patient."""

from types import SimpleNamespace
from typing import Any

import pytest

from dicom.deid.keys import LinkageKey
from dicom.deid.policy import compiled
from dicom.deid.profile import load
from models.domain.errors import IdentityConflict, ResidueFound
from models.domain.refs import StudyFound
from services import pseudonyms
from tasks.query import _deidentifier
from tests.corpus import instance_of


def the_deidentifier(monkeypatch: pytest.MonkeyPatch, study: StudyFound):
    monkeypatch.setattr(pseudonyms, "bind_item", lambda *_: SimpleNamespace(pseudonym="PSEUDO1"))
    monkeypatch.setattr(pseudonyms, "linkage_key", lambda *_: LinkageKey(bytes(32)))
    job = SimpleNamespace(scope_id=1, trial_protocol_id="", trial_protocol_name="")
    attempt: Any = SimpleNamespace(job=job, db=None, settings=None, lease=None, item=None)
    return _deidentifier(attempt, compiled(load("research")), study, {})


def test_what_is_listed_is_searched_for_in_instances_that_do_not_say_it(monkeypatch: pytest.MonkeyPatch) -> None:
    original = instance_of("ct")
    kept = str(original.dataset.ManufacturerModelName)
    listed = StudyFound(str(original.dataset.StudyInstanceUID), original.patient.patient_id)
    the_deidentifier(monkeypatch, listed).instance(original.instance)
    named = StudyFound(listed.study_uid, listed.patient_id, accession_number=kept + " 4711")
    the_deidentifier(monkeypatch, named).instance(original.instance)
    named = StudyFound(listed.study_uid, listed.patient_id, accession_number=kept)
    with pytest.raises(ResidueFound):
        the_deidentifier(monkeypatch, named).instance(original.instance)


def test_instances_of_another_patient_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    original = instance_of("ct")
    other = StudyFound(str(original.dataset.StudyInstanceUID), "SOMEBODY")
    with pytest.raises(IdentityConflict):
        the_deidentifier(monkeypatch, other).instance(original.instance)
