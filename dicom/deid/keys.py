"""The linkage key: the one secret from which all pseudonymous UIDs and date shifts of a linkage scope follow.

Nothing here is stored or random, so that every worker gives the same answer at any time.
"""

import hmac

from dicom.deid.identity import plain_id
from dicom.deid.vocabulary import REGISTERED_UIDS
from models.domain.errors import ProfileInvalid

SECRET_BYTES = 32
_VERSION_MASK, _VERSION_8 = 0xF << 76, 0x8 << 76
_VARIANT_MASK, _VARIANT = 0x3 << 62, 0x2 << 62
_LETTERS = "CDFHJKMNPQRTVWXY"
_SYMBOLS = _LETTERS + "23456789"
_PSEUDONYM_LENGTH = 12


class LinkageKey:
    """A key of 32 random bytes; whoever has it and the original data can repeat the pseudonymization.

    Raises ProfileInvalid when the secret is shorter.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < SECRET_BYTES:
            raise ProfileInvalid(f"The linkage key must have {SECRET_BYTES} bytes.")
        self._secret = bytes(secret)

    def __repr__(self) -> str:
        return "LinkageKey(hidden)"

    def __reduce__(self) -> str:
        raise TypeError("A linkage key does not leave its process.")

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits by which two outputs show that they were made with the same key."""
        return self.digest("fingerprint", "")[:4].hex()

    def digest(self, domain: str, value: str) -> bytes:
        """Return 32 bytes for a value (HMAC-SHA256); the same value has unrelated digests in different domains."""
        message = f"{domain}\0{value}".encode(errors="backslashreplace")
        return hmac.digest(self._secret, message, "sha256")

    def number(self, domain: str, value: str) -> int:
        """The digest as a number of 256 bits."""
        return int.from_bytes(self.digest(domain, value), "big")

    def uid(self, original: str) -> str:
        """Return the UID that stands for another one: a UUID version 8 under 2.25 (PS3.5 section B.2).

        Padding is no part of a UID. UIDs that the standard registers (classes, syntaxes, frames of reference) and
        nothing are returned as they are; what people make up under the standard's root is not.
        """
        stripped = original.strip("\0 ")
        if not stripped or stripped in REGISTERED_UIDS:
            return stripped
        bits = int.from_bytes(self.digest("uid", stripped)[:16], "big")
        return f"2.25.{(bits & ~_VERSION_MASK & ~_VARIANT_MASK) | _VERSION_8 | _VARIANT}"

    def label(self, original: str) -> str:
        """Return a code string of 12 letters and digits that stands for a name made up by people, such as a layer's."""
        return f"L{self.digest('label', original)[:6].hex().upper()[:11]}"

    def patient_digest(self, patient_id: str, issuer: str = "") -> str:
        """Return 64 hexadecimal digits that stand for a patient where the patient ID itself must not be kept.

        IDs that differ only in surrounding spaces or in how Unicode composes their letters are the same patient.
        """
        return self.digest("patient", _plain(patient_id, issuer)).hex()

    def pseudonym(self, patient_id: str, issuer: str = "", number: int = 0) -> str:
        """Return a pseudonym of 12 letters and digits for a patient; another one for each ``number``.

        It begins with a letter, and there are no vowels and no letters that look like digits. Of 2.4e16 that there are,
        two of 100,000 patients get the same in one of five million scopes.
        """
        plain = _plain(patient_id, issuer)
        rest = self.number("pseudonym", f"{plain}\0{number}")
        rest, first = divmod(rest, len(_LETTERS))
        letters = [_LETTERS[first]]
        while len(letters) < _PSEUDONYM_LENGTH:
            rest, place = divmod(rest, len(_SYMBOLS))
            letters.append(_SYMBOLS[place])
        return "".join(letters)


def _plain(patient_id: str, issuer: str) -> str:
    return f"{plain_id(issuer)}\0{plain_id(patient_id)}"
