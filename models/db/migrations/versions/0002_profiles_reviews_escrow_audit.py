"""De-identification profiles, reviews of held instances, the escrow, and the audit trail.

Jobs that exist already have no profile: what they still have to do is refused, since the rules they were accepted
under are gone. Bindings get a spelling in which pseudonyms can be compared whatever their case.

Revision ID: 0002
Revises: 0001
"""

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels = None
depends_on = None

_REFUSE = {
    "sqlite": (
        "CREATE TRIGGER audit_entries_stay_{event} BEFORE {event} ON audit_entries "
        "BEGIN SELECT RAISE(ABORT, 'the audit trail only grows'); END"
    ),
    "postgresql": (
        "CREATE TRIGGER audit_entries_stay_{event} BEFORE {event} ON audit_entries "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_audit()"
    ),
}
_EVENTS = {"sqlite": ("update", "delete"), "postgresql": ("update", "delete", "truncate")}
_FUNCTION = """
CREATE FUNCTION refuse_to_change_audit() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit trail only grows'; END $$
"""


def upgrade() -> None:
    _add_columns()
    _spell_bindings()
    op.create_table(
        "escrow_entries",
        sa.Column("binding_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["binding_id"], ["pseudonym_bindings.id"], name="fk_escrow_entries_binding_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("binding_id", name="pk_escrow_entries"),
    )
    op.create_table(
        "reviews",
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("sop_uid", sa.String(64), nullable=False),
        sa.Column("decision", sa.String(24), nullable=False),
        sa.Column("reviewer", sa.String(150), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name="fk_reviews_item_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("item_id", "sop_uid", name="pk_reviews"),
    )
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(150), nullable=False),
        sa.Column("action", sa.String(24), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_entries"),
        sqlite_autoincrement=True,
    )
    _make_the_audit_trail_stay()


def _add_columns() -> None:
    """With plain statements: Alembic's batches rebuild SQLite's tables, and these would forget which ids they gave."""
    for table, column in (
        ("linkage_scopes", sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=True)),
        ("jobs", sa.Column("profile", sa.String(64), nullable=False, server_default="")),
        ("jobs", sa.Column("policy_digest", sa.String(64), nullable=False, server_default="")),
        ("jobs", sa.Column("keep_identity", sa.Boolean(), nullable=False, server_default=sa.false())),
        ("receipts", sa.Column("held_count", sa.Integer(), nullable=False, server_default="0")),
        ("pseudonym_bindings", sa.Column("spelling", sa.String(255), nullable=False, server_default="")),
    ):
        op.add_column(table, column)
    op.create_index("ix_pseudonym_bindings_spelling", "pseudonym_bindings", ["scope_id", "spelling"])
    op.execute(
        "UPDATE jobs SET keep_identity = true "
        "WHERE NOT EXISTS (SELECT 1 FROM items WHERE items.job_id = jobs.id AND items.pseudonym <> '')"
    )


def _spell_bindings() -> None:
    bindings = sa.table("pseudonym_bindings", sa.column("id"), sa.column("pseudonym"), sa.column("spelling"))
    connection = op.get_bind()
    for row in connection.execute(sa.select(bindings.c.id, bindings.c.pseudonym)).all():
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", row.pseudonym).casefold())
        connection.execute(bindings.update().where(bindings.c.id == row.id).values(spelling=folded))


def _make_the_audit_trail_stay() -> None:
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        op.execute(_FUNCTION)
    for event in _EVENTS[dialect]:
        op.execute(_REFUSE[dialect].format(event=event))


def downgrade() -> None:
    _name_the_nameless()
    op.execute("UPDATE receipts SET verdict = 'unknown' WHERE verdict = 'held'")
    op.drop_table("audit_entries")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_to_change_audit()")
    op.drop_table("reviews")
    op.drop_table("escrow_entries")
    op.drop_index("ix_pseudonym_bindings_spelling", "pseudonym_bindings")
    for table, column in (
        ("pseudonym_bindings", "spelling"),
        ("receipts", "held_count"),
        ("jobs", "keep_identity"),
        ("jobs", "policy_digest"),
        ("jobs", "profile"),
        ("linkage_scopes", "forgotten_at"),
    ):
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")


def _name_the_nameless() -> None:
    """To the earlier version an empty pseudonym means that the identity is kept, which nobody has asked for."""
    op.execute(
        "UPDATE items SET pseudonym = 'UNKNOWN-' || id WHERE pseudonym = '' "
        "AND NOT (SELECT keep_identity FROM jobs WHERE jobs.id = items.job_id)"
    )
