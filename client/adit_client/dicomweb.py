"""What the client can ask of the DICOMweb gateway, as steps that a wire takes: both clients speak through it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydicom import Dataset

from adit_client import gateway
from adit_client.calls import Answer, Call, check, warnings_of
from adit_client.datasets import Image, dataset_of_json, datasets
from adit_client.downloads import Retrieved, metadata
from adit_client.errors import BadAnswer, InstancesNotStored, NothingStored
from adit_client.gateway import Form, Identity, Trial
from adit_client.steps import Opened, Retries, Steps, opened, sent
from adit_client.values import Found

T = TypeVar("T")

_MORE = "additional results"
"""What PS3.18 section 8.3.4 lets a server say that has more than it tells."""


@dataclass(frozen=True)
class DicomWeb:
    """What can be asked of the gateway. Arguments are checked at once; nothing is sent before the steps are taken."""

    trial: Trial
    retries: Retries

    def search_for(
        self, ae_title: str, uids: Sequence[str], query: Mapping[str, object] | None
    ) -> Steps[Found[Dataset]]:
        """The datasets that a server finds below what the UIDs name."""
        return self._read(gateway.search(ae_title, uids, query), _found)

    def download(self, ae_title: str, uids: Sequence[str], form: Form, pseudonym: str | None) -> Steps[Opened]:
        """A download that has begun."""
        return opened(self._retrieval(ae_title, uids, form, pseudonym), self.retries)

    def metadata(self, ae_title: str, uids: Sequence[str], pseudonym: str | None) -> Steps[Retrieved[dict[str, Any]]]:
        """What stands in the instances, without pixels, in the DICOM JSON model."""
        return self._read(self._retrieval(ae_title, uids, Form.METADATA, pseudonym), metadata)

    def store(self, ae_title: str, images: Iterable[Image]) -> Steps[Dataset]:
        """What became of each image; raises NothingStored when none was stored, warns when some were not."""
        return self._store(gateway.storage(ae_title, images))

    def _retrieval(self, ae_title: str, uids: Sequence[str], form: Form, pseudonym: str | None) -> Call:
        return gateway.retrieval(ae_title, uids, form, Identity(pseudonym, self.trial))

    def _store(self, call: Call) -> Steps[Dataset]:
        answer = yield from sent(call, self.retries, 409)
        if gateway.DICOM_JSON not in answer.headers.get("content-type", ""):
            check(answer)
            raise BadAnswer("The server's answer does not tell what was stored.")
        result = dataset_of_json(answer.json())
        failed = len(result.get("FailedSOPSequence") or ())
        if answer.status == 409:
            raise NothingStored(result)
        if failed:
            warnings.warn(f"{failed} of the instances were not stored; see FailedSOPSequence.", InstancesNotStored, 2)
        return result

    def _read(self, call: Call, shape: Callable[[Answer], T]) -> Steps[T]:
        answer = yield from sent(call, self.retries)
        return shape(answer)


def _found(answer: Answer) -> Found[Dataset]:
    found = Found(datasets(answer))
    found.warnings = warnings_of(answer.headers)
    found.has_more = any(_MORE in text.lower() for text in found.warnings)
    return found


def only(found: list[T]) -> T:
    """The one that was asked for; raises BadAnswer when there is none, or more."""
    if len(found) != 1:
        raise BadAnswer("The server's answer does not have exactly one image.")
    return found[0]
