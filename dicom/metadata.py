"""Tells what an instance says of itself in the DICOM JSON model (PS3.18 annex F), without its pixels."""

import json
import math
from io import BytesIO
from typing import Any, cast

from pydicom import DataElement, Dataset
from pydicom.filereader import read_dataset  # pyright: ignore[reportUnknownVariableType]
from pydicom.filewriter import correct_ambiguous_vr
from pydicom.tag import BaseTag

from dicom.deid.encoding import read_elements
from dicom.deid.streams import opened
from models.domain.errors import Unreadable
from models.domain.instances import EncodedInstance

_PIXELS = 0x7FE0
_CHARACTER_SET = "00080005"


def metadata_of(instance: EncodedInstance) -> bytes:
    """Return the encoded JSON object of an instance; what belongs to group 7FE0 is never read.

    A value that its own VR does not allow is left out, since JSON has no way to say it; its attribute stays. Raises
    Unreadable.
    """
    data, syntax = opened(instance.parts, instance.transfer_syntax_uid)
    kept = [element for element in read_elements(data, syntax) if element.tag >> 16 != _PIXELS]
    header = b"".join(data[element.start : element.end] for element in kept)
    try:
        data_set = read_dataset(BytesIO(header), syntax.implicit, not syntax.big_endian)
        if syntax.implicit:  # US or SS depends on other attributes
            correct_ambiguous_vr(data_set, is_little_endian=True)
        said = _object(data_set)
    except Exception as exc:  # pydicom raises many kinds, and quotes values in them
        raise Unreadable(f"The metadata of an instance cannot be read ({type(exc).__name__}).") from None
    if _CHARACTER_SET in said:
        said[_CHARACTER_SET] = {"vr": "CS", "Value": ["ISO_IR 192"]}  # JSON is UTF-8
    return json.dumps(said, allow_nan=False, separators=(",", ":")).encode()


def _object(data_set: Dataset) -> dict[str, dict[str, Any]]:
    return {f"{tag:08X}": _element(data_set, tag) for tag in sorted(data_set.keys()) if tag & 0xFFFF}


def _element(data_set: Dataset, tag: BaseTag) -> dict[str, Any]:
    element: DataElement | None = None
    try:
        element = data_set[tag]
        if element.VR == "SQ":
            items = [_object(item) for item in cast(list[Dataset], element.value)]
            return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
        return _finite(element.to_json_dict(None, 0))
    except Exception:  # a value that its VR does not allow; the text of the error would quote it
        return {"vr": element.VR if element is not None else "UN"}


def _finite(said: dict[str, Any]) -> dict[str, Any]:
    """The same with null in the place of numbers that JSON does not know."""
    values = cast(list[object], said.get("Value") or [])
    plain = [None if isinstance(value, float) and not math.isfinite(value) else value for value in values]
    return {**said, "Value": plain} if plain else said
