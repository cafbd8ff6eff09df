"""Which engine instances travel by, for each server: our own, or pynetdicom.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("servers") as table:
        table.add_column(sa.Column("uses_pynetdicom", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("servers") as table:
        table.alter_column("uses_pynetdicom", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("servers") as table:
        table.drop_column("uses_pynetdicom")
