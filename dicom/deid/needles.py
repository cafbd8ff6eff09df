"""What must not be left of an instance: names, numbers, addresses and UIDs that its original identifies people with.

Made of original elements only; ``residue`` searches for it. A needle is found in text that was folded and spaced by
``spaced``.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations
from typing import TypeVar

from dicom.deid import rules
from dicom.deid.charsets import codec_of, decoded
from dicom.deid.digits import LONG, is_round, runs, telling_numbers
from dicom.deid.folding import folded, spellings
from dicom.deid.vocabulary import NOBODY, PARTICLES, names_a_kind
from models.domain.errors import RuleFailed
from models.domain.refs import StudyFound


def _tags(text: str) -> frozenset[int]:
    return frozenset(int(tag, 16) for tag in text.split())


_ACCESSION_NUMBER = 0x00080050
ALWAYS_SEARCHED = frozenset({rules.PATIENT_ID, 0x00101000})
"""PatientID and OtherPatientIDs: no profile keeps them, wherever else it lets them stand."""
ID_TAGS = ALWAYS_SEARCHED | _tags(
    """
    00080050 00101050 00101090 00120040 00120042 00380010 00380060 00402006 00402007 00402016 00402017 0040050A
    00400512 00400551 004006FA 22000005 40080040 40080200
    """
)
"""Identifiers of table E.1-1 that stand for a person, a visit, an order or a specimen: AccessionNumber, insurance
plan and record locator, trial subject, admission, service episode, orders, specimens and slides, barcode, results."""
MINOR_ID_TAGS = _tags("00200010 00201070 00400009 00400253 00401001 0050001B 00741202")
"""Numbers of studies, procedures and their steps, container parts and work items: often short, and the same for many
patients."""
_PHONE_TAGS = _tags("00080094 00102154 00401103 00402010 0040A354")
_TELECOM_TAGS = _tags("00102155 00401104 00402011")
_ADDRESS_TAGS = _tags("00080092 00101040 00401102 0040A353 4008011A")
_NAME_TAGS = _tags("00100012 0016004D")
"""NameToUse and CameraOwnerName, which are no PN."""
WANTED = ID_TAGS | MINOR_ID_TAGS | _PHONE_TAGS | _TELECOM_TAGS | _ADDRESS_TAGS | _NAME_TAGS | {rules.BIRTH_DATE}
"""Attributes that identify, besides all of VR PN."""

SHORT_NAME = 5
"""Names shorter than this count only as whole words: Ann is not in scANNer."""
_SHORTEST_NAME, _SHORTEST_ID, _SHORTEST_DIGITS, _SHORTEST_UID = 3, 4, 5, 12
_SHORTEST_PHONE, _LOCAL_PHONE = 6, 7
_NAME_COMPONENTS, _SHORTEST_ADDED_NAME = 3, 4
_MOST_JOINED_PARTS, _MOST_NAME_PARTS = 6, 400
"""Family, given and middle name; prefixes and suffixes are titles."""
_NOT_LETTERS = re.compile(r"[\W_]+")
_SEPARATORS = re.compile(r"(?:(?<![0-9])[.,]|[.,](?![0-9])|[^\w.,]|_)+")
_TOKENS = re.compile(r"[0-9]+|[^\W\d_]+")
_HOUSE = re.compile(r"([^\W\d_]{4,})[\W_]{0,3}(?:nr[\W_]{0,3})?([0-9]{1,4} ?[a-z]?)(?![^\W_])")
_NUMBER_AND_LETTER = re.compile(r" (?=[a-z])|(?<=[0-9])(?=[a-z])")
_POSTCODE = re.compile(r"(?<![^\W_])([0-9]{4,6})[\W_]{1,2}([^\W\d_]{4,})")
_STREET = re.compile(r"str(?:asse)?$")
_MAIL = re.compile(r"[^\s<>;,]+@[^\s<>;,]+")
_DIGITS = re.compile(r"[0-9]+")
_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9]{5})")
_DATES = (
    re.compile(r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})"),
    re.compile(r"(?P<year>[0-9]{4})([ ./-])(?P<month>[0-9]{1,2})\2(?P<day>[0-9]{1,2})(?![0-9])"),
    re.compile(r"(?P<day>[0-9]{1,2})([ ./-])(?P<month>[0-9]{1,2})\2(?P<year>[0-9]{4})(?![0-9])"),
)
"""How a birth date begins, whatever stands behind it, as in a range or with a time; the standard's form first."""
_MONTHS = (
    *(("jan", "januar", "january"), ("feb", "februar", "february"), ("mar", "marz", "maerz", "mrz", "march")),
    *(("apr", "april"), ("may", "mai"), ("jun", "juni", "june"), ("jul", "juli", "july"), ("aug", "august")),
    *(("sep", "sept", "september"), ("oct", "okt", "oktober", "october"), ("nov", "november")),
    ("dec", "dez", "dezember", "december"),
)
_TITLES = frozenset({"dr", "dres", "geb", "geborene", "jun", "junior", "med", "prof", "sen", "senior"})
_LATIN_1 = frozenset({"latin_1", "iso8859"})
_UNREADABLE = "\ufffd"
_NO_BIRTH_DATES = frozenset({"19000101", "00010101", "18000101"})
_ASCII_RUN = re.compile(r"[a-z0-9]+")

