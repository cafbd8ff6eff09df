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


def holding(*_: object) -> bool:
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


IN_OTHER_SETS = [
    *(("ISO_IR 101", "iso8859_2", "Dvorak", "Dvořák"), ("ISO_IR 109", "iso8859_3", "Gorgez", "Ġorġeż")),
    *(("ISO_IR 110", "iso8859_4", "Ozolins", "Ozoliņš"), ("ISO_IR 148", "iso8859_9", "Yildiz", "Y\u0131ld\u0131z")),
    *(
        ("GB18030", "gb18030", "Lucai", "Lücái"),
        ("ISO 2022 IR 100\\ISO 2022 IR 101", "iso8859_2", "Dvorak", "\x1b-BDvořák"),
    ),
]


@pytest.mark.parametrize(("charset", "codec", "name", "text"), IN_OTHER_SETS)
@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG])
def test_a_plain_name_is_found_with_the_accents_of_a_declared_set(
    charset: str, codec: str, name: str, text: str, syntax: Syntax
) -> None:
    words = a_patient(f"{name}^X")
    device = syntax.encoded(MAKER, b"LO", padded(b"GE " + text.encode(codec)))
    assert is_refused(syntax.encoded(0x00080005, b"CS", padded(charset.encode())) + device, words, syntax)
    with pytest.raises(ResidueFound):
        residue.check_changed(device, device, Needles(words), syntax, keeping, charset.encode())


def test_samples_that_look_like_the_tag_of_a_character_set_call_for_no_close_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples = b"\x08\0\x05\0" + b"\xfd\xff\xfa\xff" * 1000
    monkeypatch.delattr(residue, "read_elements")
    assert not is_refused(EXPLICIT_LITTLE.encoded(0x54001010, b"OW", samples), a_patient("Müllerich^X"))


@pytest.mark.parametrize("vr", [b"LO", b"UN", b"OB"])
def test_a_declared_set_of_another_vr_is_read(vr: bytes) -> None:
    header = EXPLICIT_LITTLE.encoded(0x00080005, vr, padded(b"ISO_IR 101"))
    header += EXPLICIT_LITTLE.encoded(MAKER, b"LO", padded("GE Dvořák".encode("iso8859_2")))
    assert is_refused(header, a_patient("Dvořák^X"))


@pytest.mark.parametrize("declared", [b"ISO_IR 192", b"ISO_IR 13 "])
@pytest.mark.parametrize("name", ["Müllerich", "Mullerich"])
def test_latin_1_that_nobody_declared_is_found(declared: bytes, name: str) -> None:
    header = EXPLICIT_LITTLE.encoded(0x00080005, b"CS", declared)
    header += EXPLICIT_LITTLE.encoded(MAKER, b"LO", padded("GE Müllerich".encode("latin-1")))
    assert is_refused(header, a_patient(f"{name}^X"))


def test_a_name_in_latin_1_that_nobody_declared_is_searched_for() -> None:
    header = EXPLICIT_LITTLE.encoded(MAKER, b"LO", padded(b"GE Mullerich"))
    assert is_refused(header, words_of([(0x00100010, b"PN", "Müllerich^X".encode("latin-1"), b"ISO_IR 192")]))


def test_each_piece_of_a_name_is_read_in_the_set_that_its_escape_calls() -> None:
    name = "Müllerich^Jörg=".encode("latin-1") + b"\x1b-L" + "Мюллерих".encode("iso8859_5") + b"^\x1b$B;3ED\x1b(B"
    words = words_of([(0x00100010, b"PN", name, b"ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 87")])
    assert {"mullerich", "muellerich", "мюллерих", "山田"} <= words.long_names


SHORT_DATES = ["23.08.61", "23/8/61", "8/23/61", "61-08-23", "230861", "610823", "23 08 61", "23_08_61", "P19610823M"]


@pytest.mark.parametrize("text", SHORT_DATES)
def test_a_birth_date_with_two_digits_for_its_year_or_between_letters_is_found(text: str) -> None:
    header = EXPLICIT_LITTLE.encoded(MAKER, b"LO", padded(f"GE {text}".encode()))
    assert is_refused(header, a_patient("Vogt^X", birth_date="19610823"))
    assert not is_refused(header, a_patient("Vogt^X", birth_date="19610824"))


@pytest.mark.parametrize(
    "text", ["2.3.61.4", "1.2.3.61", "VB2.3.61", "t1_2_3_61", "2:3:61", "0.2361", "12361", "2 3 61"]
)
def test_other_numbers_are_no_birth_date(text: str) -> None:
    header = EXPLICIT_LITTLE.encoded(MAKER, b"LO", padded(text.encode()))
    assert not is_refused(header, a_patient("Vogt^X", birth_date="19610302"))


def test_the_version_of_software_is_no_date_with_two_digits_for_its_year() -> None:
    header = EXPLICIT_LITTLE.encoded(0x00181020, b"LO", padded(b"syngo 2.3.61"))
    assert not is_refused(header, a_patient("Vogt^X", birth_date="19610302"))
    assert is_refused(EXPLICIT_LITTLE.encoded(MAKER, b"LO", padded(b"2.3.61")), a_patient("V^X", birth_date="19610302"))


