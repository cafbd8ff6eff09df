"""Who uses which trial: to begin with, the owners of its jobs.

Who has used one through the DICOMweb gateway alone stands encrypted in the audit trail, which no migration can read.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision: str | None = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trial_users",
        sa.Column("scope_id", sa.Integer(), nullable=False),
        sa.Column("username", sa.String(150), nullable=False),
        sa.Column("since_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("let_in_by", sa.String(150), nullable=False),
        sa.PrimaryKeyConstraint("scope_id", "username", name="pk_trial_users"),
        sa.ForeignKeyConstraint(
            ["scope_id"], ["linkage_scopes.id"], name="fk_trial_users_scope_id", ondelete="CASCADE"
        ),
    )
    op.execute(
        "INSERT INTO trial_users (scope_id, username, since_at, let_in_by)"
        " SELECT linkage_scopes.id, jobs.owner, min(jobs.created_at), '' FROM jobs"
        " JOIN linkage_scopes ON linkage_scopes.id = jobs.linkage_scope_id"
        " WHERE linkage_scopes.name IS NOT NULL AND linkage_scopes.forgotten_at IS NULL"
        " GROUP BY linkage_scopes.id, jobs.owner"
    )


def downgrade() -> None:
    op.drop_table("trial_users")
