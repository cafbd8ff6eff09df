"""How workers are called: as their machine, or as that with an @ and a word behind; and so are the places they keep.

No name of a host has an @, so that none is taken for a worker of another host, as ``pacs-2`` would be for one of
``pacs``.
"""

from collections.abc import Collection

URGENT_LANE, MAINTENANCE_LANE = "urgent", "maintenance"
_SIGN = "@"


def machine_of(name: str) -> str:
    """The machine of a worker or of one of its lanes."""
    return name.partition(_SIGN)[0]


def lane(worker: str, word: str) -> str:
    """How the places are called that a worker keeps for urgent work, or for maintenance."""
    return f"{worker}{_SIGN}{word}"


def is_lane(name: str) -> bool:
    """Whether a name is that of such places."""
    return name.rpartition(_SIGN)[1:] in {(_SIGN, URGENT_LANE), (_SIGN, MAINTENANCE_LANE)}


def without_lanes(names: Collection[str]) -> Collection[str]:
    """The workers among these, each of them once."""
    return {name for name in names if not is_lane(name)}
