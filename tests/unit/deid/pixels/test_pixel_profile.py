"""The pixels part of a profile: what it may say, and what it means where it says nothing."""

from pathlib import Path

import pytest
import yaml

from dicom.deid.pixels import signatures
from dicom.deid.pixels.rules import Kind, PixelRules, Treatment
from dicom.deid.pixels.signatures import Rectangle, shipped_signatures
from models.domain.errors import ProfileInvalid

A_SIGNATURE: dict[str, object] = {"name": "x", "model": "Model X", "blank": [[0, 0, 9, 9]]}


def test_without_a_word_nothing_passes_unlooked_at() -> None:
    rules = PixelRules.from_mapping({})
    assert rules == PixelRules()
    assert rules.treatments[Kind.DOCUMENTS] is Treatment.REJECT
    assert set(rules.treatments) == set(Kind)
    assert Treatment.PASS not in rules.treatments.values()


def test_a_profile_changes_what_it_names_and_nothing_else() -> None:
    rules = PixelRules.from_mapping({"video": "reject", "documents": "hold", "trust_declared_no": False})
    changed = {kind for kind in Kind if rules.treatments[kind] is not PixelRules().treatments[kind]}
    assert changed == {Kind.VIDEO, Kind.DOCUMENTS}
    assert not rules.trusts_declared_no


def test_own_signatures_come_before_the_shipped_ones() -> None:
    keeping = {"name": "y", "rows": 512, "columns": 512, "keep": [[1, 2, 3, 4], [5, 6, 7, 8]]}
    rules = PixelRules.from_mapping({"signatures": [A_SIGNATURE, keeping]})
    assert [one.name for one in rules.signatures[:2]] == ["x", "y"]
    assert rules.signatures[2:] == shipped_signatures()
    assert rules.signatures[1].areas.keep == (Rectangle(1, 2, 3, 4), Rectangle(5, 6, 7, 8))


def test_equal_rules_are_described_equally_for_a_digest() -> None:
    assert repr(PixelRules.from_mapping({"video": "hold"})) == repr(PixelRules())
    assert repr(PixelRules.from_mapping({"video": "reject"})) != repr(PixelRules())
    assert repr(PixelRules.from_mapping({"signatures": [A_SIGNATURE]})) != repr(PixelRules())


@pytest.mark.parametrize(
    ("mapping", "place"),
    [
        ({"utrasound": "blank"}, "pixels.utrasound"),
        ({"ultrasound": "blur"}, "pixels.ultrasound"),
        ({"ultrasound": None}, "pixels.ultrasound"),
        ({"ultrasound": ["blank"]}, "pixels.ultrasound"),
        ({"documents": "blank"}, "pixels.documents"),
        ({"video": "blank"}, "pixels.video"),
        ({"audio": "blank"}, "pixels.audio"),
        ({"trust_declared_no": "yes"}, "pixels.trust_declared_no"),
        ({"signatures": {"name": "x"}}, "pixels.signatures"),
        ({"signatures": ["x"]}, r"pixels.signatures\[0\]"),
        ({"signatures": [A_SIGNATURE, {"name": "x", "blank": [[0, 0, 1, 1]]}]}, r"pixels.signatures\[1\]"),
        ({"signatures": [{**A_SIGNATURE, "name": ""}]}, r"signatures\[0\].name"),
        ({"signatures": [{**A_SIGNATURE, "modell": "x"}]}, "modell"),
        ({"signatures": [{**A_SIGNATURE, 7: "x"}]}, "7"),
        ({"signatures": [{**A_SIGNATURE, "rows": "512"}]}, "rows"),
        ({"signatures": [{**A_SIGNATURE, "rows": True}]}, "rows"),
        ({"signatures": [{**A_SIGNATURE, "image_type": "AXIAL"}]}, "image_type"),
        ({"signatures": [{**A_SIGNATURE, "keep": [[0, 0, 1, 1]]}]}, "either blank or keep"),
        ({"signatures": [{"name": "x", "model": "y"}]}, "either blank or keep"),
        ({"signatures": [{**A_SIGNATURE, "blank": []}]}, "blank"),
        ({"signatures": [{**A_SIGNATURE, "blank": [[0, 0, 1]]}]}, "blank"),
        ({"signatures": [{**A_SIGNATURE, "blank": [[5, 0, 1, 1]]}]}, "blank"),
        ({"signatures": [{**A_SIGNATURE, "blank": [[-1, 0, 1, 1]]}]}, "blank"),
        ({"signatures": [{**A_SIGNATURE, "blank": [[0, 0, 1, 1.5]]}]}, "blank"),
    ],
)
def test_what_is_not_understood_is_refused_by_its_place(mapping: dict[str, object], place: str) -> None:
    with pytest.raises(ProfileInvalid, match=place):
        PixelRules.from_mapping(mapping)


def test_the_example_in_the_shipped_file_is_valid() -> None:
    file = Path(signatures.__file__).parents[1] / "data" / "pixel-signatures.yaml"
    lines = file.read_text(encoding="utf-8").splitlines()
    example = "\n".join(line.removeprefix("#") for line in lines if line.startswith("#   "))
    (found,) = signatures.read_signatures("example", yaml.safe_load(example))
    assert len(found.areas.blank) == 2
