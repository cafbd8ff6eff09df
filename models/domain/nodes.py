"""Places data comes from or goes to: servers (PACS) and folders."""

from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Tls:
    """DICOM TLS of one server (PS3.15 annex B): the CA that signed its certificate, and our client certificate.

    Paths of PEM files. An empty ``ca_file`` means the system's CAs, an empty ``certificate_file`` no client
    certificate.
    """

    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    check_hostname: bool = True


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for one server."""

    connect: timedelta = timedelta(seconds=15)
    negotiation: timedelta = timedelta(seconds=30)
    response: timedelta = timedelta(seconds=60)
    idle: timedelta = timedelta(seconds=60)


DIMSE_CAPABILITIES = (
    "patient_root_find_support",
    "patient_root_get_support",
    "patient_root_move_support",
    "study_root_find_support",
    "study_root_get_support",
    "study_root_move_support",
    "store_scp_support",
)
WEB_CAPABILITIES = ("dicomweb_qido_support", "dicomweb_wado_support", "dicomweb_stow_support")
WEB_PREFIXES = ("dicomweb_qido_prefix", "dicomweb_wado_prefix", "dicomweb_stow_prefix")
"""Fields of a server that say what it can do, and where below its DICOMweb address."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time of the week, in the time zone of the settings, in which a server may be used for transfers.

    ``weekday`` 0 is Monday. One that ends at or before its begin goes on into the next day.
    """

    weekday: int
    begin: time
    end: time


@dataclass(frozen=True, slots=True)
class BudgetRule:
    """The association budget of a server at certain hours of the week, instead of the usual one."""

    hours: Window
    budget: int


@dataclass(frozen=True, slots=True)
class Stop:
    """That somebody has stopped a server: until it is let go on, nothing but connection tests reaches it."""

    by: str
    at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """A PACS or research archive with its protocols, as an administrator configured it."""

    name: str
    ae_title: str
    host: str
    port: int
    id: int = 0
    patient_root_find_support: bool = False
    patient_root_get_support: bool = False
    patient_root_move_support: bool = False
    study_root_find_support: bool = False
    study_root_get_support: bool = False
    study_root_move_support: bool = False
    store_scp_support: bool = False
    dicomweb_root_url: str = ""
    dicomweb_qido_support: bool = False
    dicomweb_wado_support: bool = False
    dicomweb_stow_support: bool = False
    dicomweb_qido_prefix: str = ""
    dicomweb_wado_prefix: str = ""
    dicomweb_stow_prefix: str = ""
    dicomweb_authorization_header: str = field(default="", repr=False)
    tls: Tls | None = None
    timeouts: Timeouts = Timeouts()
    association_budget: int = 8
    """How many associations and DICOMweb connections all workers together may hold, where no rule says otherwise."""
    budget_rules: tuple[BudgetRule, ...] = ()
    """Other budgets at certain hours. Where several count at a time, the smallest does."""
    store_associations: int = 2
    """How many instances are sent at the same time. More than 2 gains nothing and breaks some archives."""
    uses_pynetdicom: bool = False
    """Whether everything goes by pynetdicom instead of our own engine: slower, for peers that have trouble with it."""
    max_search_results: int = 200
    """How many answers this server gives to one query at most, as far as is known; searches show no more."""
    windows: tuple[Window, ...] = ()
    """When transfers may use it; empty: always."""
    stop: Stop | None = None
    """Who has stopped it. No setting: it is changed on its own."""
    version: int = 1

    @property
    def can_be_queried(self) -> bool:
        """Whether its settings allow to ask what it has."""
        return self.patient_root_find_support or self.study_root_find_support or self.has_qido

    @property
    def needs_patient(self) -> bool:
        """Whether C-FIND asks it for the studies of a patient only (patient root without study root)."""
        return self.patient_root_find_support and not self.study_root_find_support

    @property
    def can_be_read(self) -> bool:
        """Whether its settings allow to retrieve what it has."""
        return self.has_get or self.has_move or self.has_wado

    @property
    def can_be_written(self) -> bool:
        """Whether its settings allow to store on it."""
        return self.store_scp_support or (self.dicomweb_stow_support and bool(self.dicomweb_root_url))

    @property
    def has_get(self) -> bool:
        return self.patient_root_get_support or self.study_root_get_support

    @property
    def has_move(self) -> bool:
        return self.patient_root_move_support or self.study_root_move_support

    @property
    def has_qido(self) -> bool:
        return self.dicomweb_qido_support and bool(self.dicomweb_root_url)

    @property
    def has_wado(self) -> bool:
        return self.dicomweb_wado_support and bool(self.dicomweb_root_url)


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory that takes transferred studies as files. A GB is 10^9 bytes.

    ``measured_bytes`` is what lay there at ``measured_at``, without what was being written.
    """

    name: str
    path: Path
    id: int = 0
    quota_gb: float | None = None
    warn_at_gb: float | None = None
    warn_at_percent: float | None = None
    measured_bytes: int | None = None
    measured_at: datetime | None = None
    version: int = 1


Node = Server | Folder


@dataclass(frozen=True, slots=True)
class NodeName:
    """What everybody who may use a node may know of it: no host, no credentials. Folders have no AE title."""

    id: int
    name: str
    is_server: bool
    ae_title: str = ""
