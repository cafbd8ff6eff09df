"""One job for one request, however often it is sent: what was accepted under a key that its sender chose."""

import hashlib
import json
from dataclasses import asdict
from datetime import date

from models.db.engine import Database
from models.db.idempotency import IdempotencyStore
from models.domain.batch_requests import BatchQueryRequest, BatchTransferRequest
from models.domain.errors import BadRequest
from models.domain.jobs import Job
from models.domain.people import Actor
from models.domain.requests import TransferRequest
from services.job_access import visible

HEADER = "Idempotency-Key"

Request = TransferRequest | BatchQueryRequest | BatchTransferRequest


class Claim:
    """A request under the key that its sender chose; without a key nothing is found and nothing kept.

    What is compared of the request is computed here, before the transaction that adds the job.
    """

    def __init__(self, db: Database, actor: Actor, key: str, request: Request) -> None:
        self._db = db
        self._actor = actor
        self._key = key
        self._store = IdempotencyStore(db)
        self._digest = self._store.digest_of(_words(request)) if key else ""

    def earlier(self) -> Job | None:
        """The job that this request became before, under this key; None when there is none, or no key.

        In a transaction nobody else can use the key until it has ended. Raises BadRequest when the key belongs to
        another request, and NotFound when the job is not the actor's to see.
        """
        kept = self._store.claim(self._actor.name, self._key) if self._key else None
        if kept is None:
            return None
        if kept.request_digest != self._digest:
            raise BadRequest.of({HEADER: "another request has this key already. Send this one with a key of its own."})
        return visible(self._db, self._actor, kept.job_id)

    def keep(self, job: Job) -> None:
        """Remember what the request became, in the transaction that adds the job."""
        if self._key:
            self._store.keep(self._actor.name, self._key, self._digest, job.id)


def _words(request: Request) -> str:
    said = asdict(request)
    if not said.get("convert_to_nifti"):
        said.pop("convert_to_nifti", None)  # so it is still the request that it was before there was this field
    return json.dumps(said, sort_keys=True, default=_told)


def _told(value: object) -> str:
    """What JSON has no word for: the days in the rows of a batch file, and the file itself."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    assert isinstance(value, date)
    return value.isoformat()
