"""The quick look at a header's bytes overlooks nothing that the close look would find."""

import random
import unicodedata

import pytest
from pydicom.sequence import Sequence

from dicom.deid import residue
from dicom.deid.encoding import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Syntax, read_elements
from dicom.deid.folding import folded, spellings
from dicom.deid.needles import Needles, Words, words_of
from dicom.deid.rules import Rule
from dicom.deid.streams import opened
from dicom.part10 import split_part10
from models.domain.errors import ResidueFound
from models.domain.instances import EncodedInstance
from tests.corpus import instance_of
from tests.unit.deid.test_residue import SYNTAXES, an_item, an_original, checked
from tests.unit.deid.test_templates import a_deidentifier

pytestmark = pytest.mark.filterwarnings("ignore:The value length:UserWarning")

MAKER, DEVICE, IMAGE_TYPE, MODALITY, BODY_PART = 0x00080070, 0x00081090, 0x00080008, 0x00080060, 0x00180015
VRS = {MAKER: b"LO", DEVICE: b"LO", IMAGE_TYPE: b"CS", MODALITY: b"CS", BODY_PART: b"CS"}


def an_instance_of(name: str, tag: int, text: str) -> EncodedInstance:
    """One of the corpus whose patient has that name, which stands in a device's attribute as well."""
    sample = split_part10(instance_of("dx_jpeg").part10)
    data, syntax = opened(sample.parts, sample.transfer_syntax_uid)
    raw = {element.tag: bytes(data[element.start : element.end]) for element in read_elements(data, syntax)}
    for changed, vr, value in ((0x00080005, b"CS", "ISO_IR 100"), (0x00100010, b"PN", name), (tag, VRS[tag], text)):
        raw[changed] = syntax.encoded(changed, vr, padded(value.encode("latin-1")))
    header = b"".join(raw[one] for one in sorted(raw))
    return EncodedInstance(sample.sop_class_uid, sample.sop_uid, sample.transfer_syntax_uid, (header,))


def padded(value: bytes) -> bytes:
    return value + b" " * (len(value) % 2)


def a_patient(name: str, charset: bytes = b"ISO_IR 192", codec: str = "utf-8", birth_date: str = "19610805") -> Words:
    return words_of(
        [
            (0x00100010, b"PN", name.encode(codec), charset),
            (0x00100020, b"LO", b"KIS-4711081", b""),
            (0x00100030, b"DA", birth_date.encode(), b""),
            (0x00101040, b"LO", "Quellenstraße 17b, 69123 Mauerbach".encode(codec), charset),
        ]
    )


def keeping(_tag: int, _vr: bytes) -> Rule:
    return Rule.KEEP


def is_refused(header: bytes, words: Words, syntax: Syntax = EXPLICIT_LITTLE) -> bool:
    try:
        residue.check(header, Needles(words), syntax, keeping)
    except ResidueFound:
        return True
    return False


@pytest.mark.parametrize("tag", [MAKER, DEVICE, IMAGE_TYPE, MODALITY, BODY_PART])
@pytest.mark.parametrize("family_name", ["Vogt", "Voss", "Hess", "Ross", "Bass"])
def test_a_short_name_never_leaves_in_what_devices_write(family_name: str, tag: int) -> None:
    text = family_name.upper() if VRS[tag] == b"CS" else family_name
    text = f"DERIVED\\PRIMARY\\{text}" if tag == IMAGE_TYPE else text
    with pytest.raises(ResidueFound):
        a_deidentifier().instance(an_instance_of(f"{family_name}^Hanna", tag, text))


@pytest.mark.parametrize("tag", [MAKER, DEVICE])
@pytest.mark.parametrize("name", ["Bæk", "BÆK", "Þorsteinn", "Baek", "Thorsteinn", "Voß", "Heß"])
def test_a_name_with_letters_that_are_folded_to_two_never_leaves(name: str, tag: int) -> None:
    text = {"Baek": "Bæk", "Thorsteinn": "Þorsteinn"}.get(name, name)
    with pytest.raises(ResidueFound):
        a_deidentifier().instance(an_instance_of(f"{name}^Hanna", tag, text))


