"""Folders that take nothing at this time, and the item that tries each of them again.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision: str | None = "0013"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "folder_holds",
        sa.Column("folder_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("machine", sa.String(255), nullable=False),
        sa.Column("since_at", _TIME, nullable=False),
        sa.Column("again_at", _TIME, nullable=False),
        sa.Column("probe_item_id", sa.Integer(), nullable=True),
        sa.Column("needed_by_item_id", sa.Integer(), nullable=True),
        sa.Column("needed_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("folder_id", name="pk_folder_holds"),
        sa.ForeignKeyConstraint(["folder_id"], ["nodes.id"], name="fk_folder_holds_folder_id", ondelete="CASCADE"),
    )


def downgrade() -> None:
    op.drop_table("folder_holds")
