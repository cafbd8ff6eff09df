"""Accounts, groups and their rights, web sessions, project settings, quotas, mails; seals for the audit trail.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_COLUMNS = (
    ("nodes", sa.Column("version", sa.Integer(), nullable=False, server_default="1")),
    ("servers", sa.Column("max_search_results", sa.Integer(), nullable=False, server_default="200")),
    ("servers", sa.Column("windows", sa.JSON(), nullable=False, server_default="[]")),
    ("folders", sa.Column("measured_bytes", sa.BigInteger(), nullable=True)),
    ("folders", sa.Column("measured_at", _TIME, nullable=True)),
    ("folders", sa.Column("warned_at", _TIME, nullable=True)),
    ("folders", sa.Column("settled_bytes", sa.BigInteger(), nullable=False, server_default="0")),
    ("jobs", sa.Column("send_finished_mail", sa.Boolean(), nullable=False, server_default=sa.false())),
    ("jobs", sa.Column("finished_mail_at", _TIME, nullable=True)),
    ("audit_entries", sa.Column("address", sa.String(64), nullable=False, server_default="")),
    ("audit_entries", sa.Column("details", sa.LargeBinary(), nullable=False, server_default="")),
    ("audit_entries", sa.Column("digest", sa.String(64), nullable=True)),
)
_TABLES = (
    "mails",
    "broadcasts",
    "app_settings",
    "project_settings",
    "tries",
    "one_time_links",
    "web_sessions",
    "node_accesses",
    "memberships",
    "group_permissions",
    "groups",
    "users",
    "quota_reservations",
)
"""Those that refer to others come before them."""


def upgrade() -> None:
    for table, column in _COLUMNS:
        op.add_column(table, column)  # not in a batch, which would rebuild SQLite's table and forget its ids
    _create_people()
    _create_project()
    _create_mails()
    op.create_table(
        "quota_reservations",
        sa.Column("item_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("folder_id", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        _to("quota_reservations", "item_id", "items.id"),
        _to("quota_reservations", "folder_id", "nodes.id"),
        sa.PrimaryKeyConstraint("item_id", name="pk_quota_reservations"),
    )
    op.create_index("ix_quota_reservations_folder_id", "quota_reservations", ["folder_id"])


def _create_people() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("username", sa.String(150), nullable=False),
        sa.Column("username_key", sa.String(150), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("email_key", sa.String(254), nullable=False),
        sa.Column("first_name", sa.String(150), nullable=False),
        sa.Column("last_name", sa.String(150), nullable=False),
        sa.Column("phone_number", sa.String(64), nullable=False),
        sa.Column("department", sa.String(128), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("oidc_subject", sa.String(255), nullable=True),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("is_staff", sa.Boolean(), nullable=False),
        sa.Column("is_superuser", sa.Boolean(), nullable=False),
        sa.Column("preferences", sa.JSON(), nullable=False),
        sa.Column("joined_at", _TIME, nullable=False),
        sa.Column("email_confirmed_at", _TIME, nullable=True),
        sa.Column("approved_at", _TIME, nullable=True),
        sa.Column("approved_by", sa.String(150), nullable=False),
        sa.Column("last_login_at", _TIME, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("username_key", name="uq_users_username_key"),
        sa.UniqueConstraint("email_key", name="uq_users_email_key"),
        sa.UniqueConstraint("oidc_subject", name="uq_users_oidc_subject"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "groups",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(150), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_groups"),
        sa.UniqueConstraint("name", name="uq_groups_name"),
    )
    op.create_table(
        "group_permissions",
        sa.Column("group_id", sa.Integer(), nullable=False),
        sa.Column("permission", sa.String(80), nullable=False),
        _to("group_permissions", "group_id", "groups.id"),
        sa.PrimaryKeyConstraint("group_id", "permission", name="pk_group_permissions"),
    )
    op.create_table(
        "memberships",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=False),
        _to("memberships", "user_id", "users.id"),
        _to("memberships", "group_id", "groups.id"),
        sa.PrimaryKeyConstraint("user_id", "group_id", name="pk_memberships"),
    )
    op.create_index("ix_memberships_group_id", "memberships", ["group_id"])
    op.create_table(
        "node_accesses",
        sa.Column("node_id", sa.Integer(), nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Boolean(), nullable=False),
        sa.Column("destination", sa.Boolean(), nullable=False),
        _to("node_accesses", "node_id", "nodes.id"),
        _to("node_accesses", "group_id", "groups.id"),
        sa.PrimaryKeyConstraint("node_id", "group_id", name="pk_node_accesses"),
    )
    op.create_index("ix_node_accesses_group_id", "node_accesses", ["group_id"])
    op.create_table(
        "web_sessions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token_digest", sa.String(64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("agent", sa.String(255), nullable=False),
        _to("web_sessions", "user_id", "users.id"),
        sa.PrimaryKeyConstraint("id", name="pk_web_sessions"),
        sa.UniqueConstraint("token_digest", name="uq_web_sessions_token_digest"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_web_sessions_user_id", "web_sessions", ["user_id"])
    op.create_table(
        "one_time_links",
        sa.Column("token_digest", sa.String(64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(24), nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        _to("one_time_links", "user_id", "users.id"),
        sa.PrimaryKeyConstraint("token_digest", name="pk_one_time_links"),
    )
    op.create_index("ix_one_time_links_user_id", "one_time_links", ["user_id"])
    op.create_table(
        "tries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tries"),
    )
    op.create_index("ix_tries_at", "tries", ["at"])
    op.create_index("ix_tries_subject_at", "tries", ["subject", "at"])


def _create_project() -> None:
    project = op.create_table(
        "project_settings",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("announcement", sa.Text(), nullable=False),
        sa.Column("maintenance", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_project_settings"),
    )
    op.bulk_insert(project, [{"id": 1, "announcement": "", "maintenance": False, "version": 1}])
    op.create_table(
        "app_settings",
        sa.Column("app", sa.String(24), nullable=False),
        sa.Column("locked", sa.Boolean(), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("app", name="pk_app_settings"),
    )


def _create_mails() -> None:
    op.create_table(
        "broadcasts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("sender", sa.String(150), nullable=False),
        sa.Column("flow_run_id", sa.String(64), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_broadcasts"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "mails",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("broadcast_id", sa.Integer(), nullable=True),
        sa.Column("recipient", sa.String(254), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("not_before_at", _TIME, nullable=False),
        sa.Column("sent_at", _TIME, nullable=True),
        _to("mails", "broadcast_id", "broadcasts.id"),
        sa.PrimaryKeyConstraint("id", name="pk_mails"),
    )
    op.create_index("ix_mails_broadcast_id", "mails", ["broadcast_id"])
    op.create_index("ix_mails_state_not_before_at", "mails", ["state", "not_before_at"])


def _to(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}", ondelete="CASCADE")


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)
    for table, column in reversed(_COLUMNS):
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column.name}")
