"""Webhooks with what they are told, alarms, and an index of when items have ended.

Owners are told by mail what they have chosen on their profile, so from now on the end of every job is looked at once:
ends from before are marked as told, or all of them would be looked at now.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision: str | None = "0008"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("url", sa.String(2000), nullable=False),
        sa.Column("description", sa.String(200), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("old_secret", sa.LargeBinary(), nullable=False),
        sa.Column("old_secret_until_at", _TIME, nullable=True),
        sa.Column("failing_since_at", _TIME, nullable=True),
        sa.Column("rests_until_at", _TIME, nullable=True),
        sa.Column("created_by", sa.String(150), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "webhook_notices",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("webhook_id", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.String(40), nullable=False),
        sa.Column("event", sa.String(24), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("trouble", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("not_before_at", _TIME, nullable=False),
        sa.Column("give_up_at", _TIME, nullable=False),
        sa.Column("sent_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.id"], name="fk_webhook_notices_webhook_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_notices"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_webhook_notices_due", "webhook_notices", ["webhook_id", "state", "not_before_at"])
    op.create_index("ix_webhook_notices_listed", "webhook_notices", ["webhook_id", "id"])
    op.create_table(
        "alarms",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("since_at", _TIME, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.Column("told_at", _TIME, nullable=True),
        sa.Column("title", sa.String(150), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_alarms"),
    )
    op.create_index("ix_items_ended_at", "items", ["ended_at"])
    op.create_index("ix_jobs_untold", "jobs", ["finished_mail_at", "ended_at"])
    op.execute("UPDATE jobs SET finished_mail_at = ended_at WHERE ended_at IS NOT NULL AND NOT send_finished_mail")


def downgrade() -> None:
    op.drop_index("ix_jobs_untold", "jobs")
    op.drop_index("ix_items_ended_at", "items")
    for table in ("alarms", "webhook_notices", "webhooks"):
        op.drop_table(table)
