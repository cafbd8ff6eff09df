"""Jobs can have what they deliver converted to NIfTI.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision: str | None = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # not in a batch, which would rebuild SQLite's table and forget its ids
    op.add_column("jobs", sa.Column("convert_to_nifti", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("jobs", "convert_to_nifti")
