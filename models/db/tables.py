"""The tables, typed. Rows stay inside ``models.db``: stores hand out the frozen types of ``models.domain``."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Enum, ForeignKey, Index, LargeBinary, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from models.domain.audit import AuditAction
from models.domain.chores import ChoreOutcome
from models.domain.jobs import JobKind, State
from models.domain.mails import MailState
from models.domain.people import LinkPurpose, Permission
from models.domain.project import App
from models.domain.receipts import Completeness
from models.domain.reviews import Decision
from models.domain.webhooks import Event, NoticeState

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

NEVER_REUSE_IDS = {"sqlite_autoincrement": True}
"""SQLite would give the id of a deleted job to the next one, and Prefect would take the two for the same."""


class UtcTime(TypeDecorator[datetime]):
    """An aware time, always in UTC; SQLite keeps no zone, so it is taken off on the way in and put back after."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def word(kind: type[StrEnum], length: int = 24) -> Enum:
    """A column that keeps an enumeration as its value, so that the database can be read by people."""
    return Enum(kind, native_enum=False, length=length, values_callable=_values)


def _values(kind: type[StrEnum]) -> list[str]:
    return [member.value for member in kind]


class Row(DeclarativeBase):
    """One row of a table."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {datetime: UtcTime, bytes: LargeBinary}  # noqa: RUF012


class SealRow(Row):
    """A known text, encrypted with the master key: shows at start whether the key is the right one."""

    __tablename__ = "seals"
    id: Mapped[int] = mapped_column(primary_key=True)
    ciphertext: Mapped[bytes]


class NodeRow(Row):
    """What servers and folders share."""

    __tablename__ = "nodes"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(8))
    name: Mapped[str] = mapped_column(String(64), unique=True)
    version: Mapped[int]
    __mapper_args__ = {"polymorphic_on": "kind", "with_polymorphic": "*"}  # noqa: RUF012


class ServerRow(NodeRow):
    """A server; the authorization header is encrypted. TLS is used when ``tls_ca_file`` is not null.

    It is stopped while ``stopped_at`` is not null.
    """

    __tablename__ = "servers"
    id: Mapped[int] = mapped_column(ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True)
    ae_title: Mapped[str] = mapped_column(String(16), unique=True)
    host: Mapped[str] = mapped_column(String(255))
    port: Mapped[int]
    patient_root_find_support: Mapped[bool]
    patient_root_get_support: Mapped[bool]
    patient_root_move_support: Mapped[bool]
    study_root_find_support: Mapped[bool]
    study_root_get_support: Mapped[bool]
    study_root_move_support: Mapped[bool]
    store_scp_support: Mapped[bool]
    dicomweb_root_url: Mapped[str] = mapped_column(String(2000))
    dicomweb_qido_support: Mapped[bool]
    dicomweb_wado_support: Mapped[bool]
    dicomweb_stow_support: Mapped[bool]
    dicomweb_qido_prefix: Mapped[str] = mapped_column(String(2000))
    dicomweb_wado_prefix: Mapped[str] = mapped_column(String(2000))
    dicomweb_stow_prefix: Mapped[str] = mapped_column(String(2000))
    dicomweb_authorization_header: Mapped[bytes]
    tls_ca_file: Mapped[str | None] = mapped_column(String(1024))
    tls_certificate_file: Mapped[str | None] = mapped_column(String(1024))
    tls_key_file: Mapped[str | None] = mapped_column(String(1024))
    tls_check_hostname: Mapped[bool | None]
    connect_timeout_s: Mapped[float]
    negotiation_timeout_s: Mapped[float]
    response_timeout_s: Mapped[float]
    idle_timeout_s: Mapped[float]
    association_budget: Mapped[int]
    store_associations: Mapped[int]
    uses_pynetdicom: Mapped[bool]
    max_search_results: Mapped[int]
    windows: Mapped[list[list[Any]]] = mapped_column(JSON)
    budget_rules: Mapped[list[list[Any]]] = mapped_column(JSON)
    stopped_at: Mapped[datetime | None]
    stopped_by: Mapped[str] = mapped_column(String(150), default="")
    stop_reason: Mapped[str] = mapped_column(String(500), default="")
    __mapper_args__ = {"polymorphic_identity": "server"}  # noqa: RUF012


class FolderRow(NodeRow):
    """A folder; ``settled_bytes`` is what was published there since the walk began that found ``measured_bytes``."""

    __tablename__ = "folders"
    id: Mapped[int] = mapped_column(ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True)
    path: Mapped[str] = mapped_column(String(1024))
    quota_gb: Mapped[float | None]
    warn_at_gb: Mapped[float | None]
    warn_at_percent: Mapped[float | None]
    measured_bytes: Mapped[int | None] = mapped_column(BigInteger)
    measured_at: Mapped[datetime | None]
    settled_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    warned_at: Mapped[datetime | None]
    __mapper_args__ = {"polymorphic_identity": "folder"}  # noqa: RUF012


class FolderHoldRow(Row):
    """That a folder takes nothing at this time; see ``models.domain.holding``.

    ``probe_item_id`` is the item that tries it. ``needed_bytes`` is how much room an item that has met it needs.
    """

    __tablename__ = "folder_holds"
    folder_id: Mapped[int] = mapped_column(
        ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    code: Mapped[str] = mapped_column(String(64))
    said: Mapped[str] = mapped_column(Text)
    machine: Mapped[str] = mapped_column(String(255))
    since_at: Mapped[datetime]
    again_at: Mapped[datetime]
    probe_item_id: Mapped[int | None]
    needed_by_item_id: Mapped[int | None]
    needed_bytes: Mapped[int] = mapped_column(BigInteger)


class ScopeRow(Row):
    """A linkage key (encrypted) and, for the key of a trial, the trial's protocol ID.

    The key is empty from ``forgotten_at`` on: nobody can find out any more who its patients are.
    """

    __tablename__ = "linkage_scopes"
    __table_args__ = NEVER_REUSE_IDS
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(64), unique=True)
    key: Mapped[bytes]
    created_at: Mapped[datetime]
    forgotten_at: Mapped[datetime | None]


class TrialUserRow(Row):
    """Somebody who uses a trial, by the name that jobs know their owner by; see ``models.domain.trials``."""

    __tablename__ = "trial_users"
    scope_id: Mapped[int] = mapped_column(
        ForeignKey("linkage_scopes.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    username: Mapped[str] = mapped_column(String(150), primary_key=True)
    since_at: Mapped[datetime]
    let_in_by: Mapped[str] = mapped_column(String(150))


class BindingRow(Row):
    """Which pseudonym belongs to which patient of a scope; the patient is known by a keyed digest only.

    ``spelling`` is the same for pseudonyms that differ in case only.
    """

    __tablename__ = "pseudonym_bindings"
    __table_args__ = (
        Index("uq_pseudonym_bindings_patient", "scope_id", "patient_digest", unique=True),
        Index("uq_pseudonym_bindings_pseudonym", "scope_id", "pseudonym", unique=True),
        Index("ix_pseudonym_bindings_spelling", "scope_id", "spelling"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    scope_id: Mapped[int] = mapped_column(ForeignKey("linkage_scopes.id", ondelete="CASCADE"))
    patient_digest: Mapped[str] = mapped_column(String(128))
    pseudonym: Mapped[str] = mapped_column(String(64))
    spelling: Mapped[str] = mapped_column(String(255))


class EscrowRow(Row):
    """The patient ID behind a binding, encrypted. There is none unless the settings ask for an escrow."""

    __tablename__ = "escrow_entries"
    binding_id: Mapped[int] = mapped_column(
        ForeignKey("pseudonym_bindings.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    ciphertext: Mapped[bytes]
    kept_at: Mapped[datetime]


class JobRow(Row):
    """An accepted request. One check gives one transfer: ``checked_by_job_id`` is unique.

    ``emptied_at`` is when what names patients was removed from it, its items, questions and answers.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_owner_state", "owner", "state"),
        Index("ix_jobs_state", "state"),
        Index("ix_jobs_untold", "finished_mail_at", "ended_at"),
        NEVER_REUSE_IDS,
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[JobKind] = mapped_column(word(JobKind))
    state: Mapped[State] = mapped_column(word(State))
    owner: Mapped[str] = mapped_column(String(150))
    urgent: Mapped[bool]
    message: Mapped[str] = mapped_column(Text)
    trial_protocol_id: Mapped[str] = mapped_column(String(64))
    trial_protocol_name: Mapped[str] = mapped_column(String(64))
    linkage_scope_id: Mapped[int | None] = mapped_column(ForeignKey("linkage_scopes.id"))
    profile: Mapped[str] = mapped_column(String(64))
    policy_digest: Mapped[str] = mapped_column(String(64))
    keep_identity: Mapped[bool]
    send_finished_mail: Mapped[bool]
    finished_mail_at: Mapped[datetime | None]
    project_name: Mapped[str] = mapped_column(String(150))
    project_description: Mapped[str] = mapped_column(String(2000))
    ethics_application_id: Mapped[str] = mapped_column(String(100))
    generate_pseudonyms: Mapped[bool]
    checked_by_job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), unique=True)
    convert_to_nifti: Mapped[bool]
    flow_run_id: Mapped[str] = mapped_column(String(64))
    run_requested_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    emptied_at: Mapped[datetime | None]


