"""Limits how often something may be tried: by one person from one address, by one person, and from one address.

The limit that a guesser meets first binds a name and an address together, so that nobody can lock somebody else out
from elsewhere; those of a name or an address alone are higher. Tries are counted in the database, for all processes.
Names and addresses are kept as keyed digests, for a day.
"""

import hmac
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address, ip_address, ip_network

from models.db.engine import Database
from models.db.sessions import Limit, TryStore

_Rate = tuple[int, timedelta]
_MINUTE, _FEW = timedelta(minutes=1), timedelta(minutes=5)
_QUARTER, _HOUR = timedelta(minutes=15), timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many tries of one kind are let through; None does not count."""

    kind: str
    by_both: _Rate | None = None
    by_who: _Rate | None = None
    by_address: _Rate | None = None


SIGN_IN = Allowance("sign in", by_both=(5, _FEW), by_who=(100, _HOUR), by_address=(100, _QUARTER))
OLD_PASSWORD = Allowance("old password", by_both=(5, _MINUTE), by_who=(20, _HOUR))
REGISTER = Allowance("register", by_address=(30, _HOUR))
ASK_FOR_MAIL = Allowance("ask for mail", by_both=(3, _QUARTER), by_who=(6, _HOUR), by_address=(30, _HOUR))
OPEN_LINK = Allowance("open link", by_address=(30, _QUARTER))


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try that was let through and counts, until it turns out to be no guess."""

    db: Database
    ids: tuple[int, ...]
    both: str

    def succeeded(self) -> None:
        """Count neither this try nor earlier ones of the same person from the same address."""
        TryStore(self.db).forgive(self.ids, self.both)


def begin(db: Database, allowance: Allowance, who: str, address: str) -> Attempt:
    """Count a try; raises TooManyTries. Call it outside of a transaction, with which the count would be undone."""
    place = _place(address)
    both = _digest(db, allowance.kind, "both", who, place)
    wanted = (
        (both, allowance.by_both),
        (_digest(db, allowance.kind, "who", who), allowance.by_who),
        (_digest(db, allowance.kind, "address", place), allowance.by_address),
    )
    limits = [Limit(subject, *rate) for subject, rate in wanted if rate is not None]
    return Attempt(db, TryStore(db).add(limits), both)


def _digest(db: Database, *parts: str) -> str:
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hmac.digest(db.vault.key_for("tries"), text.encode("utf-8", "replace"), "sha256").hex()


def _place(address: str) -> str:
    """The network of an IPv6 address, of which one customer has all addresses; any other address as it is."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or ip_network((parsed, 64), strict=False))
    return str(parsed)
