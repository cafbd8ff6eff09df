"""What an administrator sets for everybody: announcement, maintenance, and the state of each application."""

from dataclasses import dataclass
from enum import StrEnum

from models.domain.jobs import JobKind


class App(StrEnum):
    """The applications that can be locked or suspended on their own."""

    SELECTIVE_TRANSFER = "selective_transfer"
    BATCH_QUERY = "batch_query"
    BATCH_TRANSFER = "batch_transfer"
    MASS_TRANSFER = "mass_transfer"
    DICOM_EXPLORER = "dicom_explorer"
    DICOM_WEB = "dicom_web"
    UPLOAD = "upload"

    @classmethod
    def of(cls, kind: JobKind) -> "App":
        """The application that a kind of job belongs to."""
        return cls.BATCH_TRANSFER if kind is JobKind.BATCH_CHECK else cls(kind.value)


@dataclass(frozen=True, slots=True)
class AppState:
    """``locked``: nobody but superusers may begin anything. ``suspended``: its jobs wait until it goes on."""

    app: App
    locked: bool = False
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class Project:
    """``announcement`` is clean HTML, empty for none. In ``maintenance`` only staff get in and nothing new begins."""

    announcement: str = ""
    maintenance: bool = False
    version: int = 1
