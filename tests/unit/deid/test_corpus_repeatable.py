"""The same key gives the same bytes in every process, and another key has nothing in common with it."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date

import pytest
from pydicom import Dataset

from dicom.deid.keys import LinkageKey
from tests.corpus import instances
from tests.corpus.treatment import OTHER_SECRET, PROFILES, SECRET, outputs

PRINT_DIGESTS = """
from tests.unit.deid.test_corpus_repeatable import digests
print(digests(), end="")
"""


def digests() -> str:
    """One line for each profile and kind, with the digest of the output's bytes."""
    return "\n".join(
        f"{profile} {kind} {hashlib.sha256(output.part10).hexdigest()}"
        for profile in PROFILES
        for kind, output in outputs(profile).items()
    )


def test_a_fresh_process_with_another_hash_seed_gives_the_same_bytes() -> None:
    hash_seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    run = subprocess.run([sys.executable, "-c", PRINT_DIGESTS], env=environment, stdout=subprocess.PIPE, text=True)
    assert run.returncode == 0
    assert run.stdout == digests()
    assert len(run.stdout.splitlines()) > 3 * 45


@pytest.mark.parametrize("profile", PROFILES)
def test_another_key_has_no_uid_in_common(profile: str) -> None:
    ours, others = (
        {uid for output in outputs(profile, secret).values() for uid in uids(output.dataset)}
        for secret in (SECRET, OTHER_SECRET)
    )
    assert len(ours) == len(others) > 100
    assert ours.isdisjoint(others)


def uids(dataset: Dataset) -> Iterator[str]:
    """Every UID that the engine has made, at every level."""
    values = (str(element.value) for element in dataset.iterall() if element.VR == "UI")
    return (value for value in values if value.startswith("2.25."))


def test_another_key_shifts_every_patients_dates_by_another_number_of_days() -> None:
    ours, others = (_shifts(secret) for secret in (SECRET, OTHER_SECRET))
    assert len(ours) == len(others) > 5
    assert all(ours[patient] != others[patient] for patient in ours)


def _shifts(secret: bytes) -> dict[int, int]:
    return {
        output.original.patient.number: _ordinal(output.original.dates["(0008,0020)"])
        - _ordinal(output.dataset.StudyDate)
        for output in outputs("research", secret).values()
        if "(0008,0020)" in output.original.dates
    }


def _ordinal(value: str) -> int:
    return date(int(value[:4]), int(value[4:6]), int(value[6:])).toordinal()


def test_another_key_invents_other_identifiers() -> None:
    ours, others = (
        [output.dataset for output in outputs("research", secret).values()] for secret in (SECRET, OTHER_SECRET)
    )
    for one, other in zip(ours, others, strict=True):
        if one.AccessionNumber:
            assert one.AccessionNumber != other.AccessionNumber


def test_another_key_gives_other_pseudonyms() -> None:
    patients = {original.patient for original in instances()}
    ours, others = ({LinkageKey(secret).pseudonym(p.patient_id) for p in patients} for secret in (SECRET, OTHER_SECRET))
    assert len(ours) == len(others) == len(patients)
    assert ours.isdisjoint(others)
