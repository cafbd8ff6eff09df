"""Signatures by which a listener knows that a request is ours, as old as it says, and not altered.

Source: the Standard Webhooks specification, 1.0: HMAC-SHA256 over id, timestamp and body, with dots between.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime

_PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> bytes:
    return secrets.token_bytes(_SECRET_BYTES)


def shown(secret: bytes) -> str:
    """The secret as administrators get to see it once, and as libraries for such webhooks take it."""
    return _PREFIX + base64.b64encode(secret).decode()


def headers(message_id: str, body: str, keys: Iterable[bytes], now: datetime) -> Mapping[str, str]:
    """What goes with a request: its id, when it is sent, and a signature by each key, with blanks between."""
    timestamp = str(int(now.timestamp()))
    signed = f"{message_id}.{timestamp}.{body}".encode()
    signatures = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
