"""What the server tells, and what it is told, as plain values. They are made by `adit_client.reading`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypedDict

ENDED = frozenset({"canceled", "success", "warning", "failure"})
"""The states in which a job or an item has come to its end."""


class StudyKeys(TypedDict, total=False):
    """By what studies are searched. Dates are YYYYMMDD or ranges of them, ``*`` and ``?`` are wildcards."""

    patient_id: str
    patient_name: str
    birth_date: str
    accession_number: str
    study_uid: str
    study_date: str
    study_time: str
    study_description: str
    modalities: tuple[str, ...] | list[str]


class TransferOptions(TypedDict, total=False):
    """How studies are transferred. The trial is that of the client unless it is named here."""

    trial_protocol_id: str
    trial_protocol_name: str
    profile: str
    keep_identity: bool
    urgent: bool
    send_finished_mail: bool


@dataclass(frozen=True)
class StudyWish:
    """One study to transfer; without ``series_uids`` all of it.

    Without a pseudonym the patient gets the one that they have in the trial, or else a generated one.
    """

    study_uid: str
    patient_id: str = field(default="", repr=False)
    series_uids: tuple[str, ...] = ()
    pseudonym: str = field(default="", repr=False)


@dataclass(frozen=True)
class DownloadReceipt:
    """What the server says about a download: what was expected and sent, and what was left out and why."""

    expected: int | None = None
    sent: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    missing: int = 0


@dataclass(frozen=True)
class Job:
    """A job as it is at this moment; ``counts`` says how many of its items are in which state."""

    id: int
    state: str
    kind: str = ""
    owner: str = ""
    urgent: bool = False
    message: str = ""
    trial_protocol_id: str = ""
    trial_protocol_name: str = ""
    profile: str = ""
    keep_identity: bool = False
    send_finished_mail: bool = False
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    counts: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.state in ENDED


@dataclass(frozen=True)
class Item:
    """One study of a job."""

    id: int
    state: str
    job_id: int = 0
    position: int = 0
    patient_id: str = field(default="", repr=False)
    study_uid: str = ""
    series_uids: tuple[str, ...] = ()
    pseudonym: str = field(default="", repr=False)
    attempts: int = 0
    message: str = ""
    error_code: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
