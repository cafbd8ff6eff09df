"""Secrets of an installation: how each is made, and which of those in a `.env` are in use and stay as they are."""

import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet

from models.settings import EXAMPLE_MASTER_KEY
from services.people.secret_tokens import new_api_token

MASTER_KEY, DATABASE_PASSWORD = "ADIT_MASTER_KEY", "ADIT_DATABASE_PASSWORD"
LENGTH, SHORTEST, LONGEST = 20, 12, 1_000
_LETTERS = string.ascii_letters + string.digits
_SIGNS = "-_.+="
"""Of a password: none that a shell, an address or a file of variables gives a meaning."""

MAKERS: Mapping[str, Callable[[], str]] = {
    MASTER_KEY: lambda: Fernet.generate_key().decode(),
    DATABASE_PASSWORD: lambda: letters(32),
    "ADIT_PREFECT_AUTH": lambda: f"adit:{letters(32)}",
    "ADIT_METRICS_TOKEN": lambda: letters(32),
    "ADIT_ADMIN_PASSWORD": lambda: password(),
    "ADIT_ADMIN_TOKEN": new_api_token,
}
"""What an installation chooses for itself; secrets of others, such as a mail server's, are not ours to make."""
_EXAMPLES = {"", EXAMPLE_MASTER_KEY}
_BOUND = {
    MASTER_KEY: "what is encrypted in the database, such as linkage keys, cannot be read with another key",
    DATABASE_PASSWORD: "PostgreSQL has to be given the same one: ALTER ROLE adit PASSWORD '...'",
}
"""Secrets that something outside of the file depends on."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """New values by their names, names that keep their value, and why some were not touched although they are bad."""

    made: Mapping[str, str]
    kept: tuple[str, ...]
    refused: Mapping[str, str]
    broken: Mapping[str, str]
    """What now has to be done by hand, for each bound secret that was renewed."""


def letters(length: int) -> str:
    """Random letters and digits, about six bits each."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def password(length: int = LENGTH) -> str:
    """A random password with letters of both kinds, a digit and a sign."""
    while True:
        chosen = "".join(secrets.choice(_LETTERS + _SIGNS) for _ in range(length))
        if all(
            set(chosen) & set(kind) for kind in (string.ascii_lowercase, string.ascii_uppercase, string.digits, _SIGNS)
        ):
            return chosen


def renew(values: Mapping[str, str], is_forced: bool = False) -> Renewal:
    """Make every secret that is empty or the example's; with force, the others too.

    A master key or database password that something depends on is changed by force only.
    """
    made: dict[str, str] = {}
    kept: list[str] = []
    refused: dict[str, str] = {}
    for name, make in MAKERS.items():
        is_bad = values.get(name, "") in _EXAMPLES
        if not is_forced and is_bad and (why := _in_use(name, values)):
            refused[name] = why
        elif is_forced or is_bad:
            made[name] = make()
        else:
            kept.append(name)
    broken = {name: why for name, why in _BOUND.items() if name in made and (values.get(name) or _in_use(name, values))}
    return Renewal(made, tuple(kept), refused, broken)


def _in_use(name: str, values: Mapping[str, str]) -> str:
    """Why a secret is needed as it is, although it is none of the file's own; empty when it is not."""
    directory = Path(values.get("ADIT_DATA_DIR") or "data")
    address = values.get("ADIT_DATABASE_URL", "")
    if name == MASTER_KEY and (directory / "master.key").exists():
        return f"the key in use stands in {directory / 'master.key'}; put that one here"
    if name == MASTER_KEY and ((directory / "adit.db").exists() or address):
        return "there is a database already, which may be used with another key"
    if name == DATABASE_PASSWORD and (address or values.get("ADIT_PREFECT_DATABASE_URL")):
        return "the database at ADIT_DATABASE_URL knows no such password"
    return ""