Original = tuple[int, bytes, bytes, bytes]
"""Tag, VR, value and character set of an element of the original."""


def spaced(text: str) -> str:
    """Return the folded text with one space wherever words are separated; decimals and dates with points stay whole."""
    return _SEPARATORS.sub(" ", folded(text)).strip()


@dataclass(frozen=True)
class Words:
    """The identifiers of one patient as they may be written; what text holds one of them must not leave."""

    long_names: frozenset[str] = frozenset()
    phrases: frozenset[str] = frozenset()
    """Regular expressions of whole words: short names, names in a row, identifiers, addresses."""
    birth_date: frozenset[str] = frozenset()
    """Regular expressions of one date."""
    short_birth_date: frozenset[str] = frozenset()
    """The same of the date with two digits of its year, or between letters, in text that is folded but not spaced.

    Some versions of software look like these."""
    birth_digits: frozenset[str] = frozenset()
    """The date in eight or six digits, as in pseudonyms that people made up."""
    numbers: frozenset[str] = frozenset()
    """Digits of identifiers that tell alone: without leading zeros, or with them when they are too few without."""
    phones: frozenset[str] = frozenset()
    """Last digits of telephone numbers."""
    opaque: frozenset[str] = frozenset()
    """Identifiers that are long enough to be no chance within opaque bytes or longer words."""
    exact: frozenset[str] = frozenset()
    """Identifiers however short, for a pseudonym that is one of them."""
    scrub: frozenset[str] = frozenset()
    """Folded words that cleaning drops from text."""
    anchors: frozenset[bytes] = frozenset()
    """Without one of these, of ``short_names`` or ``short_dates``, nothing of this is in a header; ``b""`` is in all.

    Without case, accents and punctuation."""
    short_names: frozenset[bytes] = frozenset()
    """Names that count only as whole words, alone, and are their own anchors."""
    short_dates: frozenset[bytes] = frozenset()
    """The digits of a date with two for its year. In many headers by chance, so that ``short_date_bytes`` decides."""
    short_dates_in_bytes: frozenset[bytes] = frozenset()
    """Regular expressions of the same with their separators."""
    checked: set[tuple[object, ...]] = field(default_factory=set[tuple[object, ...]], compare=False, repr=False)
    """Elements that were searched and hold nothing of this."""

    @cached_property
    def whole(self) -> re.Pattern[str] | None:
        """Finds phrases as whole words, outside of decimals."""
        return _whole_words(self.phrases)

    @cached_property
    def within(self) -> re.Pattern[str] | None:
        """Finds long identifiers in spaced text, also beside letters; the digits they begin or end with are all."""
        return _alternatives(map(_within, self.opaque))

    @cached_property
    def whole_long_names(self) -> re.Pattern[str] | None:
        """Finds long names with no letter before or behind them."""
        return re.compile(rf"(?<![^\W\d_])(?:{_choices(self.long_names)})(?![^\W\d_])") if self.long_names else None

    @cached_property
    def short_name_bytes(self) -> re.Pattern[bytes]:
        """Finds short names that are not inside of a word, in bytes in lower case and without accents.

        One letter before them may end a length or an escape sequence, and two behind them may begin the next tag. Where
        letters have two bytes, they are found inside of words, too.
        """
        names = sorted(self.short_names)
        wide = (b"\0".join(bytes((letter,)) for letter in name) for name in names)
        return re.compile(rb"(?<![a-z]{2})(?:%s)(?![a-z]{3})|%s" % (b"|".join(names), b"|".join(wide)))

    @cached_property
    def short_date_bytes(self) -> re.Pattern[bytes]:
        """Finds dates with two digits for their year in bytes, of one or two for each letter."""
        return re.compile(b"|".join(sorted(self.short_dates_in_bytes)))

    @cached_property
    def short_date(self) -> re.Pattern[str] | None:
        """Finds the birth date in the spellings of ``short_birth_date``."""
        return _alternatives(self.short_birth_date)

    @cached_property
    def date(self) -> re.Pattern[str] | None:
        """Finds the birth date in its spellings."""
        return _whole_words(self.birth_date)


