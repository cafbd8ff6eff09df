"""Windows: association budgets by hour, and servers that were stopped.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision: str | None = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("servers", sa.Column("budget_rules", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("servers", sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("servers", sa.Column("stopped_by", sa.String(150), nullable=False, server_default=""))
    op.add_column("servers", sa.Column("stop_reason", sa.String(500), nullable=False, server_default=""))


def downgrade() -> None:
    """Servers that were stopped go on: earlier versions know no stop."""
    for column in ("budget_rules", "stopped_at", "stopped_by", "stop_reason"):
        op.drop_column("servers", column)
