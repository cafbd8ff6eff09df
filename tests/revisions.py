"""Databases as every released version of ADIT has left them: rows in each of their tables, and a look at all rows.

The rows are those of one installation that was there from the first version on. Each revision adds what its version
could write. Nothing here goes through today's stores, which would write today's rows.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from psycopg.types.json import Json
from sqlalchemy import Connection, inspect, text

from models.db import revisions, schema
from models.db.engine import Database
from models.db.receipts import packed
from models.db.vault import Vault
from models.domain.receipts import Receipt
from tests.databases import MASTER_KEY, cluster, new_url, replace_by_copy

Rows = Mapping[str, list[dict[str, Any]]]

RELEASED = revisions.known()
_BEGUN = datetime(2025, 11, 3, 8, 30, 0, 250_000, tzinfo=UTC)
_VAULT = Vault(MASTER_KEY)
_STORED = packed(Receipt(expected={"1.2.3.1.1"}, received={"1.2.3.1.1"}, stored={"1.2.3.1.1"}))


def _at(hours: float) -> datetime:
    return _BEGUN + timedelta(hours=hours)


_SERVER = {
    "host": "pacs.example.org",
    "port": 104,
    "patient_root_find_support": False,
    "patient_root_get_support": False,
    "patient_root_move_support": False,
    "study_root_find_support": True,
    "study_root_get_support": True,
    "study_root_move_support": False,
    "store_scp_support": True,
    "dicomweb_root_url": "https://pacs.example.org/dicom-web",
    "dicomweb_qido_support": True,
    "dicomweb_wado_support": False,
    "dicomweb_stow_support": False,
    "dicomweb_qido_prefix": "qido",
    "dicomweb_wado_prefix": "",
    "dicomweb_stow_prefix": "",
    "dicomweb_authorization_header": _VAULT.encrypt(b"Bearer secret"),
    "tls_ca_file": "/etc/adit/ca.pem",
    "tls_check_hostname": True,
    "connect_timeout_s": 15.0,
    "negotiation_timeout_s": 30.0,
    "response_timeout_s": 60.0,
    "idle_timeout_s": 60.5,
    "association_budget": 8,
    "store_associations": 2,
}
_JOB = {
    "kind": "batch_transfer",
    "state": "success",
    "owner": "ada",
    "urgent": False,
    "message": "All 1 items succeeded.",
    "trial_protocol_id": "TRIAL-Ü",
    "trial_protocol_name": "Trial “Ü”",
    "linkage_scope_id": 1,
    "flow_run_id": "5b0c1d9e-7a39-4d55-9f3f-0f4a6a1c2b3d",
    "run_requested_at": _at(1),
    "created_at": _at(0.5),
    "started_at": _at(1),
    "ended_at": _at(2),
}
_WAITING = {"state": "pending", "ended_at": None, "message": ""}
_ITEM = {
    "job_id": 1,
    "position": 1,
    "state": "success",
    "source_id": 1,
    "destination_id": 2,
    "patient_id": "PAT-1 ä",
    "study_uid": "1.2.3.1",
    "series_uids": ["1.2.3.1.9"],
    "pseudonym": "ANÖN-1",
    "attempts": 1,
    "message": "1 instance stored.",
    "error_code": "",
    "ended_at": _at(2),
}
_AT_WORK = {
    "state": "in_progress",
    "lease_token": "token",
    "lease_until_at": _at(3),
    "active_at": _at(2.9),
    "started_at": _at(2.5),
    "ended_at": None,
}
_USER = {
    "id": 1,
    "username": "Ada",
    "username_key": "ada",
    "email": "ada@example.org",
    "email_key": "ada@example.org",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "phone_number": "",
    "department": "Radiology",
    "password_hash": "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA",
    "is_active": True,
    "is_staff": False,
    "is_superuser": False,
    "preferences": {"rows": 50},
    "joined_at": _at(10),
    "email_confirmed_at": _at(10.1),
    "approved_at": _at(10.2),
    "approved_by": "root",
    "last_login_at": _at(11),
    "version": 3,
}
_ROOT = {"id": 2, "username": "root", "username_key": "root", "email": "r@example.org", "email_key": "r@example.org"}

NEW_ROWS: Mapping[str, Rows] = {
    "0001": {
        "seals": [{"id": 1, "ciphertext": _VAULT.encrypt(b"adit")}],
        "linkage_scopes": [
            {"id": 1, "name": "TRIAL-Ü", "key": _VAULT.encrypt(b"k" * 32), "created_at": _at(0)},
            {"id": 2, "name": None, "key": _VAULT.encrypt(b"l" * 32), "created_at": _at(0.1)},
        ],
        "nodes": [{"id": 1, "kind": "server", "name": "PACS"}, {"id": 2, "kind": "folder", "name": "research"}],
        "servers": [{"id": 1, "ae_title": "PACS", **_SERVER}],
        "folders": [{"id": 2, "path": "/srv/research", "quota_gb": 500.5, "warn_at_gb": None, "warn_at_percent": 90.0}],
        "jobs": [{"id": 1, **_JOB}, {"id": 4, **_JOB, **_WAITING, "linkage_scope_id": 2}],
        "items": [
            {"id": 1, **_ITEM},
            {"id": 5, **_ITEM, **_AT_WORK, "job_id": 4, "study_uid": "1.2.3.2"},
            {"id": 6, **_ITEM, "state": "pending", "job_id": 4, "position": 2, "study_uid": "1.2.3.3", "attempts": 0},
        ],
        "pseudonym_bindings": [{"id": 1, "scope_id": 1, "patient_digest": "d1", "pseudonym": "ANÖN-1"}],
        "receipts": [
            {
                "item_id": 1,
                "content": _STORED,
                "verdict": "complete",
                "expected_count": 1,
                "received_count": 1,
                "stored_count": 1,
                "confirmed_count": 0,
                "left_out_count": 0,
                "refused_count": 0,
                "missing_count": 0,
                "saved_at": _at(2),
            }
        ],
        "association_slots": [{"holder": "token", "node_id": 1, "count": 2, "expires_at": _at(3)}],
    },
    "0002": {
        "escrow_entries": [{"binding_id": 1, "ciphertext": _VAULT.encrypt(b"PAT-1"), "kept_at": _at(2)}],
        "reviews": [
            {
                "item_id": 1,
                "sop_uid": "1.2.3.1.1",
                "decision": "released",
                "reviewer": "eve",
                "decided_at": _at(2),
                "reason": "nothing to be seen on it",
            }
        ],
        "audit_entries": [
            {
                "id": 1,
                "at": _at(2),
                "actor": "eve",
                "action": "release_held",
                "subject": "job 1",
                "reason": "nothing to be seen on it",
                "outcome": "done",
            }
        ],
    },
    "0004": {
        "users": [_USER, {**_USER, **_ROOT, "is_staff": True, "is_superuser": True}],
        "groups": [{"id": 1, "name": "readers", "version": 2}],
        "group_permissions": [{"group_id": 1, "permission": "selective_transfer.add_selectivetransferjob"}],
        "memberships": [{"user_id": 1, "group_id": 1}],
        "node_accesses": [{"node_id": 2, "group_id": 1, "source": False, "destination": True}],
        "web_sessions": [
            {
                "id": 3,
                "token_digest": "a" * 64,
                "user_id": 1,
                "created_at": _at(11),
                "seen_at": _at(12),
                "address": "192.0.2.7",
                "agent": "Firefox",
            }
        ],
        "one_time_links": [
            {"token_digest": "b" * 64, "user_id": 1, "purpose": "reset_password", "expires_at": _at(13)}
        ],
        "tries": [{"id": 1, "subject": "c" * 64, "at": _at(11)}],
        "app_settings": [{"app": "upload", "locked": True, "suspended": False}],
        "broadcasts": [
            {
                "id": 1,
                "subject": "Update",
                "message": "Tonight.",
                "sender": "root",
                "flow_run_id": "",
                "created_at": _at(9),
            }
        ],
        "mails": [
            {
                "id": 1,
                "broadcast_id": 1,
                "recipient": "ada@example.org",
                "content": _VAULT.encrypt(b"{}"),
                "state": "sent",
                "attempts": 1,
                "error": "",
                "created_at": _at(9),
                "not_before_at": _at(9),
                "sent_at": _at(9.1),
            }
        ],
        "quota_reservations": [{"item_id": 5, "folder_id": 2, "size_bytes": 3_000_000_000}],
    },
    "0005": {
        "api_tokens": [
            {
                "id": 1,
                "digest": "e" * 64,
                "user_id": 1,
                "beginning": "adit_abcd",
                "description": "nightly",
                "created_at": _at(12),
                "expires_at": None,
                "last_used_at": _at(13),
                "operations": ["search"],
                "is_limited_to_nodes": True,
                "request_count": 5_000_000_000,
                "answered_bytes": 7,
            }
        ],
        "api_token_nodes": [{"token_id": 1, "node_id": 2}],
        "idempotency_keys": [
            {
                "id": 1,
                "owner": "ada",
                "key_digest": "f" * 64,
                "request_digest": "0" * 64,
                "job_id": 1,
                "created_at": _at(12),
            }
        ],
    },
    "0006": {
        "jobs": [
            {
                "id": 7,
                **_JOB,
                "kind": "batch_query",
                "linkage_scope_id": None,
                "trial_protocol_id": "",
                "trial_protocol_name": "",
                "project_name": "Knees",
                "project_description": "All knees of 2025",
                "ethics_application_id": "S-123/2025",
                "generate_pseudonyms": False,
                "checked_by_job_id": None,
            }
        ],
        "items": [
            {
                "id": 9,
                **_ITEM,
                "job_id": 7,
                "destination_id": None,
                "patient_id": "",
                "study_uid": "",
                "series_uids": [],
                "pseudonym": "",
                "lines": [2, 3],
                "row_id": "r1",
                "planned_count": 12,
            }
        ],
        "questions": [{"item_id": 9, "content": _VAULT.encrypt(b"row")}],
        "answers": [
            {
                "id": 1,
                "item_id": 9,
                "position": 1,
                "verdict": "found",
                "instance_count": 12,
                "size_bytes": 6_000_000_000,
                "content": _VAULT.encrypt(b"{}"),
            }
        ],
        "batch_files": [{"job_id": 7, "content": _VAULT.encrypt(b"PatientID"), "created_at": _at(12)}],
    },
    "0008": {
        "chore_runs": [
            {
                "id": 1,
                "name": "backup",
                "started_at": _at(20),
                "alive_until_at": _at(20.5),
                "ended_at": _at(20.1),
                "outcome": "success",
                "message": "adit-20251104T043000Z-0008-sqlite.db, 2 MB.",
                "flow_run_id": "0b0c1d9e-7a39-4d55-9f3f-0f4a6a1c2b3d",
            }
        ],
        "slot_waits": [{"holder": "token", "node_id": 1, "expires_at": _at(3)}],
    },
    "0009": {
        "webhooks": [
            {
                "id": 1,
                "url": "https://example.org/hook",
                "description": "our index",
                "events": ["job.finished"],
                "is_active": True,
                "secret": _VAULT.encrypt(b"s" * 32),
                "old_secret": b"",
                "old_secret_until_at": None,
                "failing_since_at": None,
                "rests_until_at": None,
                "created_by": "root",
                "created_at": _at(21),
                "version": 1,
            }
        ],
        "webhook_notices": [
            {
                "id": 1,
                "webhook_id": 1,
                "event_id": "evt-1",
                "event": "job.finished",
                "job_id": 1,
                "body": '{"job": 1}',
                "state": "sent",
                "attempts": 1,
                "status": 204,
                "trouble": "",
                "created_at": _at(21),
                "not_before_at": _at(21),
                "give_up_at": _at(45),
                "sent_at": _at(21.1),
            }
        ],
        "alarms": [
            {
                "name": "failure burst",
                "title": "Failures",
                "since_at": _at(21),
                "seen_at": _at(22),
                "told_at": None,
                "text": "9 of 10.",
            }
        ],
    },
    "0010": {
        "attempt_totals": [
            {
                "kind": "batch_transfer",
                "source": "PACS",
                "destination": "research",
                "state": "success",
                "error_code": "",
                "attempts": 1,
                "seconds": 12.25,
            }
        ],
        "delivery_totals": [
            {
                "kind": "batch_transfer",
                "source": "PACS",
                "destination": "research",
                "instances": 1,
                "size_bytes": 9_000_000_000,
            }
        ],
        "program_signs": [
            {"program": "web", "machine": "adit1", "version": "0.1.0", "started_at": _at(22), "seen_at": _at(23)}
        ],
    },
    "0011": {
        "job_runs": [
            {"flow_run_id": "5b0c1d9e-7a39-4d55-9f3f-0f4a6a1c2b3d", "job_id": 1, "asked_at": _at(1), "heard_at": _at(2)}
        ],
        "refusals": [{"job_id": 4, "machine": "adit2", "reason": "no share", "refused_at": _at(23)}],
        "duties": [{"name": "dispatch", "holder": "adit1", "until_at": _at(24)}],
    },
    "0013": {
        "trial_users": [{"scope_id": 1, "username": "eve", "since_at": _at(25), "let_in_by": "root"}],
    },
    "0014": {
        "folder_holds": [
            {
                "folder_id": 2,
                "code": "FolderFull",
                "said": "The disk of the folder research has no room left.",
                "machine": "adit1",
                "since_at": _at(22),
                "again_at": _at(23),
                "probe_item_id": None,
                "needed_by_item_id": 1,
                "needed_bytes": 1_000_000,
            }
        ],
    },
}
"""What the version of each revision adds, table by table; of other columns the defaults."""


@contextmanager
def filled_at(kind: str, revision: str, directory: Path) -> Iterator[str]:
    """The URL of a new database with the tables of a revision, all of them filled as its version would have."""
    with new_url(kind, directory) as url:
        if kind == "sqlite":
            Path(url.removeprefix("sqlite:///")).write_bytes(_sqlite_file(revision))
        else:
            replace_by_copy(url, _postgresql_database(revision))
        yield url


def all_rows(url: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, in an order that depends on nothing but the rows; without the revision itself."""
    db = Database(url, MASTER_KEY)
    try:
        with db._engine.connect() as connection:
            tables = set(inspect(connection).get_table_names()) - {"alembic_version"}
            found = {name: connection.exec_driver_sql(f"SELECT * FROM {name}").mappings() for name in sorted(tables)}
            return {name: sorted(map(dict, rows), key=repr) for name, rows in found.items()}
    finally:
        db.close()


