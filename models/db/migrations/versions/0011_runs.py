"""Several machines: the flow runs that work on one job, which machine cannot, and who does what only one may do.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision: str | None = "0010"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "job_runs",
        sa.Column("flow_run_id", sa.String(64), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("asked_at", _TIME, nullable=False),
        sa.Column("heard_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("flow_run_id", name="pk_job_runs"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_runs_job_id", ondelete="CASCADE"),
    )
    op.create_index("ix_job_runs_job_id", "job_runs", ["job_id"])
    op.create_table(
        "refusals",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("machine", sa.String(255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("refused_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "machine", name="pk_refusals"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_refusals_job_id", ondelete="CASCADE"),
    )
    op.create_table(
        "duties",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("until_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_duties"),
    )


def downgrade() -> None:
    op.drop_table("duties")
    op.drop_table("refusals")
    op.drop_index("ix_job_runs_job_id", "job_runs")
    op.drop_table("job_runs")
