"""Reasons of reviews, which may name patients, are in the audit trail only, encrypted.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision: str | None = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("reviews") as reviews:
        reviews.drop_column("reason")


def downgrade() -> None:
    with op.batch_alter_table("reviews") as reviews:
        reviews.add_column(sa.Column("reason", sa.Text(), nullable=False, server_default=""))