def next_id(url: str, table: str) -> int:
    """The id that the next row of a table will get."""
    db = Database(url, MASTER_KEY)
    try:
        with db._engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                seq = "SELECT seq + 1 FROM sqlite_sequence WHERE name = :name"
                return int(connection.scalar(text(seq), {"name": table}) or 1)
            seq = f"SELECT last_value + CASE WHEN is_called THEN 1 ELSE 0 END FROM {table}_id_seq"
            return int(connection.scalar(text(seq)) or 1)
    finally:
        db.close()


@cache
def _sqlite_file(revision: str) -> bytes:
    """Each revision is made of the one before, once, since migrating takes most of the time."""
    with TemporaryDirectory(prefix="adit-revision-") as directory:
        file = Path(directory) / "adit.db"
        if revision != RELEASED[0]:
            file.write_bytes(_sqlite_file(_before(revision)))
        _take_on(f"sqlite:///{file}", revision)
        return file.read_bytes()


@cache
def _postgresql_database(revision: str) -> str:
    url = cluster().new_database()
    if revision != RELEASED[0]:
        replace_by_copy(url, _postgresql_database(_before(revision)))
    _take_on(url, revision)
    return url


def _before(revision: str) -> str:
    return RELEASED[RELEASED.index(revision) - 1]