class ItemRow(Row):
    """One study to move, or one question.

    ``lease_token`` and ``lease_until_at`` are set exactly while it is in progress. ``active_at`` is when a worker last
    claimed it, renewed its lease or ended an attempt.
    """

    __tablename__ = "items"
    __table_args__ = (
        Index("uq_items_position", "job_id", "position", unique=True),
        Index("ix_items_job_state_position", "job_id", "state", "position"),
        Index("ix_items_state", "state"),
        Index("ix_items_study_destination", "study_uid", "destination_id"),
        Index("ix_items_ended_at", "ended_at"),
        NEVER_REUSE_IDS,
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    position: Mapped[int]
    state: Mapped[State] = mapped_column(word(State))
    source_id: Mapped[int] = mapped_column(ForeignKey("nodes.id"), index=True)
    destination_id: Mapped[int | None] = mapped_column(ForeignKey("nodes.id"), index=True)
    patient_id: Mapped[str] = mapped_column(String(64))
    study_uid: Mapped[str] = mapped_column(String(64))
    series_uids: Mapped[list[str]] = mapped_column(JSON)
    pseudonym: Mapped[str] = mapped_column(String(64))
    lines: Mapped[list[int]] = mapped_column(JSON)
    row_id: Mapped[str] = mapped_column(Text)
    planned_count: Mapped[int | None]
    attempts: Mapped[int]
    message: Mapped[str] = mapped_column(Text)
    error_code: Mapped[str] = mapped_column(String(64))
    not_before_at: Mapped[datetime | None]
    lease_token: Mapped[str | None] = mapped_column(String(64))
    lease_until_at: Mapped[datetime | None]
    active_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class QuestionRow(Row):
    """What an item asks a server, encrypted: a row of a batch file names a patient."""

    __tablename__ = "questions"
    item_id: Mapped[int] = mapped_column(
        ForeignKey("items.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    content: Mapped[bytes]


class AnswerRow(Row):
    """One study or series that a server has answered with, or what a check says of an item; the content is encrypted.

    ``verdict`` is that of a check, empty otherwise. ``instance_count`` is None where the server does not tell.
    """

    __tablename__ = "answers"
    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    verdict: Mapped[str] = mapped_column(String(24))
    instance_count: Mapped[int | None]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    content: Mapped[bytes]


class BatchFileRow(Row):
    """The file of a batch job as it was uploaded, encrypted with its name, which may be a patient's."""

    __tablename__ = "batch_files"
    job_id: Mapped[int] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    content: Mapped[bytes]
    created_at: Mapped[datetime]


class ReceiptRow(Row):
    """The proof of one item: the sets, packed, and beside them what people ask for.

    ``size_bytes``, of what was stored, is None where an earlier version saved the receipt: then it stands in the
    content alone.
    """

    __tablename__ = "receipts"
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id", ondelete="CASCADE"), primary_key=True)
    content: Mapped[bytes]
    verdict: Mapped[Completeness] = mapped_column(word(Completeness))
    expected_count: Mapped[int | None]
    received_count: Mapped[int]
    stored_count: Mapped[int]
    confirmed_count: Mapped[int]
    left_out_count: Mapped[int]
    held_count: Mapped[int] = mapped_column(index=True)
    refused_count: Mapped[int]
    missing_count: Mapped[int]
    saved_at: Mapped[datetime]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)


class SlotRow(Row):
    """Connections to one node that a holder may have open; ``count`` 0 says that the holder let them run out."""

    __tablename__ = "association_slots"
    holder: Mapped[str] = mapped_column(String(64), primary_key=True)
    node_id: Mapped[int] = mapped_column(ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True)
    count: Mapped[int]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SlotWaitRow(Row):
    """Urgent work that waits for connections to a node: until it has them, or this runs out, other work gets none."""

    __tablename__ = "slot_waits"
    holder: Mapped[str] = mapped_column(String(64), primary_key=True)
    node_id: Mapped[int] = mapped_column(ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True)
    expires_at: Mapped[datetime]


class ReviewRow(Row):
    """What a person decided about a held instance, by the UID it has at the source."""

    __tablename__ = "reviews"
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id", ondelete="CASCADE"), primary_key=True)
    sop_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    decision: Mapped[Decision] = mapped_column(word(Decision))
    reviewer: Mapped[str] = mapped_column(String(150))
    decided_at: Mapped[datetime]


class AuditRow(Row):
    """One line of the audit trail; triggers refuse to change or delete it."""

    __tablename__ = "audit_entries"
    __table_args__ = NEVER_REUSE_IDS
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(150))
    action: Mapped[AuditAction] = mapped_column(word(AuditAction))
    subject: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(String(64))
    address: Mapped[str] = mapped_column(String(64))
    details: Mapped[bytes]
    digest: Mapped[str | None] = mapped_column(String(64))


class ReservationRow(Row):
    """Room in a folder that an item may fill: no less than what it has there and nobody has measured or settled."""

    __tablename__ = "quota_reservations"
    item_id: Mapped[int] = mapped_column(
        ForeignKey("items.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    folder_id: Mapped[int] = mapped_column(ForeignKey("nodes.id", ondelete="CASCADE"), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)


class UserRow(Row):
    """An account; ``..._key`` columns are the same for spellings that people take for one."""

    __tablename__ = "users"
    __table_args__ = NEVER_REUSE_IDS
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(150))
    username_key: Mapped[str] = mapped_column(String(150), unique=True)
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(String(254), unique=True)
    first_name: Mapped[str] = mapped_column(String(150))
    last_name: Mapped[str] = mapped_column(String(150))
    phone_number: Mapped[str] = mapped_column(String(64))
    department: Mapped[str] = mapped_column(String(128))
    password_hash: Mapped[str] = mapped_column(String(255))
    oidc_subject: Mapped[str | None] = mapped_column(String(255), unique=True)
    is_active: Mapped[bool]
    is_staff: Mapped[bool]
    is_superuser: Mapped[bool]
    preferences: Mapped[dict[str, Any]] = mapped_column(JSON)
    joined_at: Mapped[datetime]
    email_confirmed_at: Mapped[datetime | None]
    approved_at: Mapped[datetime | None]
    approved_by: Mapped[str] = mapped_column(String(150))
    last_login_at: Mapped[datetime | None]
    version: Mapped[int]


class GroupRow(Row):
    """A group."""

    __tablename__ = "groups"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(150), unique=True)
    version: Mapped[int]


class GroupPermissionRow(Row):
    """A right that a group gives."""

    __tablename__ = "group_permissions"
    group_id: Mapped[int] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True)
    permission: Mapped[Permission] = mapped_column(word(Permission, length=80), primary_key=True)


