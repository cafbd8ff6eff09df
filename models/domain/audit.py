"""The trail of what people did: each try, who, from where, when, why and how it ended."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AuditAction(StrEnum):
    """What is written down, allowed or not."""

    SIGN_IN = "sign_in"
    SIGN_OUT = "sign_out"
    END_SESSIONS = "end_sessions"
    REGISTER = "register"
    CONFIRM_EMAIL = "confirm_email"
    ADD_USER = "add_user"
    APPROVE_USER = "approve_user"
    CHANGE_USER = "change_user"
    DEACTIVATE_USER = "deactivate_user"
    CHANGE_PASSWORD = "change_password"
    RESET_PASSWORD = "reset_password"
    ADD_TOKEN = "add_token"
    REVOKE_TOKEN = "revoke_token"
    CHANGE_GROUP = "change_group"
    DELETE_GROUP = "delete_group"
    ADD_NODE = "add_node"
    CHANGE_NODE = "change_node"
    DELETE_NODE = "delete_node"
    TEST_NODE = "test_node"
    ADD_WEBHOOK = "add_webhook"
    CHANGE_WEBHOOK = "change_webhook"
    DELETE_WEBHOOK = "delete_webhook"
    CHANGE_SETTINGS = "change_settings"
    RUN_CHORE = "run_chore"
    RESTORE_BACKUP = "restore_backup"
    BROADCAST = "broadcast"
    SEND_TEST_MAIL = "send_test_mail"
    SEARCH = "search"
    WEB_QUERY = "web_query"
    WEB_RETRIEVE = "web_retrieve"
    WEB_STORE = "web_store"
    SUBMIT_JOB = "submit_job"
    CHANGE_JOB = "change_job"
    DELETE_JOB = "delete_job"
    DOWNLOAD = "download"
    CHANGE_TRIAL = "change_trial"
    READ_DETAILS = "read_details"
    EXPORT_AUDIT = "export_audit"
    LOOK_UP_IDENTITY = "look_up_identity"
    FORGET_SCOPE = "forget_scope"
    RELEASE_HELD = "release_held"
    REJECT_HELD = "reject_held"


BEGUN = "begun"
"""The outcome in the first line of what takes long and is told of twice; the second says how it has ended."""
DONE = "done"
"""The outcome of what succeeded; of what did not, it is the error's code."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One try. ``subject`` names trials, jobs, items and pseudonyms, never a patient; so should the ``reason``.

    ``digest`` seals the entry and all before it; None for those that are older than seals. ``has_details`` says that
    more is kept encrypted, such as the keys of a search.
    """

    id: int
    at: datetime
    actor: str
    action: AuditAction
    subject: str
    reason: str
    outcome: str
    address: str = ""
    digest: str | None = None
    has_details: bool = False


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries somebody wants to see. ``since`` is included, ``until`` is not.

    ``who`` is part of a name, ``text`` part of a subject, reason or address.
    """

    since: datetime | None = None
    until: datetime | None = None
    who: str = ""
    action: AuditAction | None = None
    text: str = ""


EVERYTHING = AuditFilter()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the seals of the trail say.

    ``broken_at`` is the id of the first entry that does not fit: it was changed, moved or put in, or the one before it
    is missing. None when all fit. ``newest`` is the digest of the last entry, empty when nothing is sealed. ``older``
    entries were written before there were seals; the first seal covers them. ``has_expected`` says that the digest
    somebody kept elsewhere is still there; without it, entries that were cut off at the end are not missed.
    """

    count: int
    older: int
    newest: str
    broken_at: int | None
    has_expected: bool = True

    @property
    def is_whole(self) -> bool:
        return self.broken_at is None and self.has_expected