SPELLED = [
    *(("Voss", "Voß"), ("Voß", "Voss"), ("Voß", "VOẞ"), ("Weiß", "Weiss"), ("Uğur", "Ugur"), ("Ugur", "Uğur")),
    *(("Bæk", "Baek"), ("Baek", "Bæk"), ("Kjær", "Kjær"), ("Thorsteinn", "Þorsteinn"), ("Oeuvrard", "Œuvrard")),
    *(("Lukasz", "Łukasz"), ("Dvorak", "Dvořák"), ("Dvorak", "Dvor\u030ca\u0301k"), ("Griffin", "Gri\ufb03n")),
    *(
        ("Vogel", "\uff36\uff4f\uff47\uff45\uff4c"),
        ("Nguyen", "Nguyễn"),
        ("Jörg", "“Jörg”"),
        ("Vogt", "\u2013Vogt\u2013"),
        ("Vogt", "Vogt\u00a0Eva"),
    ),
    *(("Åström", "A\u030astro\u0308m"), ("Vogelsang", "Vogel\u00a0sang"), ("Vogelsang", "Vogel" + " " * 20 + "sang")),
    *(("Παπαδόπουλος", "ΠΑΠΑΔΟΠΟΥΛΟΣ"), ("Яковлев", "ЯКОВЛЕВ"), ("Ĳssel", "IJssel"), ("Ďurŉa", "DUR\u02bcNA")),
]


@pytest.mark.parametrize(("name", "text"), SPELLED)
def test_a_name_is_found_in_other_letters(name: str, text: str) -> None:
    header = EXPLICIT_LITTLE.encoded(0x00080005, b"CS", b"ISO_IR 192")
    header += EXPLICIT_LITTLE.encoded(MAKER, b"LO", padded(text.encode()))
    assert is_refused(header, a_patient(f"{name}^X"))


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG])
@pytest.mark.parametrize("behind", [0x00191010, 0x00410010, 0x00540081, 0x70530010])
@pytest.mark.parametrize("length", [4, 0x42, 0x61, 0x6E])
def test_neither_a_length_nor_a_tag_hides_a_short_name(syntax: Syntax, behind: int, length: int) -> None:
    for value in (b"Vogt".ljust(length), b"Vogt".rjust(length)):
        header = syntax.encoded(MAKER, b"LO", value) + syntax.encoded(behind, b"LO", b"etwas ")
        assert is_refused(header, a_patient("Vogt^X"), syntax)


@pytest.mark.parametrize("syntax_uid", SYNTAXES)
def test_the_mark_of_an_item_hides_no_short_name(syntax_uid: str) -> None:
    items = Sequence([an_item(ConvolutionKernel="Vogt"), an_item(ConvolutionKernel="B30f")])
    with pytest.raises(ResidueFound):
        checked(an_item(CTReconstructionSequence=items), an_original(PatientName="Vogt^X"), syntax_uid)


def test_an_escape_sequence_hides_no_short_name() -> None:
    header = EXPLICIT_LITTLE.encoded(0x00080005, b"CS", b"\\ISO 2022 IR 87")
    header += EXPLICIT_LITTLE.encoded(MAKER, b"LO", b"\x1b$B;3ED!!\x1b(BVogt ")
    assert is_refused(header, a_patient("Vogt^X"))


@pytest.mark.parametrize(
    ("birth_date", "text"), [("19800015", "1980 0 15"), ("19800500", "5 0 1980"), ("19800000", "0/0/1980")]
)
def test_a_birth_date_without_a_month_or_a_day_is_found(birth_date: str, text: str) -> None:
    header = EXPLICIT_LITTLE.encoded(MAKER, b"LO", padded(text.encode()))
    words = a_patient("Vogt^X", birth_date=birth_date)
    assert is_refused(header, words)
    with pytest.raises(ResidueFound):
        residue.check_pseudonym(text, Needles(words))