@dataclass(frozen=True, slots=True)
class Needles:
    """What to search an instance for. Equal for instances that name the same people; ``uids`` are each one's own."""

    words: Words
    uids: frozenset[bytes] = field(default=frozenset(), compare=False)

    @property
    def scrub(self) -> frozenset[str]:
        """Folded words of the patient and of others named, for cleaning text; the same set for the same people."""
        return self.words.scrub


class _Gathering:
    """Words in the making."""

    def __init__(self) -> None:
        self.long_names: set[str] = set()
        self.phrases: set[str] = set()
        self.birth_date: set[str] = set()
        self.short_birth_date: set[str] = set()
        self.birth_digits: set[str] = set()
        self.numbers: set[str] = set()
        self.phones: set[str] = set()
        self.opaque: set[str] = set()
        self.exact: set[str] = set()
        self.scrub: set[str] = set()
        self.anchors: set[bytes] = set()
        self.short_names: set[bytes] = set()
        self.short_dates: set[bytes] = set()
        self.short_dates_in_bytes: set[bytes] = set()
        self.name_parts = 0

    def words(self) -> Words:
        return Words(
            long_names=frozenset(self.long_names),
            phrases=frozenset(self.phrases),
            birth_date=frozenset(self.birth_date),
            short_birth_date=frozenset(self.short_birth_date),
            birth_digits=frozenset(self.birth_digits),
            numbers=frozenset(self.numbers),
            phones=frozenset(self.phones),
            opaque=frozenset(self.opaque),
            exact=frozenset(self.exact),
            scrub=frozenset(self.scrub - NOBODY),
            anchors=_shortest(self.anchors),
            short_names=frozenset(self.short_names),
            short_dates=_shortest(self.short_dates),
            short_dates_in_bytes=frozenset(self.short_dates_in_bytes),
        )

    def add(self, tag: int, vr: bytes, text: str) -> None:
        """Take one value of an original element."""
        for kinds, take in self._kinds:
            if tag in kinds:
                take(self, text)
                return
        if vr == b"PN" or tag in _NAME_TAGS:
            for spelling in text.split("="):
                self._take_name(spelling, is_patient=tag == rules.PATIENT_NAME)

    def _take_name(self, name: str, is_patient: bool) -> None:
        """The parts of a name, and two of them joined, which also finds those that are too short alone.

        Behind family, given and middle name stand titles, or a maiden name. Other people's fields hold names of rooms
        and devices as well, which have digits.
        """
        components = name.split("^")
        parts = _parts(components[:_NAME_COMPONENTS])
        parts += [part for part in _parts(components[_NAME_COMPONENTS:]) if len(part) >= _SHORTEST_ADDED_NAME]
        parts = [part for part in parts if is_patient or part.isalpha()]
        self._check_count(len(parts))
        for part in parts:
            if folded(part) in PARTICLES:
                continue
            self.scrub |= spellings(part)
            if len(part) >= _SHORTEST_NAME or not part.isascii():
                self._add_name(part)
        for one, other in permutations(parts[:_MOST_JOINED_PARTS], 2):
            for first in spellings(one):
                for second in spellings(other):
                    self.scrub.add(first + second)
                    self._add_phrase(f"{first} {second}", one + other)

    def _check_count(self, more: int) -> None:
        self.name_parts += more
        if self.name_parts > _MOST_NAME_PARTS:
            raise RuleFailed("An instance names more people than can be searched for.")

    def _add_name(self, part: str) -> None:
        for spelling in spellings(part):
            if len(spelling) >= SHORT_NAME or not spelling.isascii():
                self.long_names.add(spelling)
                self.anchors.add(self._anchor(spelling, part))
            else:
                self.phrases.add(re.escape(spelling))
                anchor = self._anchor(spelling, part)
                (self.short_names if anchor == spelling.encode() else self.anchors).add(anchor)

    def _take_id(self, text: str) -> None:
        plain = spaced(text)
        self._scrub_words(plain)
        if plain and plain not in NOBODY:
            self.exact.add(plain)
        if len(plain.replace(" ", "")) >= _SHORTEST_ID and plain not in NOBODY:
            self._add_id(plain)

    def _take_minor_id(self, text: str) -> None:
        plain = spaced(text)
        self._scrub_words(plain)
        if len(plain) >= LONG and any(letter.isdigit() for letter in plain):
            self._add_id(plain)

    def _add_id(self, plain: str) -> None:
        if plain.isdigit():
            self._add_digits(plain)
            return
        has_digits = _DIGITS.search(plain) is not None
        if len(plain) >= LONG and has_digits:
            self.opaque.add(plain)
        letters = "".join(_TOKENS.findall(plain))
        if len(letters) < LONG or not has_digits:
            self._add_phrase(plain, plain)
            return
        for number in telling_numbers(plain):
            self._add_number(number)
        for written in {letters, _ZEROS.sub("", letters)}:
            self._add_letters(written, plain)

    def _add_letters(self, letters: str, original: str) -> None:
        """Letters and digits that people group anew."""
        self.phrases.add(r"[ .,]?".join(letters))
        anchor = self._anchor(letters, original)
        if not any(number.encode() in anchor for number in self.numbers):
            self.anchors.add(anchor)

    def _add_digits(self, number: str) -> None:
        digits = number.lstrip("0")
        if len(digits) >= _SHORTEST_DIGITS:
            self.phrases.add(f"0*{digits}")
            self.anchors.add(digits.encode())
        if len(digits) > LONG:
            self.opaque.add(digits)
        if len(number) >= LONG and not is_round(number):
            self._add_number(number)

    def _add_number(self, number: str) -> None:
        """A number that tells alone: with the zeros that it begins with, where it is too short without."""
        digits = number.lstrip("0")
        told = digits if len(digits) >= LONG else number
        self.numbers.add(told)
        self.phrases.add(f"0*{told}")
        self.anchors.add(told.encode())
        if len(digits) > LONG:
            self.opaque.add(digits)

    def _take_phone(self, text: str) -> None:
        for run in runs(text):
            digits = run.lstrip("0")
            if len(digits) >= _SHORTEST_PHONE:
                end = _end_of_phone(digits)
                self.phones.add(end)
                self.anchors.add(end.encode())

    def _take_telecom(self, text: str) -> None:
        self._take_phone(text)
        for address in _MAIL.findall(text):
            self._add_phrase(spaced(address), address)
            self._scrub_words(spaced(address.partition("@")[0]))

    def _take_address(self, text: str) -> None:
        """Streets with their number, and places with their postcode; a place alone is in too many other texts."""
        plain = folded(text)
        self.scrub.update(word for word in _NOT_LETTERS.split(plain) if len(word) >= _SHORTEST_NAME)
        for street, number in _HOUSE.findall(plain):
            begin = _STREET.sub("str", street)
            ending = "(?:asse)?" if begin.endswith("str") else ""
            pattern = rf"{re.escape(begin)}{ending} ?(?:nr ?)?{_NUMBER_AND_LETTER.sub(' ?', number)}"
            self.phrases.add(pattern)
            self.anchors.add(self._anchor(begin, street))
        for postcode, place in _POSTCODE.findall(plain):
            self._add_phrase(f"{postcode} {place}", place)

    def _take_birth_date(self, text: str) -> None:
        date = _date_in(text)
        if date is None or "".join(date) in _NO_BIRTH_DATES:
            return
        year, month, day = date
        self.scrub.update({year + month + day, day + month + year})
        self.birth_digits |= {f"{a}{b}{c}" for y in (year, year[2:]) for a, b, c in _orders(y, month, day)}
        self.birth_date.update(_date_patterns(year, month, day))
        self.anchors.update(anchor.encode() for anchor in _date_anchors(year, month, day))
        self.short_birth_date.update(_short_date_patterns(year, month, day))
        self.short_dates.update(anchor.encode() for anchor in _numeric_anchors(year[2:], month, day))
        self.short_dates_in_bytes.update(_short_dates_in_bytes(year[2:], month, day))

    def _add_phrase(self, plain: str, original: str) -> None:
        """Words in a row, whatever separates them."""
        tokens = _TOKENS.findall(plain)
        if tokens:
            self.phrases.add(r"[ .,]?".join(map(re.escape, tokens)))
            self.anchors.add(self._anchor("".join(tokens), original))

    def _anchor(self, plain: str, original: str) -> bytes:
        """The longest piece of a folded word that is written with the same bytes wherever it is searched for.

        That is all of a word of Latin-1, whose accents the search can take from bytes. Of other words only the letters
        that are ASCII, and nothing of those without any. Double s may be written as one letter.
        """
        if not original.isascii() and any(letter > "\xff" for letter in original):
            letters = unicodedata.normalize("NFKD", original).casefold()
            own = max(re.split(r"ss|[^a-z0-9]+", re.sub(r".(?=[^\0-\x7f])", " ", letters)), key=len, default="")
            return own.encode() if own in plain else b""
        runs = (piece for run in _ASCII_RUN.findall(plain) for piece in run.split("ss"))
        return max(runs, key=len, default="").encode()

    def _scrub_words(self, plain: str) -> None:
        words = {plain, *_NOT_LETTERS.split(plain), "".join(_TOKENS.findall(plain))}
        self.scrub.update(word for word in words if len(word) > 1)

    _kinds = (
        (ID_TAGS, _take_id),
        (MINOR_ID_TAGS, _take_minor_id),
        (_PHONE_TAGS, _take_phone),
        (_TELECOM_TAGS, _take_telecom),
        (_ADDRESS_TAGS, _take_address),
        (frozenset({rules.BIRTH_DATE}), _take_birth_date),
    )


