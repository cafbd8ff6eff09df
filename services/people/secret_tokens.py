"""Secrets that somebody else carries for us: 256 bits each, of which only the SHA-256 is kept."""

import hashlib
import secrets


def new_token() -> str:
    return secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """What is kept of a token. A plain hash is enough, since nobody can try all tokens."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
