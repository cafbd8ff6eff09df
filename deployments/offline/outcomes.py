"""What has become of each file that was to be de-identified."""

import csv
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from models.domain.errors import AditError, Excluded, NeedsReview, WriteFailed


class Fate(StrEnum):
    """What was done with a file."""

    DONE = "done"
    LEFT_OUT = "left out"
    """Not to be delivered by the profile or the settings, or no DICOM instance."""
    HELD = "held"
    """A person has to look at it first."""
    FAILED = "failed"
    """It could not be treated for certain, so nothing of it was written."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One file: its path below the input, its path below the output where it has one, and why it has none."""

    path: str
    fate: Fate
    code: str = ""
    reason: str = ""
    output: str = ""


def of_error(path: str, error: AditError) -> Outcome:
    """What an error that stopped one file means for it."""
    match error:
        case NeedsReview():
            fate = Fate.HELD
        case Excluded():
            fate = Fate.LEFT_OUT
        case _:
            fate = Fate.FAILED
    return Outcome(path, fate, error.code, error.message)


def counts(outcomes: Iterable[Outcome]) -> list[tuple[str, str, str, int]]:
    """Fate, code and reason with the number of files, in the order of ``Fate``, the most first."""
    order = list(Fate)
    found = Counter((each.fate, each.code, each.reason) for each in outcomes)
    ranked = sorted(found.items(), key=lambda entry: (order.index(entry[0][0]), -entry[1], entry[0]))
    return [(fate.value, code, reason, count) for (fate, code, reason), count in ranked]


def write_report(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write one row for each file as CSV, readable for this user only: it ties originals to outputs.

    Raises WriteFailed.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = csv.writer(file)
            rows.writerow(("file", "outcome", "code", "reason", "output"))
            rows.writerows((each.path, each.fate.value, each.code, each.reason, each.output) for each in outcomes)
    except OSError as exc:
        raise WriteFailed(f"The report cannot be written ({exc.strerror}).") from exc
