"""A client of ADIT: search, transfer, retrieve and store DICOM studies from a Python program."""

from adit_client import errors
from adit_client.async_client import AsyncAditClient
from adit_client.client import AditClient
from adit_client.errors import AditClientError, AditClientWarning
from adit_client.server import __version__
from adit_client.steps import Retries
from adit_client.values import StudyWish

__all__ = [
    "AditClient",
    "AditClientError",
    "AditClientWarning",
    "AsyncAditClient",
    "Retries",
    "StudyWish",
    "__version__",
    "errors",
]
