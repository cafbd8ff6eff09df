"""docs/deidentification.md says what the code does."""

import re
from pathlib import Path

import pytest

from dicom.deid.pixels.rules import PixelRules
from dicom.deid.policy import compiled
from dicom.deid.profile import load
from models.domain.errors import NeedsReview
from tests import pictures
from tests.pictures import STORAGE, a_picture

PAGE = (Path(__file__).parents[3] / "docs" / "deidentification.md").read_text(encoding="utf-8")
PIXELS = PAGE.partition("## Pixels and documents")[2].partition("\n## ")[0]
FREED_BY_NO = {"Ultrasound": "6.1", "Secondary capture": "7", "Photographs, endoscopy": "77.1.1"}
"""How the rows of the table begin, with an SOP class of each."""


def test_the_example_of_a_profile_is_one(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "cardiac.yaml").write_text(example, encoding="utf-8")
    profile = load("cardiac", tmp_path)
    assert compiled(profile).digest != compiled(load("research")).digest
    assert profile.summary != load("research").summary


@pytest.mark.parametrize("kind", FREED_BY_NO)
def test_the_page_says_what_passes_unseen_because_it_declares_no(kind: str) -> None:
    (row,) = re.findall(rf"^\| {kind}.*\|$", PIXELS, re.MULTILINE)
    assert re.search(r"unless (it|they) declares? NO", row)
    source = pictures.native(*a_picture(SOPClassUID=STORAGE + FREED_BY_NO[kind], BurnedInAnnotation="NO"))
    pictures.judge(source)
    (key,) = re.findall(r"`(\w+): false` under `pixels`", PIXELS)
    with pytest.raises(NeedsReview):
        pictures.judge(source, PixelRules.from_mapping({key: False}))