def words_of(originals: Iterable[Original]) -> Words:
    """Return what the values of original elements identify people with; raises RuleFailed for a character set."""
    gathering = _Gathering()
    for tag, vr, value, charset in originals:
        for text in _said(value, charset):
            for single in text.split("\\"):
                gathering.add(tag, vr, single.strip("\0 "))
    return gathering.words()


def needles_of_study(study: StudyFound) -> Needles:
    """Return what a peer's list of studies says of a patient, to be searched for in a pseudonym."""
    return Needles(words_of(originals_of_study(study)))


def originals_of_study(study: StudyFound) -> frozenset[Original]:
    """Return what a peer's list of studies says of a patient, as elements of an instance would."""
    said = {
        rules.PATIENT_NAME: (b"PN", study.patient_name),
        rules.PATIENT_ID: (b"LO", study.patient_id),
        rules.BIRTH_DATE: (b"DA", study.birth_date),
        _ACCESSION_NUMBER: (b"SH", study.accession_number),
    }
    return frozenset(
        (tag, vr, text.encode(errors="replace"), b"ISO_IR 192") for tag, (vr, text) in said.items() if text
    )


def uid_needles(values: Collection[bytes]) -> frozenset[bytes]:
    """Return the UIDs that would be found again: not those of the standard, which are nobody's, nor very short ones."""
    uids = (uid.strip(b" \0") for value in values for uid in value.split(b"\\"))
    return frozenset(uid for uid in uids if len(uid) >= _SHORTEST_UID and not names_a_kind(uid.decode("latin-1")))