NAMES = [
    *("Müller^Hans", "Strasser^Anna-Maria", "Li^Wu", "Łukasz^Jan", "O'Brien^Pat", "Weiß^Jörg", "Şahin^Ömer", "Voss^Jo"),
    *(
        "Søren^Æsa",
        "Ssos^Ass",
        "王^小明",
        "Ιωάννης^Λάρα",
        "Þór^Ole",
        "Uğur^Can",
        "Bæk^Ute",
        "Thomas^Ruth",
        "Иванов^Иван",
    ),
    *("Baek^Joergen", "Œuvrard^Léa", "Ďurďa^Jiří", "Nguyễn^An", "Heß^Ina", "Ross^Tim", "Griffin^Max", "Straßer^Ida"),
]
OTHER_LETTERS = {
    "ae": "æ",
    "oe": "œ",
    "th": "þ",
    "ss": "ß",
    "fi": "ﬁ",
    "ij": "ĳ",
    **dict(zip("acdeginorsuz", "ąčďęğïňøřşűž", strict=True)),
}


def changed_by(chance: random.Random, text: str) -> str:
    """The text as somebody else might write it: in capitals, with other letters, separated."""
    for plain in OTHER_LETTERS:
        if chance.random() < 0.15:
            text = text.replace(plain, OTHER_LETTERS[plain], 1)
    letters = [letter.upper() if chance.random() < 0.3 else letter for letter in text]
    spread = "".join(
        letter + (chance.choice(" ._-,/\u00a0\u2013") if chance.random() < 0.1 else "") for letter in letters
    )
    return unicodedata.normalize(chance.choice(["NFC", "NFD"]), spread)


def holding(_header: bytes, _words: Words) -> bool:
    return True


def headers_with(value: bytes, charset: bytes) -> list[tuple[bytes, Syntax]]:
    """Headers of one device's text each, before elements whose tags begin with letters or not."""
    return [
        (
            b"".join(syntax.encoded(*one) for one in ((0x00080005, b"CS", charset), (MAKER, b"LO", value), behind)),
            syntax,
        )
        for syntax in (EXPLICIT_LITTLE, EXPLICIT_BIG)
        for behind in ((0x00191010, b"LO", b"etwas "), (0x00540081, b"US", b"\1\1"))
    ]


@pytest.mark.parametrize("name", NAMES)
def test_whatever_the_close_look_finds_the_quick_look_lets_through(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chance, hits = random.Random(name), 0
    for _ in range(6):
        year, month, day = chance.randint(1930, 2020), chance.randint(0, 12), chance.randint(0, 28)
        words = a_patient(name, birth_date=f"{year}{month:02}{day:02}")
        parts = name.replace("-", "^").replace("'", "^").split("^")
        own = [*parts, *spellings(chance.choice(parts)), " ".join(parts), "".join(reversed(parts)), folded(parts[0])]
        dates = [f"{year}.{month}.{day}", f"{day:02}/{month:02}/{year}", f"{month}-{day}-{year}", f"{day} Mai {year}"]
        for said in [*own, *dates, "KIS-4711081", "4711081", "Quellenstr. 17b", "69123 Mauerbach"]:
            for text in (said, changed_by(chance, said), f"x {said}", f"{changed_by(chance, said)}7", f"P-{said}"):
                charset, codec = chance.choice([(b"ISO_IR 192", "utf-8"), (b"ISO_IR 100", "latin-1")])
                header, syntax = chance.choice(headers_with(padded(text.encode(codec, "ignore")), charset))
                with monkeypatch.context() as patched:
                    patched.setattr(residue, "_may_hold", holding)
                    is_found = is_refused(header, words, syntax)
                assert is_refused(header, words, syntax) is is_found, (text, codec)
                hits += is_found
    assert hits > 50


def test_a_short_name_within_a_longer_word_calls_for_no_close_look(monkeypatch: pytest.MonkeyPatch) -> None:
    header = EXPLICIT_LITTLE.encoded(MAKER, b"LO", b"Scanner of a minute ")
    monkeypatch.delattr(residue, "read_elements")
    assert not is_refused(header, a_patient("Ann^Ute"))
