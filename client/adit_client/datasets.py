"""Between bytes and pydicom's datasets. What cannot be read is not quoted: it may name a patient."""

from __future__ import annotations

from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any, cast

from pydicom import Dataset
from pydicom import dcmread as read_file  # pyright: ignore[reportUnknownVariableType]
from pydicom import dcmwrite as write_file  # pyright: ignore[reportUnknownVariableType]

from adit_client.calls import Answer
from adit_client.errors import BadAnswer, BadArgument

Image = Dataset | bytes | str | PathLike[str]
"""One instance: a dataset, or a DICOM file as it is, in memory or by its path."""


def dataset_of(file: bytes) -> Dataset:
    """The dataset of a DICOM file; raises BadAnswer when it is none."""
    try:
        return read_file(BytesIO(file))
    except Exception:
        raise BadAnswer("The server sent an instance that is no DICOM file.") from None


def file_of(image: Image) -> bytes:
    """The DICOM file of an image; raises BadArgument when it cannot be written, OSError when it cannot be read."""
    if isinstance(image, bytes):
        return image
    if not isinstance(image, Dataset):
        return Path(image).read_bytes()
    target = BytesIO()
    try:
        write_file(target, image, enforce_file_format=True)
    except Exception:
        raise BadArgument("An image cannot be written as a DICOM file. Has it its file meta information?") from None
    return target.getvalue()


def json_list(answer: Answer) -> list[dict[str, Any]]:
    """The datasets of an answer in the DICOM JSON model, as they are."""
    if answer.status == 204 or not answer.body:
        return []
    found: Any = answer.json()
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in cast("list[object]", found)):
        raise BadAnswer("The server's answer is no list of datasets.")
    return cast("list[dict[str, Any]]", found)


def datasets(answer: Answer) -> list[Dataset]:
    """The datasets of an answer in the DICOM JSON model."""
    return [dataset_of_json(one) for one in json_list(answer)]


def dataset_of_json(told: dict[str, Any]) -> Dataset:
    """One dataset of the DICOM JSON model; raises BadAnswer when it is none."""
    try:
        return Dataset.from_json(told)
    except Exception:
        raise BadAnswer("The server's answer has a dataset that cannot be read.") from None
