"""An independent judge, dciodvfy of David Clunie's dicom3tools, finds no error in outputs that the originals lack."""

import re
import subprocess
from pathlib import Path

import pytest

from dicom.deid.streams import opened
from dicom.part10 import part10_prefix, split_part10
from models.domain.instances import EncodedInstance
from tests.corpus import instances, kinds
from tests.corpus.treatment import PROFILES, outputs

DCIODVFY = Path("/usr/bin/dciodvfy")
EXPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
_VALUES = re.compile(r" = <.*?>(?= - |$)| = '.' \(0x[0-9a-f]+\)")
_PLACES = re.compile(r"\[\d+\]")

ACCEPTED: dict[str, dict[str, set[str]]] = {
    # PS3.15 table E.1-1 removes Presentation Creation Date and Time, which PS3.3 section C.11.10 requires
    "basic": {"presentation_state": {"PresentationCreationDate(0070,0082)", "PresentationCreationTime(0070,0083)"}},
    "research": {},
    "adit-compatible": {
        "presentation_state": {"PresentationCreationDate(0070,0082)", "PresentationCreationTime(0070,0083)"}
    },
}
"""Profile -> kind -> what is missing in the judge's eyes because the standard itself wants it removed."""


def errors_of(instance: EncodedInstance, directory: Path) -> frozenset[str]:
    """The judge's errors without values and places in sequences."""
    file = directory / "judged.dcm"
    file.write_bytes(_readable(instance))
    done = subprocess.run([DCIODVFY, "-new", file], capture_output=True, check=False)
    file.unlink()
    lines = (done.stdout + done.stderr).decode("latin-1").splitlines()
    return frozenset(_PLACES.sub("", _VALUES.sub("", line)) for line in lines if line.startswith("Error"))


def _readable(instance: EncodedInstance) -> bytes:
    """The instance as a file; the judge cannot inflate."""
    syntax_uid = instance.transfer_syntax_uid
    data = bytes(opened(instance.parts, syntax_uid)[0])
    syntax_uid = EXPLICIT if syntax_uid == DEFLATED else syntax_uid
    return part10_prefix(instance.sop_class_uid, instance.sop_uid, syntax_uid) + data


@pytest.fixture(scope="module")
def original_errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, frozenset[str]]:
    directory = tmp_path_factory.mktemp("originals")
    return {each.kind: errors_of(split_part10(each.part10), directory) for each in instances()}


FLAWED = {"bad_dates", "bad_values", "odd_lengths", "newer_attributes", "newer_attributes_implicit"} | {
    "overlay_in_pixels",
    "pixel_tail",
    "private_class",
}
"""Kinds that are not valid on purpose, or newer than the judge."""


def test_the_judge_has_nothing_against_the_originals(original_errors: dict[str, frozenset[str]]) -> None:
    """So that a comparison means something."""
    assert {kind: errors for kind, errors in original_errors.items() if errors and kind not in FLAWED} == {}
    assert set(original_errors) == set(kinds())


def test_the_judge_finds_errors(original_errors: dict[str, frozenset[str]], tmp_path: Path) -> None:
    assert any("Value invalid for this VR [DA]" in error for error in original_errors["bad_dates"])
    empty = EncodedInstance("1.2.840.10008.5.1.4.1.1.2", "1.2.3", EXPLICIT, (b"",))
    assert errors_of(empty, tmp_path)


@pytest.mark.parametrize("profile", PROFILES)
def test_no_treatment_adds_an_error(profile: str, original_errors: dict[str, frozenset[str]], tmp_path: Path) -> None:
    added: list[str] = []
    for kind, output in outputs(profile).items():
        accepted = ACCEPTED[profile].get(kind, set())
        errors = errors_of(output.instance, tmp_path) - original_errors[kind]
        added += [f"{kind}: {error}" for error in sorted(errors) if not any(name in error for name in accepted)]
    assert added == []