@pytest.mark.parametrize(
    "written", ["1961-8-23", "19610823-", "19610823 12", "19610823120000", "23.8.1961", "8/23/1961"]
)
def test_a_birth_date_that_is_written_otherwise_is_searched_for(written: str) -> None:
    header = EXPLICIT_LITTLE.encoded(MAKER, b"LO", padded(b"GE 23.08.1961"))
    assert is_refused(header, a_patient("Vogt^X", birth_date=written))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text", ["Anna Voss 5.8.61", "VOSS^ANNA", "born 05.08.1961", "born 05.08.61", "tel 06221 5639001"]
)
def test_text_within_opaque_bytes_is_searched_like_text(text: str, encoding: str) -> None:
    value = b"\0\1\2\3desc\0\1" + text.encode(encoding) + b"\0\0\1\2"
    header = EXPLICIT_LITTLE.encoded(0x00282000, b"OB", value + b"\0" * (len(value) % 2))
    words = words_of(
        [
            *((0x00100010, b"PN", b"Voss^Anna", b""), (0x00100030, b"DA", b"19610805", b"")),
            (0x00102154, b"SH", b"06221 5639001", b""),
        ]
    )
    assert is_refused(header, words)
    assert not is_refused(header, a_patient("Vogt^Ute", birth_date="19610905"))


def test_random_bytes_hold_nobody() -> None:
    chance = random.Random(7)
    words = a_patient("Voss^Anna")
    assert not any(
        is_refused(EXPLICIT_LITTLE.encoded(0x00282000, b"OB", chance.randbytes(4096)), words) for _ in range(30)
    )


@pytest.mark.parametrize("vr_and_tag", [(b"LO", MAKER), (b"CS", BODY_PART)])
@pytest.mark.parametrize("text", ["XPATID4711", "PATID4711X", "SN10023456", "A10023456B"])
def test_a_long_identifier_is_found_beside_letters_but_not_beside_digits(
    text: str, vr_and_tag: tuple[bytes, int]
) -> None:
    vr, tag = vr_and_tag
    words = words_of([(0x00100020, b"LO", b"PATID4711", b""), (0x00101000, b"LO", b"10023456", b"")])
    assert is_refused(EXPLICIT_LITTLE.encoded(tag, vr, padded(text.encode())), words)
    other = text.replace("4711", "47112").replace("10023456", "100234561")
    assert not is_refused(EXPLICIT_LITTLE.encoded(tag, vr, padded(other.encode())), words)


@pytest.mark.parametrize(("text", "is_found"), [("DRZWIRNBALD", True), ("OZWIRNBALD", True), ("THORAXA", False)])
def test_a_long_name_is_found_within_a_word_of_a_code_string(text: str, is_found: bool) -> None:
    header = EXPLICIT_LITTLE.encoded(BODY_PART, b"CS", padded(text.encode()))
    assert is_refused(header, a_patient("Zwirnbald^Thorax")) is is_found


SETS = {
    "": "latin-1",
    "ISO_IR 100": "latin-1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 192": "utf-8",
    "GB18030": "gb18030",
    "\\ISO 2022 IR 87": "iso2022_jp",
}


@pytest.mark.parametrize("charset", SETS)
def test_in_every_character_set_the_quick_look_lets_through_what_the_close_look_finds(
    charset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, hits = random.Random(charset), 0
    for name in ["Dvorak^Jiri", "Ozolins^Juris", "Lukasz^Agnes", "Voss^Ina", "Baek^Søren", "Иванов^Иван", "山田^太郎"]:
        year, month, day = chance.randint(1930, 2020), chance.randint(1, 12), chance.randint(1, 28)
        words = a_patient(name, birth_date=f"{year}{month:02}{day:02}")
        dates = [f"{day}.{month}.{year % 100:02}", f"{year % 100:02}-{month:02}-{day:02}", f"P{year}{month:02}{day:02}"]
        for said in [*name.split("^"), *dates, "XKIS4711081Y", "Quellenstr. 17b"]:
            for written in (said, *(changed_by(chance, said) for _ in range(6))):
                text, codec = written, chance.choice([SETS[charset], SETS[charset], "utf-8", "latin-1", "utf-16-le"])
                tag, vr = chance.choice([(MAKER, b"LO"), (0x00282000, b"OB")])
                if codec == "utf-16-le":  # of letters of two bytes, the quick look knows those of Latin-1
                    text = text.encode("latin-1", "ignore").decode("latin-1")
                value = padded(f"GE text {text}".encode(codec, "ignore"))
                for syntax in (EXPLICIT_LITTLE, EXPLICIT_BIG, IMPLICIT_LITTLE):
                    header = syntax.encoded(0x00080005, b"CS", padded(charset.encode())) + syntax.encoded(
                        tag, vr, value
                    )
                    with monkeypatch.context() as patched:
                        patched.setattr(residue, "_may_hold", holding)
                        is_found = is_refused(header, words, syntax)
                    words.checked.clear()
                    assert not is_found or is_refused(header, words, syntax), (text, codec)
                    hits += is_found
    assert hits > 100