def texts_of(value: bytes, charset: bytes) -> Iterator[str]:
    """Yield what a value says in its character set and, where it may be, in UTF-8 or Latin-1 that nobody declared."""
    yield decoded(value, charset)
    if value.isascii():
        return
    in_utf_8 = _in_utf_8(value)
    if in_utf_8 is not None:
        yield in_utf_8
    elif codec_of(charset) not in _LATIN_1:
        yield value.decode("latin-1")


def _said(value: bytes, charset: bytes) -> Iterator[str]:
    """The same of an original, in Latin-1 only where its own character set makes no sense.

    Of a name in other letters, Latin-1 would make short words that name nobody.
    """
    own, *others = texts_of(value, charset)
    yield own
    if _UNREADABLE in own or _in_utf_8(value) is not None:
        yield from others


def _in_utf_8(value: bytes) -> str | None:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _parts(components: Iterable[str]) -> list[str]:
    words = (word for component in components for word in _NOT_LETTERS.split(component))
    return [word for word in words if len(word) > 1 and folded(word) not in NOBODY | _TITLES]


def _choices(words: Iterable[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


def _whole_words(patterns: Iterable[str]) -> re.Pattern[str] | None:
    ordered = sorted(patterns, key=len, reverse=True)
    if not ordered:
        return None
    return re.compile(rf"(?<!\w)(?<![0-9][.,])(?:{'|'.join(ordered)})(?!\w|[.,][0-9])")


def _alternatives(patterns: Iterable[str]) -> re.Pattern[str] | None:
    joined = "|".join(sorted(patterns, key=len, reverse=True))
    return re.compile(joined) if joined else None


def _end_of_phone(digits: str) -> str:
    """What is dialled within a place, or more where that is a round number."""
    ends = (digits[-length:] for length in range(_LOCAL_PHONE, len(digits)))
    return next((end for end in ends if not is_round(end)), digits)


def _apart(identifier: str) -> str:
    """The letters and digits of an identifier, each for itself where they are many, since people group them anew."""
    joined = "".join(_TOKENS.findall(identifier))
    return " ".join(joined) if len(joined) >= LONG and _DIGITS.search(joined) else identifier


def _within(identifier: str) -> str:
    """A pattern of a long identifier that letters may stand beside, and digits beside its letters."""
    if identifier.isdigit():
        return rf"(?<![0-9])(?<![0-9][.,])0*{identifier}(?![0-9]|[.,][0-9])"
    tokens = _TOKENS.findall(_apart(identifier))
    before = "(?<![0-9])" if tokens[0].isdigit() else ""
    behind = "(?![0-9])" if tokens[-1].isdigit() else ""
    return before + r"[ .,]?".join(map(re.escape, tokens)) + behind


def _date_in(text: str) -> tuple[str, str, str] | None:
    """Year, month and day of the date that a text begins with."""
    match = next((match for pattern in _DATES if (match := pattern.match(text))), None)
    if match is None:
        return None
    month, day = match["month"].zfill(2), match["day"].zfill(2)
    return (match["year"], day, month) if month > "12" >= day else (match["year"], month, day)


_Text = TypeVar("_Text", str, bytes)


def _orders(year: _Text, month: _Text, day: _Text) -> tuple[tuple[_Text, _Text, _Text], ...]:
    return (year, month, day), (day, month, year), (month, day, year)


def _date_patterns(year: str, month: str, day: str) -> Iterator[str]:
    for one, two, three in _orders(year, month, day):
        yield one + two + three
    short_day, short_month = f"0?{day.lstrip('0')}", f"0?{month.lstrip('0')}"
    for one, two, three in _orders(year, short_month, short_day):
        yield rf"{one}[ .,]{two}[ .,]{three}"
    names = f"(?:{'|'.join(_months(month))})"
    short_day = f"(?:{short_day}|{_ordinal(day.lstrip('0'))}(?: of)?)"
    yield rf"{short_day}[ .]?{names}[ .]?(?:{year}|{year[2:]})"
    yield rf"{names}[ .]?{short_day}[ .,]?(?:{year}|{year[2:]})"
    yield rf"{year}[ .]?{names}[ .]?{short_day}"


def _short_date_patterns(year: str, month: str, day: str) -> Iterator[str]:
    """With two digits of the year and one kind of separator, in six digits, or in eight between letters."""
    for one, two, three in _orders(year, month, day):
        yield rf"(?<![0-9])(?<![0-9]\.){one}{two}{three}(?![0-9]|\.[0-9])"
    choices = [mark.join(parts) for parts in _orders(year[2:], month, day) for mark in ("", " ", "_")]
    numbers = [f"0?{number.lstrip('0')}" if number.strip("0") else "00?" for number in (month, day)]
    for parts in _orders(year[2:], *numbers):
        choices += [rf" ?{mark} ?".join(parts) for mark in (r"\.", ",", "/", "-")]
    yield rf"(?<![^\W_])(?<![0-9]\.)(?:{'|'.join(choices)})(?![^\W_]|\.[0-9])"


def _short_dates_in_bytes(year: str, month: str, day: str) -> Iterator[bytes]:
    """What is at least in the bytes of each date with two digits of the year, whatever stands beside it."""
    for parts in _orders(year, month, day):
        yield rb"[\0 _]{0,3}".join(map(_wide, parts))
    numbers = (number.lstrip("0") or "0" for number in (month, day))
    short = [rb"(?:0\0?)?" + _wide(number) for number in numbers]
    for parts in _orders(_wide(year), *short):
        yield rb"[\0 ]{0,3}[.,/-][\0 ]{0,3}".join(parts)


def _wide(digits: str) -> bytes:
    """A pattern of digits that have one byte or two each."""
    return rb"\0?".join(bytes((digit,)) for digit in digits.encode())


def _numeric_anchors(year: str, month: str, day: str) -> Iterator[str]:
    for short_month in {month, month.lstrip("0") or "0"}:
        for short_day in {day, day.lstrip("0") or "0"}:
            yield from ("".join(parts) for parts in _orders(year, short_month, short_day))


def _date_anchors(year: str, month: str, day: str) -> Iterator[str]:
    yield from _numeric_anchors(year, month, day)
    short_day = day.lstrip("0")
    ordinal = _ordinal(short_day)
    for name in _months(month):
        yield from (f"{number}{name[:3]}" for number in (short_day, ordinal, f"{ordinal}of"))
        yield from (name[-3:] + short_day, name[-3:] + day)


def _ordinal(day: str) -> str:
    ending = "th" if day in {"11", "12", "13"} else {"1": "st", "2": "nd", "3": "rd"}.get(day[-1:], "th")
    return day + ending


def _months(month: str) -> tuple[str, ...]:
    return _MONTHS[int(month) - 1] if 1 <= int(month) <= len(_MONTHS) else (month,)


def _shortest(anchors: set[bytes]) -> frozenset[bytes]:
    """The anchors that contain no other one."""
    joined = b" ".join(anchors)
    repeated = [anchor for anchor in anchors if joined.count(anchor) > 1]
    return frozenset(one for one in anchors if not any(other in one for other in repeated if other != one))


Rules = Callable[[int, bytes], rules.Rule]
"""What a policy does with an element of a tag and a VR."""
