"""Secrets that somebody else carries for us: 256 bits each, of which only the SHA-256 is kept."""

import hashlib
import secrets

API_PREFIX = "adit_"
"""By which tools that look for leaked secrets know a token of the API."""


def new_token() -> str:
    return secrets.token_urlsafe(32)


def new_api_token() -> str:
    """A secret that nobody guesses, in the form of a token of the API."""
    return f"{API_PREFIX}{new_token()}"


def digest_of(token: str) -> str:
    """What is kept of a token. A plain hash is enough, since nobody can try all tokens."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
