"""The first tables.

Revision ID: 0001
Revises: none
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None

REAL_NUMBER = sa.Double[float]()


def upgrade() -> None:
    op.create_table(
        "linkage_scopes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=True),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_linkage_scopes"),
        sa.UniqueConstraint("name", name="uq_linkage_scopes_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "nodes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_nodes"),
        sa.UniqueConstraint("name", name="uq_nodes_name"),
    )
    op.create_table(
        "seals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_seals"),
    )
    op.create_table(
        "association_slots",
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("node_id", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name="fk_association_slots_node_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("holder", "node_id", name="pk_association_slots"),
    )
    op.create_index("ix_association_slots_expires_at", "association_slots", ["expires_at"])

    op.create_table(
        "folders",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(1024), nullable=False),
        sa.Column("quota_gb", REAL_NUMBER, nullable=True),
        sa.Column("warn_at_gb", REAL_NUMBER, nullable=True),
        sa.Column("warn_at_percent", REAL_NUMBER, nullable=True),
        sa.ForeignKeyConstraint(["id"], ["nodes.id"], name="fk_folders_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_folders"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("owner", sa.String(150), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("trial_protocol_id", sa.String(64), nullable=False),
        sa.Column("trial_protocol_name", sa.String(64), nullable=False),
        sa.Column("linkage_scope_id", sa.Integer(), nullable=False),
        sa.Column("flow_run_id", sa.String(64), nullable=False),
        sa.Column("run_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["linkage_scope_id"], ["linkage_scopes.id"], name="fk_jobs_linkage_scope_id"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_owner_state", "jobs", ["owner", "state"])
    op.create_index("ix_jobs_state", "jobs", ["state"])

    op.create_table(
        "pseudonym_bindings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("scope_id", sa.Integer(), nullable=False),
        sa.Column("patient_digest", sa.String(128), nullable=False),
        sa.Column("pseudonym", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["scope_id"], ["linkage_scopes.id"], name="fk_pseudonym_bindings_scope_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_pseudonym_bindings"),
    )
    op.create_index("uq_pseudonym_bindings_patient", "pseudonym_bindings", ["scope_id", "patient_digest"], unique=True)
    op.create_index("uq_pseudonym_bindings_pseudonym", "pseudonym_bindings", ["scope_id", "pseudonym"], unique=True)

    op.create_table(
        "servers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ae_title", sa.String(16), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("patient_root_find_support", sa.Boolean(), nullable=False),
        sa.Column("patient_root_get_support", sa.Boolean(), nullable=False),
        sa.Column("patient_root_move_support", sa.Boolean(), nullable=False),
        sa.Column("study_root_find_support", sa.Boolean(), nullable=False),
        sa.Column("study_root_get_support", sa.Boolean(), nullable=False),
        sa.Column("study_root_move_support", sa.Boolean(), nullable=False),
        sa.Column("store_scp_support", sa.Boolean(), nullable=False),
        sa.Column("dicomweb_root_url", sa.String(2000), nullable=False),
        sa.Column("dicomweb_qido_support", sa.Boolean(), nullable=False),
        sa.Column("dicomweb_wado_support", sa.Boolean(), nullable=False),
        sa.Column("dicomweb_stow_support", sa.Boolean(), nullable=False),
        sa.Column("dicomweb_qido_prefix", sa.String(2000), nullable=False),
        sa.Column("dicomweb_wado_prefix", sa.String(2000), nullable=False),
        sa.Column("dicomweb_stow_prefix", sa.String(2000), nullable=False),
        sa.Column("dicomweb_authorization_header", sa.LargeBinary(), nullable=False),
        sa.Column("tls_ca_file", sa.String(1024), nullable=True),
        sa.Column("tls_certificate_file", sa.String(1024), nullable=True),
        sa.Column("tls_key_file", sa.String(1024), nullable=True),
        sa.Column("tls_check_hostname", sa.Boolean(), nullable=True),
        sa.Column("connect_timeout_s", REAL_NUMBER, nullable=False),
        sa.Column("negotiation_timeout_s", REAL_NUMBER, nullable=False),
        sa.Column("response_timeout_s", REAL_NUMBER, nullable=False),
        sa.Column("idle_timeout_s", REAL_NUMBER, nullable=False),
        sa.Column("association_budget", sa.Integer(), nullable=False),
        sa.Column("store_associations", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["id"], ["nodes.id"], name="fk_servers_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_servers"),
        sa.UniqueConstraint("ae_title", name="uq_servers_ae_title"),
    )
    op.create_table(
        "items",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("destination_id", sa.Integer(), nullable=False),
        sa.Column("patient_id", sa.String(64), nullable=False),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("series_uids", sa.JSON(), nullable=False),
        sa.Column("pseudonym", sa.String(64), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("error_code", sa.String(64), nullable=False),
        sa.Column("not_before_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.String(64), nullable=True),
        sa.Column("lease_until_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("active_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["destination_id"], ["nodes.id"], name="fk_items_destination_id"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_items_job_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["source_id"], ["nodes.id"], name="fk_items_source_id"),
        sa.PrimaryKeyConstraint("id", name="pk_items"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_items_destination_id", "items", ["destination_id"])
    op.create_index("ix_items_job_state", "items", ["job_id", "state"])
    op.create_index("ix_items_source_id", "items", ["source_id"])
    op.create_index("ix_items_state", "items", ["state"])
    op.create_index("uq_items_position", "items", ["job_id", "position"], unique=True)

    op.create_table(
        "receipts",
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("verdict", sa.String(24), nullable=False),
        sa.Column("expected_count", sa.Integer(), nullable=True),
        sa.Column("received_count", sa.Integer(), nullable=False),
        sa.Column("stored_count", sa.Integer(), nullable=False),
        sa.Column("confirmed_count", sa.Integer(), nullable=False),
        sa.Column("left_out_count", sa.Integer(), nullable=False),
        sa.Column("refused_count", sa.Integer(), nullable=False),
        sa.Column("missing_count", sa.Integer(), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name="fk_receipts_item_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("item_id", name="pk_receipts"),
    )


def downgrade() -> None:
    op.drop_table("receipts")
    op.drop_table("items")
    op.drop_table("servers")
    op.drop_table("pseudonym_bindings")
    op.drop_table("jobs")
    op.drop_table("folders")
    op.drop_table("association_slots")
    op.drop_table("seals")
    op.drop_table("nodes")
    op.drop_table("linkage_scopes")
