"""Windows: association budgets by hour, and servers that were stopped.

Revision ID: 0007
Revises: 0006
"""

revision = "0007"
down_revision: str | None = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
