"""Webhooks: where job events are sent, and what waits to be sent.

Revision ID: 0009
Revises: 0008
"""

revision = "0009"
down_revision: str | None = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