class MembershipRow(Row):
    """Who is in which group."""

    __tablename__ = "memberships"
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True, index=True)


class NodeAccessRow(Row):
    """Which group may use which node as what; group and flag stand in one row, so rights never leak between groups."""

    __tablename__ = "node_accesses"
    node_id: Mapped[int] = mapped_column(ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True, index=True)
    source: Mapped[bool]
    destination: Mapped[bool]


class WebSessionRow(Row):
    """A signed-in browser. Of its 256-bit token only the SHA-256 is kept."""

    __tablename__ = "web_sessions"
    __table_args__ = NEVER_REUSE_IDS
    id: Mapped[int] = mapped_column(primary_key=True)
    token_digest: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    address: Mapped[str] = mapped_column(String(64))
    agent: Mapped[str] = mapped_column(String(255))


class ApiTokenRow(Row):
    """A token for scripts. Of its secret only a keyed digest is kept; ``operations`` is null where all are allowed."""

    __tablename__ = "api_tokens"
    __table_args__ = NEVER_REUSE_IDS
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    beginning: Mapped[str] = mapped_column(String(16))
    description: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    operations: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    is_limited_to_nodes: Mapped[bool]
    request_count: Mapped[int] = mapped_column(BigInteger)
    answered_bytes: Mapped[int] = mapped_column(BigInteger)


