"""What rows of one file say against one another: people and pseudonyms, studies and patients, series and studies."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import islice

from models.domain.batches import BatchQueryRow, BatchTransferRow, Problem, Weight
from models.domain.pseudonyms import spelling
from services.batch_files import columns as c
from services.batch_files.values import lines_named

_NAMED = 6

Rows = Sequence[BatchQueryRow] | Sequence[BatchTransferRow]


def pseudonym_problems(rows: Rows) -> Iterator[Problem]:
    """Yield one problem for each row of a patient with two pseudonyms, or of two patients with one."""
    named = [row for row in rows if row.pseudonym]
    with_patient = [row for row in named if row.patient_id]
    for line, others in _conflicts((row.line, row.patient_id, row.pseudonym) for row in with_patient):
        yield Problem(line, c.PSEUDONYM, f"The same patient has another one in {lines_named(others)}.")
    for line, others in _conflicts((row.line, spelling(row.pseudonym), row.patient_id) for row in with_patient):
        yield Problem(line, c.PSEUDONYM, f"Another patient has the same one in {lines_named(others)}.")
    patients = {row.patient_id.casefold(): row.line for row in reversed(rows) if row.patient_id}
    for row in named:
        if row.pseudonym.casefold() in patients:
            line = patients[row.pseudonym.casefold()]
            yield Problem(row.line, c.PSEUDONYM, f"It is the ID of a patient, in line {line}.")


def study_problems(rows: Sequence[BatchTransferRow]) -> Iterator[Problem]:
    """Yield what is wrong between rows that name studies and series."""
    of_studies = [row for row in rows if row.study_uid]
    for line, others in _conflicts((row.line, row.study_uid, row.patient_id) for row in of_studies if row.patient_id):
        yield Problem(line, c.PATIENT_ID, f"The same study belongs to another patient in {lines_named(others)}.")
    named = [row for row in rows if row.pseudonym and row.study_key != _NOTHING]
    for line, others in _conflicts((row.line, row.study_key, row.pseudonym) for row in named):
        yield Problem(line, c.PSEUDONYM, f"The same study has another one in {lines_named(others)}.")
    series = ((row.line, uid, row.study_uid) for row in of_studies for uid in row.series_uids)
    for line, others in _conflicts(series):
        yield Problem(line, c.SERIES_UID, f"The same series belongs to another study in {lines_named(others)}.")
    studies = {row.study_uid for row in of_studies}
    for row in of_studies:
        if studies.intersection(row.series_uids):
            yield Problem(row.line, c.SERIES_UID, "It is the UID of a study.")
    yield from _repeated(rows)


def _repeated(rows: Sequence[BatchTransferRow]) -> Iterator[Problem]:
    whole: dict[Hashable, int] = {}
    for row in rows:
        if not row.series_uids and row.study_key != _NOTHING:
            whole.setdefault(row.study_key, row.line)
    first: dict[Hashable, int] = {}
    for row in rows:
        line = whole.get(row.study_key)
        if line is not None and line != row.line:
            sentence = f"Line {line} asks for the whole study already; it is taken once."
            yield Problem(row.line, "", sentence, weight=Weight.WARNING)
            continue
        for uid in row.series_uids:
            line = first.setdefault((row.study_uid, uid), row.line)
            if line != row.line:
                sentence = f"Line {line} asks for the same series; it is taken once."
                yield Problem(row.line, c.SERIES_UID, sentence, weight=Weight.WARNING)


def _conflicts(said: Iterable[tuple[int, Hashable, Hashable]]) -> Iterator[tuple[int, list[int]]]:
    """Yield, for every line that says one thing about a key of which others say another, some lines of those."""
    by_key: dict[Hashable, dict[Hashable, list[int]]] = {}
    for line, key, value in said:
        by_key.setdefault(key, {}).setdefault(value, []).append(line)
    for values in by_key.values():
        if len(values) > 1:
            yield from _against(values)


def _against(values: dict[Hashable, list[int]]) -> Iterator[tuple[int, list[int]]]:
    some = [(value, lines[0]) for value, lines in islice(values.items(), _NAMED)]
    for value, lines in values.items():
        others = [line for other, line in some if other != value]
        for line in dict.fromkeys(lines):
            yield line, others


_NOTHING = BatchTransferRow(0).study_key
"""The key of rows that name no study at all, because what they say is wrong."""
