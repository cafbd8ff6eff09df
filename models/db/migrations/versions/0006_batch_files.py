"""Batch files: questions to servers and their answers, the files themselves, and what a transfer knows of its check.

Revision ID: 0006
Revises: 0005
"""

from collections.abc import Generator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

revision = "0006"
down_revision: str | None = "0005"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_ONLY_ASK = ("batch_query", "batch_check")


def upgrade() -> None:
    with _changed("jobs") as jobs:
        jobs.alter_column("linkage_scope_id", existing_type=sa.Integer(), nullable=True)
        jobs.add_column(sa.Column("project_name", sa.String(150), nullable=False, server_default=""))
        jobs.add_column(sa.Column("project_description", sa.String(2000), nullable=False, server_default=""))
        jobs.add_column(sa.Column("ethics_application_id", sa.String(100), nullable=False, server_default=""))
        jobs.add_column(sa.Column("generate_pseudonyms", sa.Boolean(), nullable=False, server_default=sa.false()))
        jobs.add_column(sa.Column("checked_by_job_id", sa.Integer(), nullable=True))
        jobs.create_unique_constraint("uq_jobs_checked_by_job_id", ["checked_by_job_id"])
        jobs.create_foreign_key("fk_jobs_checked_by_job_id", "jobs", ["checked_by_job_id"], ["id"], ondelete="SET NULL")
    with _changed("items") as items:
        items.alter_column("destination_id", existing_type=sa.Integer(), nullable=True)
        items.add_column(sa.Column("lines", sa.JSON(), nullable=False, server_default="[]"))
        items.add_column(sa.Column("row_id", sa.Text(), nullable=False, server_default=""))
        items.add_column(sa.Column("planned_count", sa.Integer(), nullable=True))
    op.drop_index("ix_items_job_state", "items")
    op.create_index("ix_items_job_state_position", "items", ["job_id", "state", "position"])
    op.create_index("ix_items_study_destination", "items", ["study_uid", "destination_id"])
    _create_tables()


def _create_tables() -> None:
    op.create_table(
        "questions",
        sa.Column("item_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        _to("questions", "item_id", "items.id"),
        sa.PrimaryKeyConstraint("item_id", name="pk_questions"),
    )
    op.create_table(
        "answers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(24), nullable=False),
        sa.Column("instance_count", sa.Integer(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        _to("answers", "item_id", "items.id"),
        sa.PrimaryKeyConstraint("id", name="pk_answers"),
    )
    op.create_index("ix_answers_item_id", "answers", ["item_id"])
    op.create_table(
        "batch_files",
        sa.Column("job_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        _to("batch_files", "job_id", "jobs.id"),
        sa.PrimaryKeyConstraint("job_id", name="pk_batch_files"),
    )


def _to(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}", ondelete="CASCADE")


@contextmanager
def _changed(table: str) -> Generator[BatchOperations]:
    """Change a table; SQLite rebuilds it for that, and must not forget which ids it gave to what was deleted since."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    last = (
        op.get_bind().scalar(sa.text("SELECT seq FROM sqlite_sequence WHERE name = :t"), {"t": table})
        if is_sqlite
        else None
    )
    with op.batch_alter_table(table, table_kwargs={"sqlite_autoincrement": True}) as changed:
        yield changed
    if last is not None:
        op.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = :t").bindparams(t=table))
        op.execute(sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES (:t, :seq)").bindparams(t=table, seq=last))


def downgrade() -> None:
    for table in ("batch_files", "answers", "questions"):
        op.drop_table(table)
    _forget_jobs_that_ask()
    op.drop_index("ix_items_study_destination", "items")
    op.drop_index("ix_items_job_state_position", "items")
    with _changed("items") as items:
        items.alter_column("destination_id", existing_type=sa.Integer(), nullable=False)
        for column in ("lines", "row_id", "planned_count"):
            items.drop_column(column)
    op.create_index("ix_items_job_state", "items", ["job_id", "state"])
    with _changed("jobs") as jobs:
        jobs.alter_column("linkage_scope_id", existing_type=sa.Integer(), nullable=False)
        jobs.drop_constraint("fk_jobs_checked_by_job_id", type_="foreignkey")
        jobs.drop_constraint("uq_jobs_checked_by_job_id", type_="unique")
        for column in ("project_name", "project_description", "ethics_application_id"):
            jobs.drop_column(column)
        for column in ("generate_pseudonyms", "checked_by_job_id"):
            jobs.drop_column(column)


def _forget_jobs_that_ask() -> None:
    """Earlier versions know no such jobs. SQLite's foreign keys are off meanwhile, so the items go first."""
    jobs = sa.table("jobs", sa.column("id", sa.Integer), sa.column("kind", sa.String), sa.column("checked_by_job_id"))
    items = sa.table("items", sa.column("id", sa.Integer), sa.column("job_id", sa.Integer))
    keys = sa.table("idempotency_keys", sa.column("job_id", sa.Integer))
    ask = sa.select(jobs.c.id).where(jobs.c.kind.in_(_ONLY_ASK))
    op.execute(jobs.update().values(checked_by_job_id=None))
    op.execute(keys.delete().where(keys.c.job_id.in_(ask)))
    op.execute(items.delete().where(items.c.job_id.in_(ask)))
    op.execute(jobs.delete().where(jobs.c.kind.in_(_ONLY_ASK)))