class ApiTokenNodeRow(Row):
    """A node that a limited token may use. When the last one is removed, the token is left without any."""

    __tablename__ = "api_token_nodes"
    token_id: Mapped[int] = mapped_column(ForeignKey("api_tokens.id", ondelete="CASCADE"), primary_key=True)
    node_id: Mapped[int] = mapped_column(ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True, index=True)


class IdempotencyRow(Row):
    """A request that was accepted under a key which its sender chose, as digests."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("uq_idempotency_keys_owner_key", "owner", "key_digest", unique=True),)
    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(String(150))
    key_digest: Mapped[str] = mapped_column(String(64))
    request_digest: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(index=True)


class LinkRow(Row):
    """A link in a mail that is good for one thing, once; the digest of its token is kept."""

    __tablename__ = "one_time_links"
    token_digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    purpose: Mapped[LinkPurpose] = mapped_column(word(LinkPurpose))
    expires_at: Mapped[datetime]


class TryRow(Row):
    """One try of something that is limited; ``subject`` is a digest of who or what tried."""

    __tablename__ = "tries"
    __table_args__ = (Index("ix_tries_subject_at", "subject", "at"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(index=True)


class ProjectRow(Row):
    """The one row of what is set for everybody."""

    __tablename__ = "project_settings"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    announcement: Mapped[str] = mapped_column(Text)
    maintenance: Mapped[bool]
    version: Mapped[int]


class AppRow(Row):
    """The state of one application; one without a row is neither locked nor suspended."""

    __tablename__ = "app_settings"
    app: Mapped[App] = mapped_column(word(App), primary_key=True)
    locked: Mapped[bool]
    suspended: Mapped[bool]


class BroadcastRow(Row):
    """A message to many people."""

    __tablename__ = "broadcasts"
    __table_args__ = NEVER_REUSE_IDS
    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(String(200))
    message: Mapped[str] = mapped_column(Text)
    sender: Mapped[str] = mapped_column(String(150))
    flow_run_id: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class MailRow(Row):
    """One mail to one person; its text is encrypted, since it may hold a link that signs in, and emptied when sent."""

    __tablename__ = "mails"
    __table_args__ = (Index("ix_mails_state_not_before_at", "state", "not_before_at"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    broadcast_id: Mapped[int | None] = mapped_column(ForeignKey("broadcasts.id", ondelete="CASCADE"), index=True)
    recipient: Mapped[str] = mapped_column(String(254))
    content: Mapped[bytes]
    state: Mapped[MailState] = mapped_column(word(MailState))
    attempts: Mapped[int]
    error: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    not_before_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]


class WebhookRow(Row):
    """An address that is told of events. Its secrets are encrypted; ``old_secret`` is empty where there is none.

    ``rests_until_at`` is set while its listener is out of reach: until then nothing is sent there.
    """

    __tablename__ = "webhooks"
    __table_args__ = NEVER_REUSE_IDS
    id: Mapped[int] = mapped_column(primary_key=True)
    url: Mapped[str] = mapped_column(String(2000))
    description: Mapped[str] = mapped_column(String(200))
    events: Mapped[list[str]] = mapped_column(JSON)
    is_active: Mapped[bool]
    secret: Mapped[bytes]
    old_secret: Mapped[bytes]
    old_secret_until_at: Mapped[datetime | None]
    failing_since_at: Mapped[datetime | None]
    rests_until_at: Mapped[datetime | None]
    created_by: Mapped[str] = mapped_column(String(150))
    created_at: Mapped[datetime]
    version: Mapped[int]


class NoticeRow(Row):
    """One event that one webhook is told; ``body`` is what is sent. The job may be gone by now."""

    __tablename__ = "webhook_notices"
    __table_args__ = (
        Index("ix_webhook_notices_due", "webhook_id", "state", "not_before_at"),
        Index("ix_webhook_notices_listed", "webhook_id", "id"),
        NEVER_REUSE_IDS,
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event_id: Mapped[str] = mapped_column(String(40))
    event: Mapped[Event] = mapped_column(word(Event))
    job_id: Mapped[int | None]
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[NoticeState] = mapped_column(word(NoticeState))
    attempts: Mapped[int]
    status: Mapped[int | None]
    trouble: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    not_before_at: Mapped[datetime]
    give_up_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]


class ChoreRunRow(Row):
    """One run of scheduled work; it is at work until ``alive_until_at``, which it puts off itself, or it has ended."""

    __tablename__ = "chore_runs"
    __table_args__ = (Index("ix_chore_runs_name_id", "name", "id"), NEVER_REUSE_IDS)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[datetime]
    alive_until_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[ChoreOutcome | None] = mapped_column(word(ChoreOutcome))
    message: Mapped[str] = mapped_column(Text)
    flow_run_id: Mapped[str] = mapped_column(String(64))


class AlarmRow(Row):
    """Something that is wrong: since when, when that was last seen, and when administrators were told, if they were."""

    __tablename__ = "alarms"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    since_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    told_at: Mapped[datetime | None]
    title: Mapped[str] = mapped_column(String(150))
    text: Mapped[str] = mapped_column(Text)


class AttemptTotalRow(Row):
    """How many attempts have ended in one way since this was first counted, and how long they took together.

    Nodes stand here by the names that they had then. Nothing is ever taken off, so that these are counters.
    """

    __tablename__ = "attempt_totals"
    kind: Mapped[JobKind] = mapped_column(word(JobKind), primary_key=True)
    source: Mapped[str] = mapped_column(String(64), primary_key=True)
    destination: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[State] = mapped_column(word(State), primary_key=True)
    error_code: Mapped[str] = mapped_column(String(64), primary_key=True)
    attempts: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[float]


class DeliveryTotalRow(Row):
    """How much was stored at destinations since this was first counted."""

    __tablename__ = "delivery_totals"
    kind: Mapped[JobKind] = mapped_column(word(JobKind), primary_key=True)
    source: Mapped[str] = mapped_column(String(64), primary_key=True)
    destination: Mapped[str] = mapped_column(String(64), primary_key=True)
    instances: Mapped[int] = mapped_column(BigInteger)
    size_bytes: Mapped[int] = mapped_column(BigInteger)


class SignRow(Row):
    """A sign of life of a long-running program; one that has ended as it should leaves none."""

    __tablename__ = "program_signs"
    program: Mapped[str] = mapped_column(String(32), primary_key=True)
    machine: Mapped[str] = mapped_column(String(255), primary_key=True)
    version: Mapped[str] = mapped_column(String(32))
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class RunRow(Row):
    """A flow run that works on a job, or was asked to work on it beside others; gone when it has ended as it should.

    ``heard_at`` is null until it has begun.
    """

    __tablename__ = "job_runs"
    flow_run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    asked_at: Mapped[datetime]
    heard_at: Mapped[datetime | None]


class RefusalRow(Row):
    """Why a machine leaves a job to others, and when it last said so."""

    __tablename__ = "refusals"
    job_id: Mapped[int] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    machine: Mapped[str] = mapped_column(String(255), primary_key=True)
    reason: Mapped[str] = mapped_column(Text)
    refused_at: Mapped[datetime]


class DutyRow(Row):
    """What only one process of all machines may do at a time: who does it, and until when it need not ask again."""

    __tablename__ = "duties"
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    holder: Mapped[str] = mapped_column(String(64))
    until_at: Mapped[datetime]
