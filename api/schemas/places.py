"""Servers and folders, as administrators see and change them. An authorization header goes in and never comes out."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import ConfigDict, Field, FiniteFloat

from api.schemas.shapes import Answer, Flag, Request, Text, Version
from models.domain.errors import BadRequest
from models.domain.holding import FolderHold, Openness, ServerState
from models.domain.nodes import DIMSE_CAPABILITIES, WEB_CAPABILITIES, WEB_PREFIXES, Folder, Server, Timeouts, Tls
from models.domain.quotas import Usage
from models.domain.windows import MOST, parsed, parsed_rules, rule_words, words

_SAME = (
    *("name", "ae_title", "host", "port", "dicomweb_root_url", "association_budget", "store_associations"),
    *("uses_pynetdicom", "max_search_results", *DIMSE_CAPABILITIES, *WEB_CAPABILITIES, *WEB_PREFIXES),
)
"""Fields of a server that go in and out as they are."""
_PORT = Field(strict=True, ge=1, le=65535)
_Seconds = Annotated[FiniteFloat, Field(strict=True, gt=0, le=3600)]
_Gigabytes = Annotated[FiniteFloat, Field(strict=True, gt=0, le=1e9)]


class TlsFields(Request):
    """DICOM TLS: absolute paths of PEM files; an empty CA means those of the system."""

    ca_file: Text = ""
    certificate_file: Text = ""
    key_file: Text = ""
    check_hostname: Flag = True


class TimeoutFields(Request):
    """How long to wait for a server, in seconds."""

    connect_s: _Seconds = 15
    negotiation_s: _Seconds = 30
    response_s: _Seconds = 60
    idle_s: _Seconds = 60


class ServerWished(Request):
    """A server with all its settings. What is left out is off, empty or usual."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "PACS",
                    "ae_title": "PACS1",
                    "host": "pacs.example.org",
                    "port": 104,
                    "study_root_find_support": True,
                    "study_root_get_support": True,
                    "windows": ["Mon-Fri 20:00-06:00"],
                }
            ]
        }
    )

    name: Text
    ae_title: Text
    host: Text
    port: Annotated[int, _PORT]
    patient_root_find_support: Flag = False
    patient_root_get_support: Flag = False
    patient_root_move_support: Flag = False
    study_root_find_support: Flag = False
    study_root_get_support: Flag = False
    study_root_move_support: Flag = False
    store_scp_support: Flag = False
    dicomweb_root_url: Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")] = ""
    dicomweb_qido_support: Flag = False
    dicomweb_wado_support: Flag = False
    dicomweb_stow_support: Flag = False
    dicomweb_qido_prefix: Text = ""
    dicomweb_wado_prefix: Text = ""
    dicomweb_stow_prefix: Text = ""
    dicomweb_authorization_header: Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$", repr=False)] = Field(
        default="", description="Never shown again. Empty: the one that is kept stays."
    )
    tls: TlsFields | None = None
    timeouts: TimeoutFields = TimeoutFields()
    association_budget: Annotated[int, Field(strict=True, ge=1, le=1000)] = 8
    store_associations: Annotated[int, Field(strict=True, ge=1, le=100)] = 2
    uses_pynetdicom: Flag = False
    max_search_results: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 200
    windows: Annotated[list[Text], Field(fail_fast=True, max_length=MOST)] = Field(
        default=[], description="When transfers may use it; empty: always.", examples=[["Mon-Fri 20:00-06:00"]]
    )
    budget_rules: Annotated[list[Text], Field(fail_fast=True, max_length=MOST)] = Field(
        default=[],
        description="Other association budgets at certain hours; of several the smallest counts.",
        examples=[["Mon-Fri 20:00-06:00 = 12"]],
    )

    def server(self, server_id: int = 0, version: int = 1) -> Server:
        """The same as services take it; raises BadRequest for windows and budgets that are not understood."""
        waits = self.timeouts
        return Server(
            **{name: getattr(self, name) for name in _SAME},
            id=server_id,
            dicomweb_authorization_header=self.dicomweb_authorization_header,
            tls=None if self.tls is None else Tls(**self.tls.model_dump()),
            timeouts=Timeouts(
                *(
                    timedelta(seconds=each)
                    for each in (waits.connect_s, waits.negotiation_s, waits.response_s, waits.idle_s)
                )
            ),
            windows=tuple(window for text in self.windows for window in parsed(text)),
            budget_rules=tuple(rule for text in self.budget_rules for rule in parsed_rules(text)),
            version=version,
        )


class ServerChanged(ServerWished):
    """A server as it should be; all of it is replaced, but for an authorization header that is left out."""

    version: Version


class StopWished(Request):
    """Why a server is stopped; people whose jobs wait read it."""

    reason: Text = Field(default="", examples=["It swaps its disks."])


class StopShown(Answer):
    """Who stopped a server, when and why."""

    by: str
    at: datetime
    reason: str


