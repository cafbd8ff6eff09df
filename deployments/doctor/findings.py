"""What an examination has found: one sentence for each thing, and where it is not as it should be, the remedy."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from models.db.engine import Database
from models.db.nodes import NodeStore
from models.db.signs import Sign, SignStore
from models.domain.nodes import Folder, Node, Server
from models.settings import Settings


class Level(StrEnum):
    """How bad a finding is. A problem keeps something from working; a warning will, or may one day."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``remedy`` is empty exactly when it is as it should be."""

    what: str
    level: Level
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Installation:
    """What is examined. The database is reachable and of this version, or it is not there for a check that needs it.

    ``asks_nodes`` says whether servers may be connected to. What several checks look at is read once.
    """

    settings: Settings
    db: Database
    asks_nodes: bool = False

    @cached_property
    def nodes(self) -> Sequence[Node]:
        """All nodes, without what they are let in with."""
        return NodeStore(self.db).list(with_credentials=False)

    @property
    def servers(self) -> Sequence[Server]:
        """The servers among them."""
        return [node for node in self.nodes if isinstance(node, Server)]

    @property
    def folders(self) -> Sequence[Folder]:
        """The folders among them."""
        return [node for node in self.nodes if isinstance(node, Folder)]

    @cached_property
    def signs(self) -> Sequence[Sign]:
        """When each program was heard of last."""
        return SignStore(self.db).list()


Check = Callable[[Installation], Iterable[Finding]]


def ok(what: str, text: str) -> Finding:
    """A finding that nobody has to do anything about."""
    return Finding(what, Level.OK, text)


def warning(what: str, text: str, remedy: str) -> Finding:
    """A finding that somebody should look at."""
    return Finding(what, Level.WARNING, text, remedy)


def problem(what: str, text: str, remedy: str) -> Finding:
    """A finding that keeps something from working."""
    return Finding(what, Level.PROBLEM, text, remedy)
