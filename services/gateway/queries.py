"""What a program asks in a QIDO-RS search (PS3.18 sections 8.3.4 and 10.6): what cannot be taken is refused by name."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from dicom import attributes
from dicom.attributes import MODALITIES_IN_STUDY
from models.domain.errors import BadRequest
from models.domain.queries import is_date_span, is_time_span
from models.domain.refs import Level, is_uid

NAMES = {Level.STUDY: "studies", Level.SERIES: "series", Level.IMAGE: "instances"}
_LARGEST_NUMBER = 1_000_000_000
_LARGEST_OFFSET = 100_000
"""What lies before it is asked of the server again each time."""
_LONGEST, _LONGEST_NAME = 64, 324
_MOST_VALUES = 1000
_NUMBER = re.compile(r"[0-9]{1,10}")
_FORBIDDEN = re.compile(r"[\\\x00-\x1f\x7f\ufffd]")
_OTHERS = frozenset({"includefield", "limit", "offset", "fuzzymatching"})
_FORMS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "AS": (re.compile(r"[0-9]{3}[DWMY]"), "an age like 045Y."),
    "AT": (re.compile(r"[0-9A-Fa-f]{8}"), "a tag of eight hexadecimal digits."),
    "CS": (re.compile(r"[A-Za-z0-9_ *?]{1,16}"), "at most 16 letters, digits, spaces and underscores."),
    "DT": (re.compile(r"[0-9.+-]{4,54}"), "a date with time like 20240131083000, or a range of them."),
    "DS": (re.compile(r"[+-]?[0-9.]{1,15}(?:[eE][+-]?[0-9]{1,3})?"), "a number."),
    "FD": (re.compile(r"[+-]?[0-9.]{1,30}(?:[eE][+-]?[0-9]{1,3})?"), "a number."),
    "IS": (re.compile(r"[+-]?[0-9]{1,11}"), "a whole number."),
    "US": (re.compile(r"[+-]?[0-9]{1,20}"), "a whole number."),
}
_SAME_FORM = {"FL": "FD", "SL": "US", "SS": "US", "SV": "US", "UL": "US", "UV": "US"}

DEFAULTS: Mapping[Level, tuple[str, ...]] = {
    level: tuple(path for word in words.split() if (path := attributes.path_of(word)))
    for level, words in {
        Level.STUDY: """
            StudyDate StudyTime AccessionNumber InstanceAvailability ModalitiesInStudy ReferringPhysicianName
            TimezoneOffsetFromUTC PatientName PatientID PatientBirthDate PatientSex StudyInstanceUID StudyID
            StudyDescription NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances
        """,
        Level.SERIES: """
            Modality TimezoneOffsetFromUTC SeriesDescription SeriesInstanceUID SeriesNumber
            NumberOfSeriesRelatedInstances PerformedProcedureStepStartDate PerformedProcedureStepStartTime
            RequestAttributesSequence.ScheduledProcedureStepID RequestAttributesSequence.RequestedProcedureID
        """,
        Level.IMAGE: """
            SOPClassUID SOPInstanceUID InstanceAvailability TimezoneOffsetFromUTC InstanceNumber Rows Columns
            BitsAllocated NumberOfFrames
        """,
    }.items()
}
"""What every result tells, as far as the peer does (PS3.18 tables 10.6.3-3 to 5), and the description of a study."""


@dataclass(frozen=True, slots=True)
class WebQuery:
    """A search for studies, series of a study, or instances of a study or series.

    ``matching`` maps paths of ``dicom.attributes`` to values, several UIDs or modalities with backslashes between;
    ``returned`` are the paths that are told, ``wants_all`` asks for whatever else the peer knows on the level.
    """

    level: Level
    study_uid: str = ""
    series_uid: str = ""
    matching: Mapping[str, str] = field(default_factory=dict[str, str])
    returned: tuple[str, ...] = ()
    wants_all: bool = False
    limit: int | None = None
    offset: int = 0
    is_fuzzy: bool = False


def read(level: Level, parameters: Iterable[tuple[str, str]], study_uid: str = "", series_uid: str = "") -> WebQuery:
    """The query of a URL, whose path names study and series; raises BadRequest naming every parameter that is wrong.

    Attributes of a lower level can be asked for and are not told (PS3.18 section 10.6.3.3), but cannot be searched by.
    """
    reader = _Reader(WebQuery(level, study_uid, series_uid, returned=DEFAULTS[level]))
    for name, uid in (("study", study_uid), ("series", series_uid)):
        if uid and not is_uid(uid):
            reader.problems[name] = "this is no DICOM UID."
    for name, value in parameters:
        reader.take(name, value.strip())
    if reader.problems:
        raise BadRequest.of(reader.problems)
    return replace(reader.query, matching=reader.matching)


class _Reader:
    """Takes one parameter after the other, and remembers what is wrong with each."""

    def __init__(self, query: WebQuery) -> None:
        self.query = query
        self.matching: dict[str, str] = {}
        self.problems: dict[str, str] = {}
        self._seen: set[str] = set()

    def take(self, name: str, value: str) -> None:
        """Take one parameter; ``includefield`` may come again, all others only once."""
        if name == "includefield":
            self._include(value)
        elif name in self._seen:
            self._refuse(name, "it may be given once.")
        elif name in ("limit", "offset"):
            self._count(name, value)
        elif name == "fuzzymatching":
            self._fuzzy(value)
        else:
            self._match(name, value)
        self._seen.add(name)

    def _include(self, value: str) -> None:
        for one in value.split(","):
            path = attributes.path_of(one.strip())
            if one.strip() == "all":
                self.query = replace(self.query, wants_all=True)
            elif path is None:
                self._refuse("includefield", "not all of it are keywords or tags of DICOM attributes.")
            elif not attributes.is_below(path, self.query.level) and attributes.vr_of(path) not in attributes.BULK:
                self.query = replace(self.query, returned=tuple(dict.fromkeys((*self.query.returned, path))))

    def _count(self, name: str, value: str) -> None:
        if not _NUMBER.fullmatch(value) or int(value) > _LARGEST_NUMBER:
            self._refuse(name, "a whole number, 0 or more.")
        elif name == "offset" and int(value) > _LARGEST_OFFSET:
            self._refuse(name, f"at most {_LARGEST_OFFSET}. Narrow the search down by more keys.")
        elif name == "limit":
            self.query = replace(self.query, limit=int(value))
        else:
            self.query = replace(self.query, offset=int(value))

    def _fuzzy(self, value: str) -> None:
        if value not in ("true", "false"):
            self._refuse("fuzzymatching", "true or false.")
        self.query = replace(self.query, is_fuzzy=value == "true")

    def _match(self, name: str, value: str) -> None:
        path = attributes.path_of(name)
        if path is None:
            self._refuse(name, "there is no such parameter, nor an attribute of this name.")
        elif path in self.matching:
            self._refuse(name, "it may be given once, by keyword or by tag.")
        elif attributes.is_below(path, self.query.level):
            self._refuse(name, f"an attribute of what is below {NAMES[self.query.level]}.")
        elif problem := _problem(path, wanted := _joined(path, value)):
            self._refuse(name, problem)
        else:
            self.matching[path] = wanted
            self._check_place(name, path, wanted)

    def _check_place(self, name: str, path: str, wanted: str) -> None:
        """What the URL's path names already can be said again, but not otherwise."""
        said = {attributes.STUDY_UID: self.query.study_uid, attributes.SERIES_UID: self.query.series_uid}.get(path)
        if said and wanted not in ("", said):
            self._refuse(name, "the address names another one.")

    def _refuse(self, name: str, problem: str) -> None:
        """What is wrong with a parameter; an unknown one is not named, since it may be called as a patient is."""
        is_known = name in _OTHERS or attributes.path_of(name) is not None
        self.problems.setdefault(name if is_known else "parameter", problem)


