"""Scheduled work: what has become of each run. Urgent work that waits for connections. Jobs emptied of patient data.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision: str | None = "0007"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "chore_runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("alive_until_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("outcome", sa.String(24), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("flow_run_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_chore_runs"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_chore_runs_name_id", "chore_runs", ["name", "id"])
    op.create_table(
        "slot_waits",
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("node_id", sa.Integer(), nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name="fk_slot_waits_node_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("holder", "node_id", name="pk_slot_waits"),
    )
    op.add_column("jobs", sa.Column("emptied_at", _TIME, nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "emptied_at")
    op.drop_table("slot_waits")
    op.drop_table("chore_runs")
