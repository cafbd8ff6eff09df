"""Hashes passwords with argon2id, and tells which ones are too weak. Nothing here knows the database.

19 MiB and two passes, as OWASP recommends for argon2id: about 50 ms of one core. At most three are hashed at a time,
so that a flood of sign-ins leaves memory and threads to everybody else.
"""

import re
import secrets
import threading
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from models.domain.people import Profile

SHORTEST, LONGEST = 10, 256

_FEWEST_OWN_CHARACTERS = 6
"""How many characters of a password must not come from the name or mail address, once a part of those is in it."""

_FEWEST_KINDS = 5
"""How many different characters a password must have."""

_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_AT_ONCE = threading.BoundedSemaphore(3)
_COMMON = Path(__file__).with_name("common_passwords.txt")
_PLAIN_LETTERS = str.maketrans("013457@$!", "oieastasi")
_ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1q2w3e4r5t6y7u8i9o0p",
    "1q2w3e4r5t6z7u8i9o0p",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "1qay2wsx3edc4rfv5tgb6zhn7ujm8ik9ol0p",
)


def hashed(password: str) -> str:
    """The argon2id hash of a password, with its parameters and a salt of its own."""
    with _AT_ONCE:
        return _HASHER.hash(_canonical(password))


def matches(password: str, kept: str) -> bool:
    """Whether this is the password of a hash. Without one the answer is no, and takes as long."""
    with _AT_ONCE:
        nobodys = _nobodys_hash()
        try:
            _HASHER.verify(kept or nobodys, _canonical(password))
        except (VerificationError, InvalidHashError):
            return False
        return bool(kept)


def is_outdated(kept: str) -> bool:
    """Whether a hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(kept)


def problem(password: str, profile: Profile, username: str) -> str:
    """What is wrong with a password for this person, in a sentence; empty when nothing is."""
    if len(password) < SHORTEST:
        return f"At least {SHORTEST} characters."
    if len(password) > LONGEST:
        return f"At most {LONGEST} characters."
    if password.strip().isdecimal():
        return "Digits alone are too easy to guess."
    if _is_common(password):
        return "Too many people use this password, or one that is nearly the same."
    if _is_like(password, profile, username):
        return "It is too much like your name or mail address."
    return ""


def _canonical(password: str) -> str:
    """The same for every way in which keyboards compose the same letters."""
    return unicodedata.normalize("NFKC", password[: LONGEST + 1])


@cache
def _nobodys_hash() -> str:
    return _HASHER.hash(secrets.token_urlsafe(32))


def _is_common(password: str) -> bool:
    if len(set(password.casefold())) < _FEWEST_KINDS:
        return True
    forms = [form for form in _forms(password) if len(form) * 3 >= len(password)]
    return any(_unit(form) in _common_passwords() or _is_in_a_row(form) for form in forms)


def _forms(password: str) -> Iterator[str]:
    """The password without what people add to a word to please rules: digits and signs around it and in its letters."""
    lower = password.casefold()
    for form in (lower, lower.translate(_PLAIN_LETTERS)):
        yield re.sub(r"[\W_]", "", form)
        yield re.sub(r"[\W_]", "", re.sub(r"^[\W\d_]+|[\W\d_]+$", "", form))
    yield re.sub(r"[\W_]", "", re.sub(r"^[\W\d_]+|[\W\d_]+$", "", lower).translate(_PLAIN_LETTERS))


def _unit(form: str) -> str:
    """The part that a form repeats, or the form itself."""
    repeated = re.fullmatch(r"(.+?)\1+", form)
    return repeated[1] if repeated else form


def _is_in_a_row(form: str) -> bool:
    """Whether fingers only had to slide over the keys, or count."""
    unit = _unit(form)
    return len(unit) >= 3 and any(unit in row * 2 or unit in row[::-1] * 2 for row in _ROWS)


def _is_like(password: str, profile: Profile, username: str) -> bool:
    left = password.casefold()
    for part in sorted(_own_words(profile, username), key=len, reverse=True):
        left = left.replace(part, "")
    left = re.sub(r"[\W_]", "", left) if left != password.casefold() else left
    return len(left) < _FEWEST_OWN_CHARACTERS


def _own_words(profile: Profile, username: str) -> set[str]:
    own = (username, profile.email.partition("@")[0], profile.first_name, profile.last_name)
    whole = {text.casefold() for text in own}
    parts = {part for text in whole for part in re.split(r"[\W\d_]+", text)}
    return {word for word in whole | parts if len(word) >= 3}


@cache
def _common_passwords() -> frozenset[str]:
    lines = _COMMON.read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())
