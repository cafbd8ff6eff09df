"""Scheduled work: what has become of each run.

Revision ID: 0008
Revises: 0007
"""

revision = "0008"
down_revision: str | None = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
