"""API tokens and their limits, idempotency keys; two rights go that every owner of a token has.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_DROPPED_RIGHTS = ("token_authentication.view_token", "token_authentication.delete_token")


def upgrade() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("beginning", sa.String(16), nullable=False),
        sa.Column("description", sa.String(200), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("last_used_at", _TIME, nullable=True),
        sa.Column("operations", sa.JSON(), nullable=True),
        sa.Column("is_limited_to_nodes", sa.Boolean(), nullable=False),
        sa.Column("request_count", sa.BigInteger(), nullable=False),
        sa.Column("answered_bytes", sa.BigInteger(), nullable=False),
        _to("api_tokens", "user_id", "users.id"),
        sa.PrimaryKeyConstraint("id", name="pk_api_tokens"),
        sa.UniqueConstraint("digest", name="uq_api_tokens_digest"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_api_tokens_user_id", "api_tokens", ["user_id"])
    op.create_table(
        "api_token_nodes",
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column("node_id", sa.Integer(), nullable=False),
        _to("api_token_nodes", "token_id", "api_tokens.id"),
        _to("api_token_nodes", "node_id", "nodes.id"),
        sa.PrimaryKeyConstraint("token_id", "node_id", name="pk_api_token_nodes"),
    )
    op.create_index("ix_api_token_nodes_node_id", "api_token_nodes", ["node_id"])
    op.create_table(
        "idempotency_keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(150), nullable=False),
        sa.Column("key_digest", sa.String(64), nullable=False),
        sa.Column("request_digest", sa.String(64), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        _to("idempotency_keys", "job_id", "jobs.id"),
        sa.PrimaryKeyConstraint("id", name="pk_idempotency_keys"),
    )
    op.create_index("uq_idempotency_keys_owner_key", "idempotency_keys", ["owner", "key_digest"], unique=True)
    op.create_index("ix_idempotency_keys_job_id", "idempotency_keys", ["job_id"])
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    rights = sa.table("group_permissions", sa.column("permission", sa.String))
    op.execute(rights.delete().where(rights.c.permission.in_(_DROPPED_RIGHTS)))


def _to(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}", ondelete="CASCADE")


def downgrade() -> None:
    for table in ("idempotency_keys", "api_token_nodes", "api_tokens"):
        op.drop_table(table)
