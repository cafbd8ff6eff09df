"""Encrypts the few secrets that live in the database (linkage keys, authorization headers) with the master key."""

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from models.domain.errors import BadRequest, NotPermitted


class Vault:
    """Encrypts and decrypts with one Fernet key (AES-128-CBC with HMAC-SHA256).

    Raises BadRequest when the key is not a Fernet key.
    """

    def __init__(self, master_key: str) -> None:
        try:
            self._fernet = Fernet(master_key)
        except ValueError:
            raise BadRequest("ADIT_MASTER_KEY is not a Fernet key (32 bytes in URL-safe base64).") from None
        self._secret = base64.urlsafe_b64decode(master_key)

    def key_for(self, purpose: str) -> bytes:
        """A key of 32 bytes for one purpose only; it tells nothing about the master key or other purposes' keys."""
        return HKDF(SHA256(), 32, salt=None, info=f"adit {purpose}".encode()).derive(self._secret)

    @property
    def fingerprint(self) -> str:
        """Tells one master key from another, and nothing about either."""
        return self.key_for("fingerprint")[:8].hex()

    def encrypt(self, secret: bytes) -> bytes:
        return self._fernet.encrypt(secret)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """The secret; raises NotPermitted when it was encrypted with another master key or altered."""
        try:
            return self._fernet.decrypt(ciphertext)
        except InvalidToken as exc:
            raise NotPermitted(
                "ADIT_MASTER_KEY is not the key with which the secrets in this database were encrypted. "
                "Set the original key."
            ) from exc
