"""One job for one request, however often it is sent: what was accepted under a key that its sender chose."""

import hashlib
import json
from dataclasses import asdict
from datetime import date

from models.db.engine import Database
from models.db.idempotency import IdempotencyStore, Kept
from models.domain.batch_requests import BatchQueryRequest, BatchTransferRequest
from models.domain.errors import BadRequest
from models.domain.jobs import Job
from models.domain.people import Actor
from models.domain.requests import TransferRequest
from services.job_access import visible

HEADER = "Idempotency-Key"

Request = TransferRequest | BatchQueryRequest | BatchTransferRequest


def earlier(db: Database, actor: Actor, key: str, request: Request) -> Job | None:
    """The job that this request became before, under this key; None when there is none, or no key.

    In a transaction nobody else can use the key until it has ended. Raises BadRequest when the key belongs to another
    request, and NotFound when the job is not the actor's to see.
    """
    if not key:
        return None
    store = IdempotencyStore(db)
    kept = store.claim(actor.name, key)
    if kept is None:
        return None
    _check_is_same(kept, store.digest_of(_words(request)))
    return visible(db, actor, kept.job_id)


def keep(db: Database, actor: Actor, key: str, request: Request, job: Job) -> None:
    """Remember what the request became, in the transaction that adds the job; without a key nothing happens."""
    if key:
        store = IdempotencyStore(db)
        store.keep(actor.name, key, store.digest_of(_words(request)), job.id)


def _check_is_same(kept: Kept, digest: str) -> None:
    if kept.request_digest != digest:
        raise BadRequest.of({HEADER: "another request has this key already. Send this one with a key of its own."})


def _words(request: Request) -> str:
    return json.dumps(asdict(request), sort_keys=True, default=_told)


def _told(value: object) -> str:
    """What JSON has no word for: the days in the rows of a batch file, and the file itself."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    assert isinstance(value, date)
    return value.isoformat()
