"""What tests of more than one file use."""

import pytest

from dicom.network import find, get, store
from dicom.network.direct import DirectAssociation
from dicom.network.reactor import ReactorAssociation


@pytest.fixture(params=[DirectAssociation, ReactorAssociation], ids=["direct", "pynetdicom"])
def bulk_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> object:
    """Let C-FIND, C-GET and C-STORE go over each kind of association in turn: the same is true of both."""
    for module in (find, get, store):
        monkeypatch.setattr(module, "association_kind", lambda _: request.param)
    return request.param