def _take_on(url: str, revision: str) -> None:
    """Migrate, and add what the version could write."""
    db = Database(url, MASTER_KEY)
    schema.upgrade(db._engine, lambda _: None, revision)
    with db._engine.begin() as connection:
        for table, rows in NEW_ROWS.get(revision, {}).items():
            for row in rows:
                _insert(connection, table, row)
            if connection.dialect.name == "postgresql" and "id" in rows[0]:
                _go_on_after(connection, table)
    db.close()


def _insert(connection: Connection, table: str, row: Mapping[str, Any]) -> None:
    is_sqlite = connection.dialect.name == "sqlite"
    values = {name: _for_sqlite(value) if is_sqlite else _for_postgresql(value) for name, value in row.items()}
    places = ", ".join(f":{name}" for name in row)
    connection.execute(text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})"), values)


def _go_on_after(connection: Connection, table: str) -> None:
    """Sequences go on after the rows, as they would have."""
    sequence = connection.scalar(text(f"SELECT pg_get_serial_sequence('{table}', 'id')"))
    if sequence:
        connection.execute(text(f"SELECT setval('{sequence}', (SELECT max(id) FROM {table}))"))


def _for_sqlite(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    return json.dumps(value) if isinstance(value, list | dict) else value


def _for_postgresql(value: Any) -> Any:
    return Json(value) if isinstance(value, list | dict) else value
