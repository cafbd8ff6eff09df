"""What is measured: attempts and deliveries since ever, and which programs have been heard of.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision: str | None = "0009"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    with op.batch_alter_table("receipts") as receipts:
        receipts.add_column(sa.Column("size_bytes", sa.BigInteger(), nullable=True))
    op.create_index("ix_receipts_held_count", "receipts", ["held_count"])
    op.create_table(
        "attempt_totals",
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("destination", sa.String(64), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("error_code", sa.String(64), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Double[float](), nullable=False),
        sa.PrimaryKeyConstraint("kind", "source", "destination", "state", "error_code", name="pk_attempt_totals"),
    )
    op.create_table(
        "delivery_totals",
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("destination", sa.String(64), nullable=False),
        sa.Column("instances", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "source", "destination", name="pk_delivery_totals"),
    )
    op.create_table(
        "program_signs",
        sa.Column("program", sa.String(32), nullable=False),
        sa.Column("machine", sa.String(255), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("program", "machine", name="pk_program_signs"),
    )


def downgrade() -> None:
    for table in ("program_signs", "delivery_totals", "attempt_totals"):
        op.drop_table(table)
    op.drop_index("ix_receipts_held_count", "receipts")
    with op.batch_alter_table("receipts") as receipts:
        receipts.drop_column("size_bytes")