def _joined(path: str, value: str) -> str:
    """The value with backslashes between where it is a list of UIDs or modalities; what fits anything is empty."""
    if set(value) == {"*"}:
        return ""
    if attributes.vr_of(path) != "UI" and path != MODALITIES_IN_STUDY:
        return value
    return "\\".join(one for each in re.split(r"[,\\]", value) if (one := each.strip()))


def _problem(path: str, value: str) -> str:
    """What is wrong with the value for an attribute; empty when nothing is."""
    vr = attributes.vr_of(path)
    if vr == "SQ":
        return "name an attribute in the sequence, with a dot between."
    if vr in attributes.BULK:
        return "nobody can search by this attribute."
    several = value.split("\\") if vr == "UI" or path == MODALITIES_IN_STUDY else [value]
    if len(several) > _MOST_VALUES:
        return f"at most {_MOST_VALUES} values."
    return next((problem for one in several for problem in _value_problems(vr, one)), "")


def _value_problems(vr: str, value: str) -> Iterator[str]:
    if not value:
        return
    if _FORBIDDEN.search(value):
        yield "no backslashes and no control characters, in UTF-8."
    if vr == "UI" and not is_uid(value):
        yield "DICOM UIDs, with commas between."
    if vr == "DA" and not is_date_span(value):
        yield "a date like 20240131, or a range of them like 20240101-20240131."
    if vr == "TM" and not is_time_span(value):
        yield "a time like 0830, or a range of them like 0830-1200."
    form = _FORMS.get(_SAME_FORM.get(vr, vr))
    if form and not form[0].fullmatch(value):
        yield form[1]
    longest = _LONGEST_NAME if vr == "PN" else _LONGEST
    if len(value) > longest:
        yield f"at most {longest} characters."
