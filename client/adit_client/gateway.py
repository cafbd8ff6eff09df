"""The calls to the DICOMweb gateway. Every retrieval, of whatever form, is built by one function: `retrieval`.

What is pseudonymized and how is a part of every such call, so that no form of it can forget to say so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import cast

from pydicom import Dataset

from adit_client.calls import Call, segment
from adit_client.datasets import Image, file_of
from adit_client.errors import BadArgument
from adit_client.parts import PartWriter

DICOM_JSON = "application/dicom+json"
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


class Form(Enum):
    """In which form instances are retrieved: what stands behind them in the path, and what is accepted."""

    FILES = ("", 'multipart/related; type="application/dicom"; transfer-syntax=*')
    METADATA = ("/metadata", DICOM_JSON)
    NIFTI = ("/nifti", 'multipart/related; type="application/octet-stream"')


@dataclass(frozen=True)
class Trial:
    """The trial that data is retrieved or transferred for."""

    protocol_id: str = ""
    protocol_name: str = ""


@dataclass(frozen=True)
class Identity:
    """What becomes of the patient's identity. Without a pseudonym it is kept, which needs a right."""

    pseudonym: str | None = field(default=None, repr=False)
    trial: Trial = Trial()

    def query(self) -> Iterator[tuple[str, str]]:
        """The parameters of a retrieval that say so."""
        if self.pseudonym is not None:
            if not self.pseudonym.strip():
                raise BadArgument("pseudonym: it is empty. Leave it out to keep the identity of the patient.")
            yield "pseudonym", self.pseudonym
        if self.trial.protocol_id:
            yield "trial_protocol_id", self.trial.protocol_id
        if self.trial.protocol_name:
            yield "trial_protocol_name", self.trial.protocol_name


def retrieval(ae_title: str, uids: Sequence[str], form: Form, identity: Identity) -> Call:
    """The call that retrieves a study, a series or an image, by one, two or three UIDs."""
    suffix, accept = form.value
    path = f"{_base(ae_title)}/wadors/{_resource(uids)}{suffix}"
    headers = {"Accept": accept}
    if form is not Form.NIFTI:
        headers["X-ADIT-Receipt"] = "part"
    return Call("GET", path, tuple(identity.query()), headers, is_repeatable=True)


def search(ae_title: str, uids: Sequence[str], query: Mapping[str, object] | None) -> Call:
    """The call that searches for studies, for the series of a study, or for the images of a series.

    ``query`` has DICOM keywords or tags as keys, and ``limit``, ``offset``, ``includefield`` and ``fuzzymatching``.
    """
    below = ("studies", "series", "instances")[len(uids)]
    path = f"{_base(ae_title)}/qidors/{_resource(uids)}/{below}" if uids else f"{_base(ae_title)}/qidors/{below}"
    return Call("GET", path, tuple(_pairs(query or {})), {"Accept": DICOM_JSON}, is_repeatable=True)


def storage(ae_title: str, images: Iterable[Image]) -> Call:
    """The call that stores images, each of which is written when its turn has come."""
    if isinstance(images, (Dataset, bytes, str)):
        raise BadArgument("images: a list is needed, also for one image.")
    writer = PartWriter()

    def body() -> Iterator[bytes]:
        for image in images:
            yield writer.part(file_of(image))
        yield writer.closing()

    headers = {"Accept": DICOM_JSON, "Content-Type": writer.content_type, "Transfer-Encoding": "chunked"}
    is_list = isinstance(images, Sequence)
    return Call("POST", f"{_base(ae_title)}/stowrs/studies", (), headers, body, can_be_sent_again=is_list)


def uid(text: str) -> str:
    """The UID; raises BadArgument, without showing it, when it is none."""
    if len(text) > 64 or not _UID.fullmatch(text):
        raise BadArgument("This is no DICOM UID: digits and dots, at most 64.")
    return text


def _base(ae_title: str) -> str:
    title = ae_title.strip()
    if not title or len(title) > 16 or "\\" in title or not title.isprintable():
        raise BadArgument("ae_title: an AE title has 1 to 16 characters.")
    return f"/api/dicom-web/{segment(title)}"


def _resource(uids: Sequence[str]) -> str:
    return "/".join(f"{level}/{uid(one)}" for level, one in zip(("studies", "series", "instances"), uids, strict=False))


def _pairs(query: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in query.items():
        if value is None:
            continue
        is_list = isinstance(value, Iterable) and not isinstance(value, str)
        values: list[object] = [*cast("Iterable[object]", value)] if is_list else [value]
        texts = [str(one).lower() if isinstance(one, bool) else str(one) for one in values]
        if name == "includefield":
            yield from ((name, text) for text in texts)
        else:
            yield name, ",".join(texts)