class StateShown(Answer):
    """Whether jobs may use a server now. ``until`` is when its windows change that, null where they don't."""

    openness: Openness
    until: datetime | None
    budget: int = Field(description="How many connections may be held at this hour.")


class ServerShown(Answer):
    """A server. Of its authorization header is told only whether there is one."""

    id: int
    name: str
    ae_title: str
    host: str
    port: int
    patient_root_find_support: bool
    patient_root_get_support: bool
    patient_root_move_support: bool
    study_root_find_support: bool
    study_root_get_support: bool
    study_root_move_support: bool
    store_scp_support: bool
    dicomweb_root_url: str
    dicomweb_qido_support: bool
    dicomweb_wado_support: bool
    dicomweb_stow_support: bool
    dicomweb_qido_prefix: str
    dicomweb_wado_prefix: str
    dicomweb_stow_prefix: str
    has_authorization: bool
    tls: TlsFields | None
    timeouts: TimeoutFields
    association_budget: int
    store_associations: int
    uses_pynetdicom: bool
    max_search_results: int
    windows: list[str]
    budget_rules: list[str]
    stop: StopShown | None
    state: StateShown
    version: int

    @classmethod
    def of(cls, server: Server, has_authorization: bool, state: ServerState) -> Self:
        """What is shown of a server."""
        waits, tls = server.timeouts, server.tls
        return cls(
            **{name: getattr(server, name) for name in _SAME},
            id=server.id,
            has_authorization=has_authorization,
            tls=tls
            and TlsFields(
                ca_file=tls.ca_file,
                certificate_file=tls.certificate_file,
                key_file=tls.key_file,
                check_hostname=tls.check_hostname,
            ),
            timeouts=TimeoutFields(
                connect_s=waits.connect.total_seconds(),
                negotiation_s=waits.negotiation.total_seconds(),
                response_s=waits.response.total_seconds(),
                idle_s=waits.idle.total_seconds(),
            ),
            windows=[words(window) for window in server.windows],
            budget_rules=[rule_words(rule) for rule in server.budget_rules],
            stop=server.stop and StopShown.model_validate(server.stop),
            state=StateShown.model_validate(state),
            version=server.version,
        )


class FolderWished(Request):
    """A folder on a machine of the workers."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Research", "path": "/mnt/research", "quota_gb": 500}]}
    )

    name: Text
    path: Text = Field(description="Absolute, and there when data is sent.")
    quota_gb: _Gigabytes | None = None
    warn_at_gb: _Gigabytes | None = None
    warn_at_percent: Annotated[FiniteFloat, Field(strict=True, gt=0, le=100)] | None = None

    def folder(self, folder_id: int = 0, version: int = 1) -> Folder:
        """The same as services take it."""
        if not self.path:
            raise BadRequest.of({"path": "it must be absolute."})
        return Folder(
            name=self.name,
            path=Path(self.path),
            id=folder_id,
            quota_gb=self.quota_gb,
            warn_at_gb=self.warn_at_gb,
            warn_at_percent=self.warn_at_percent,
            version=version,
        )


class FolderChanged(FolderWished):
    """A folder as it should be; all of it is replaced."""

    version: Version


class HoldShown(Answer):
    """That items wait for a folder which can take nothing: what one of them has met, and when the next one tries."""

    code: str = Field(examples=["FolderFull"])
    said: str
    machine: str
    since: datetime
    again_at: datetime


class FolderShown(Answer):
    """A folder. ``hold`` is null as long as it takes what comes."""

    id: int
    name: str
    path: str
    quota_gb: float | None
    warn_at_gb: float | None
    warn_at_percent: float | None
    hold: HoldShown | None
    version: int

    @classmethod
    def of(cls, folder: Folder, hold: FolderHold | None) -> Self:
        """What is shown of a folder."""
        return cls(
            id=folder.id,
            name=folder.name,
            path=str(folder.path),
            quota_gb=folder.quota_gb,
            warn_at_gb=folder.warn_at_gb,
            warn_at_percent=folder.warn_at_percent,
            hold=hold and HoldShown.model_validate(hold),
            version=folder.version,
        )


class Places(Answer):
    """All nodes, each kind by name."""

    servers: list[ServerShown]
    folders: list[FolderShown]


class Place(Answer):
    """One node: the field of its kind is filled."""

    server: ServerShown | None = None
    folder: FolderShown | None = None


class FindingShown(Answer):
    """One thing that was tried; ``text`` says what works, or what to do where it does not."""

    what: str
    is_ok: bool
    text: str
    seconds: float


class UsageShown(Answer):
    """How full a folder is."""

    folder_id: int
    folder_name: str
    quota_bytes: int | None
    used_bytes: int
    left_bytes: int | None
    measured_bytes: int
    settled_since_bytes: int
    reserved_bytes: int
    warn_at_bytes: int | None
    warns: bool
    measured_at: datetime | None
    sentence: str

    @classmethod
    def of(cls, usage: Usage) -> Self:
        """What is shown of a usage."""
        return cls.model_validate(usage)
