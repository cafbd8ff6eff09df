"""Compares a data set with what became of it, attribute by attribute, for people who try a profile.

Shows original values; it is for those who may see the original anyway.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from pydicom import DataElement, Dataset
from pydicom.datadict import keyword_for_tag
from pydicom.tag import BaseTag

from dicom.deid.rules import name_of

_LONGEST = 64


@dataclass(frozen=True, slots=True)
class Difference:
    """One attribute: its path of tags and item numbers, and its values; None where there is none."""

    path: str
    keyword: str
    before: str | None
    after: str | None

    @property
    def is_change(self) -> bool:
        return self.before != self.after


def differences(before: Dataset, after: Dataset, path: str = "") -> Iterator[Difference]:
    """Yield every attribute of two data sets in the order of tags, nested ones behind their sequence; unchanged too."""
    for tag in sorted({*before.keys(), *after.keys()}):
        one, other = before.get(tag), after.get(tag)
        here = f"{path}{name_of(int(tag))}"
        yield Difference(here, _keyword(tag, one or other), _shown(one), _shown(other))
        for number, (item, treated) in enumerate(zip_longest(_items(one), _items(other)), start=1):
            yield from differences(item or Dataset(), treated or Dataset(), f"{here}[{number}].")


def _keyword(tag: BaseTag, element: DataElement | None) -> str:
    return keyword_for_tag(tag) or (element.name if element is not None else "")


def _items(element: DataElement | None) -> list[Dataset]:
    return list(element.value or ()) if element is not None and element.VR == "SQ" else []


def _shown(element: DataElement | None) -> str | None:
    if element is None:
        return None
    value = element.value
    if element.VR == "SQ":
        return f"{len(value or ())} items"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    text = "" if value is None else "\\".join(map(str, value)) if element.VM > 1 else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
