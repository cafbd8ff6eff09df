"""What the command line of the benchmark takes."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.settings import Settings
from tests.benchmarks.batch import INSTANCES
from tests.benchmarks.contenders import Contender

CORPORA = ("ct", "mr")
LARGE = "large"
BATCH, GROWTH, HEADERS, LISTING, PAGES = "batch", "growth", "headers", "listing", "pages"
PARTS = (*(contender.value for contender in Contender), BATCH, GROWTH, HEADERS, LISTING, PAGES)


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure, and how often."""

    rounds: int
    corpora: tuple[str, ...]
    parts: frozenset[str]
    full: bool
    without_nagle: bool
    seed: int
    out: Path | None
    items: tuple[int, ...]
    lanes: tuple[int, ...]
    instances: int

    @property
    def contenders(self) -> list[Contender]:
        return [contender for contender in Contender if contender.value in self.parts]


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the arguments (those of the process by default); ends the process with a message when one is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=_positive, default=3, help="rounds per section (default 3)")
    parser.add_argument("--corpus", type=_choices((*CORPORA, LARGE)), default=CORPORA, help="some of ct,mr,large")
    parser.add_argument("--only", type=_choices(PARTS), default=PARTS, help=f"some of {','.join(PARTS)}")
    parser.add_argument("--full", action="store_true", help="20 MR studies instead of 5")
    parser.add_argument(
        "--peers-without-nagle", action="store_true", help="start the archives with TCP_NODELAY=1 in their environment"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the random order within rounds")
    parser.add_argument("--out", type=Path, help="write every run to this JSON file")
    parser.add_argument("--items", type=_numbers, default=(200,), help="sizes of batches (default 200)")
    parser.add_argument("--lanes", type=_numbers, default=(), help="items at a time in batches")
    parser.add_argument("--instances", type=_positive, default=INSTANCES, help="of each study of a batch (default 3)")
    given = parser.parse_args(arguments)
    return Options(
        given.rounds,
        given.corpus,
        frozenset(given.only),
        given.full,
        given.peers_without_nagle,
        given.seed,
        given.out,
        given.items,
        given.lanes or (default_lanes(),),
        given.instances,
    )


def default_lanes() -> int:
    """How many items of a job are worked on at a time when nobody says otherwise."""
    return Settings.model_fields["items_at_a_time"].default


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(_positive(part) for part in text.split(","))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _choices(allowed: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def chosen(text: str) -> tuple[str, ...]:
        parts = tuple(part.strip() for part in text.split(","))
        unknown = [part for part in parts if part not in allowed]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(allowed)}")
        return parts

    return chosen
