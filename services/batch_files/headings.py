"""Finds out which column is which, however it is spelled. Headings are not quoted: without them, row 1 is a patient."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from models.domain.batches import BatchKind, Problem, Weight
from services.batch_files import columns
from services.batch_files.columns import COLUMNS, OWN, RESULTS
from services.batch_files.tables import Table, Trouble, Value, column_letters
from services.batch_files.values import shown

_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})
_REMARK = re.compile(r"[(\[][^)\]]*[)\]]")
_SIGN = re.compile(r"[\W_]+")
_CLOSENESS = 0.8
_LONGEST = 100

_PATIENT = (columns.PATIENT_ID,), (columns.PATIENT_NAME, columns.BIRTH_DATE)
_STUDY = (columns.ACCESSION_NUMBER,), (columns.MODALITY,)
_WHICH = (
    (columns.STUDY_UID, columns.PATIENT_ID),
    (columns.ACCESSION_NUMBER,),
    (columns.PATIENT_ID, columns.STUDY_DATE, columns.MODALITY),
)
NEEDED: Mapping[BatchKind, tuple[tuple[tuple[str, ...], ...], ...]] = {
    BatchKind.QUERY: (_PATIENT, _STUDY),
    BatchKind.TRANSFER: (_WHICH,),
}
"""For each kind of file what it needs; of each need one of several sets of columns is enough."""


@dataclass(frozen=True, slots=True)
class Headings:
    """Where the columns are that we know, by our names, and what is wrong with the headings."""

    line: int
    places: Mapping[str, int]
    problems: tuple[Problem, ...]


def spelled(heading: str) -> str:
    """A heading without case, spaces, signs, remarks in brackets and accents."""
    text = _REMARK.sub("", heading[:_LONGEST]) or heading[:_LONGEST]
    text = unicodedata.normalize("NFC", text).casefold().translate(_UMLAUTS)
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return _SIGN.sub("", plain)


def matched(table: Table, kind: BatchKind) -> Headings:
    """The columns of a table whose first row holds the headings."""
    first = table.rows[0]
    names = _spellings(kind)
    found: dict[str, list[int]] = {}
    unknown: dict[int, str] = {}
    for place, value in enumerate(first.cells):
        heading = spelled(shown(value))
        if heading in names:
            found.setdefault(names[heading], []).append(place)
        elif heading and not is_own(value):
            unknown[place] = heading
    problems = [*_troubles(first.line, first.cells), *_repeated(first.line, found)]
    if not found:
        problems.append(Problem(first.line, "", "None of the headings is known. The first row must hold the headings."))
    else:
        suggested = _suggested(unknown, found, names)
        problems += _suggestions(first.line, suggested)
        problems += _missing(first.line, kind, found)
    return Headings(first.line, {name: places[0] for name, places in found.items()}, tuple(problems))


def is_own(heading: Value) -> bool:
    """Whether we wrote this column into a copy of a file, maybe with what is to be said about the whole file."""
    return shown(heading).partition(":")[0] in OWN


def column_name(place: int) -> str:
    """How people are told about a column without a name of ours."""
    return f"column {column_letters(place)}"


def needs_in_words(need: Sequence[Sequence[str]]) -> str:
    """The sets of columns of which one is enough, as a part of a sentence."""
    return ", or ".join(" and ".join(names) for names in need)


def _spellings(kind: BatchKind) -> Mapping[str, str]:
    names: dict[str, str] = {}
    for column in COLUMNS[kind]:
        names |= dict.fromkeys([spelled(column.name), *column.spellings.split()], column.name)
    return names


_ELSEWHERE = {*map(spelled, RESULTS), *_spellings(BatchKind.QUERY), *_spellings(BatchKind.TRANSFER)}


def _troubles(line: int, cells: Sequence[Value]) -> list[Problem]:
    return [
        Problem(line, column_name(place), value.value, weight=Weight.WARNING)
        for place, value in enumerate(cells)
        if isinstance(value, Trouble)
    ]


def _repeated(line: int, found: Mapping[str, Sequence[int]]) -> list[Problem]:
    return [
        Problem(
            line, name, f"There are {len(places)} such columns: {', '.join(map(column_letters, places))}. Keep one."
        )
        for name, places in found.items()
        if len(places) > 1
    ]


def _suggested(unknown: Mapping[int, str], found: Mapping[str, object], names: Mapping[str, str]) -> Mapping[int, str]:
    """For unknown headings the missing column that they are most like; not for what other files of ours hold."""
    possible = {spelling: name for spelling, name in names.items() if name not in found}
    suggested: dict[int, str] = {}
    for place, heading in unknown.items():
        close = [] if heading in _ELSEWHERE else get_close_matches(heading, possible, n=1, cutoff=_CLOSENESS)
        if close:
            suggested[place] = possible[close[0]]
    return suggested


def _suggestions(line: int, suggested: Mapping[int, str]) -> list[Problem]:
    return [
        Problem(line, column_name(place), f"Did you mean {name}? As it is, it is not read.", weight=Weight.WARNING)
        for place, name in suggested.items()
    ]


def _missing(line: int, kind: BatchKind, found: Mapping[str, object]) -> list[Problem]:
    return [
        Problem(line, "", f"A column is missing. What is needed: {needs_in_words(need)}.")
        for need in NEEDED[kind]
        if not any(set(names) <= set(found) for names in need)
    ]
