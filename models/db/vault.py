"""Encrypts the few secrets that live in the database (linkage keys, authorization headers) with the master key."""

from cryptography.fernet import Fernet, InvalidToken

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
