"""Cleaning keeps what describes an examination, and lets nobody's name, number or date through."""

import re
import unicodedata
from importlib import resources

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dicom.deid.folding import folded, spellings
from dicom.deid.text import Cleaner
from dicom.deid.vocabulary import PUBLIC_SCHEMES, device_words, harmless, lexicon
from tests.descriptions import COMMON_NAMES, GOOD, NEVER

WORD = re.compile(r"[^\W_]+")
CLEANER = Cleaner()
PLAIN_WORDS = frozenset(word for entry in lexicon() for word in WORD.findall(entry))


def words_of(text: str) -> list[str]:
    return WORD.findall(text)


def test_nearly_all_words_of_real_descriptions_stay() -> None:
    before = sum(len(words_of(text)) for text in GOOD)
    after = sum(len(words_of(CLEANER.cleaned(text))) for text in GOOD)
    assert len(GOOD) >= 150
    assert after / before > 0.95


@pytest.mark.parametrize("text", NEVER)
def test_no_name_number_date_or_place_is_left(text: str) -> None:
    assert CLEANER.cleaned(text) == ""


@pytest.mark.parametrize("name", [line for line in NEVER if " " not in line])
def test_a_name_goes_also_from_between_words_that_stay(name: str) -> None:
    for text in (f"Thorax {name} nativ", f"{name}_Thorax_nativ", f"CT Thorax nativ, {name}"):
        left = CLEANER.cleaned(text)
        assert "Thorax" in left
        assert folded(name) not in folded(left)


def test_the_lexicon_has_no_common_names() -> None:
    assert len(COMMON_NAMES) > 300
    assert {name for name in COMMON_NAMES if spellings(name) & lexicon()} == set()


@pytest.mark.parametrize("name", ["lexicon", "harmless-words", "coding-schemes"])
def test_no_list_has_a_word_twice(name: str) -> None:
    lines = resources.files("dicom.deid").joinpath("data", f"{name}.txt").read_text("utf-8").splitlines()
    words = [word for line in lines if not line.startswith("#") for word in line.split()]
    assert len(words) == len(set(words))
    assert max(map(len, lines)) <= 120


def test_the_lists_are_folded_and_of_a_size_that_can_be_reviewed() -> None:
    assert 3000 < len(lexicon()) < 6000
    assert {word for word in lexicon() | harmless() if word != folded(word)} == set()
    assert not {word for word in lexicon() if len(word) < 2}
    assert {b"DCM", b"SCT", b"LN", b"UCUM", b"NCIT"} <= PUBLIC_SCHEMES
    assert device_words() == lexicon() | harmless()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Thorax Müller nativ", "Thorax nativ"),
        ("THORAX  NATIV", "THORAX NATIV"),
        ("Thorax (Müller)", "Thorax"),
        ("Thorax (Adult)", "Thorax (Adult)"),
        ("(Thorax", "Thorax"),
        ("t1_vibe_MUELLER_tra", "t1_vibe tra"),
        ("ThoraxAbdomen", "ThoraxAbdomen"),
        ("ThoraxMueller", ""),
        ("T2* sag", "T2* sag"),
        ("C-spine", "C-spine"),
        ("C. Spine", "Spine"),
        ("0.6x0.6x2mm", "0.6x0.6x2mm"),
        ("b1000 b1961", "b1000"),
        ("5 mm / 1.25", "5 mm / 1.25"),
        ("Thorax 12.03.61", "Thorax"),
        ("Thorax 4711", "Thorax"),
        ("Thorax 12 34 56", "Thorax"),
        ("Thorax 12 Meier 34", "Thorax 12"),
        ("R. Knie", "Knie"),
        ("Knie R", "Knie R"),
        ("Herr Hand Kopf Thorax", "Thorax"),
        ("Thorax\\Müller\\nativ", "Thorax\\\\nativ"),
        ("Müller\\Meier", ""),
        ("Schädel", "Schädel"),
        ("Scha\u0308del", "Schädel"),
        ("SCHAEDEL", "SCHAEDEL"),
        ("Thorax\r\nAbdomen", "Thorax Abdomen"),
        ("  Thorax \0", "Thorax"),
        ("", ""),
    ],
)
def test_what_is_left_reads_well(text: str, left: str) -> None:
    assert CLEANER.cleaned(text) == left


@pytest.mark.parametrize(
    ("text", "scrub", "left"),
    [
        ("Kopf nativ", {"kopf"}, "nativ"),
        ("KOPF_nativ", {"kopf"}, "nativ"),
        ("KopfHals nativ", {"kopf"}, "nativ"),
        ("Kopf2 nativ", {"kopf"}, "nativ"),
        ("Thorax 512", {"512"}, "Thorax"),
        ("Thorax nativ", {"thora"}, "Thorax nativ"),
        ("Kopf-Thorax", {"thorax", "kopf"}, ""),
        ("Füße beidseits", {"fuße", "fusse"}, "beidseits"),
    ],
)
def test_the_patients_own_words_go_although_they_are_in_the_lexicon(text: str, scrub: set[str], left: str) -> None:
    assert CLEANER.cleaned(text, frozenset(scrub)) == left


def test_an_approved_text_stays_whole_but_without_the_patients_words() -> None:
    cleaner = Cleaner(approved_texts=frozenset({"Zebra  Protokoll 4711"}))
    assert cleaner.cleaned("ZEBRA protokoll  4711") == "ZEBRA protokoll  4711"
    assert cleaner.cleaned("Zebra Protokoll 4712") == "Protokoll"
    assert cleaner.cleaned("Zebra Protokoll 4711", frozenset({"zebra"})) == "Protokoll"
    assert cleaner.cleaned("Thorax\\Zebra Protokoll 4711") == "Thorax\\Zebra Protokoll 4711"


def test_an_approved_word_stays_in_whatever_case() -> None:
    cleaner = Cleaner(approved_words=frozenset({"Zebrä", "p.r.n"}))
    assert cleaner.cleaned("ZEBRÄ Meier P.R.N") == "ZEBRÄ P.R.N"
    assert cleaner.cleaned("ZEBRÄ Meier", frozenset({"zebra"})) == ""


def is_known(word: str) -> bool:
    """Whether a word may stay, said without the cleaner: reviewed words, and few digits with or without letters."""
    plain = folded(word)
    if plain in PLAIN_WORDS or plain in {"l", "r"}:
        return True
    pieces = re.findall(r"[0-9]+|[^\W\d_]+", plain)
    letters = [piece for piece in pieces if not piece.isdigit()]
    digits = [piece for piece in pieces if piece.isdigit()]
    are_short = all(len(piece) <= 3 for piece in digits) or re.fullmatch(r"b[0-9]{2}[05]0", plain) is not None
    camel = re.findall(r"[A-ZÄÖÜ]+(?=[A-ZÄÖÜ][a-zäöüß])|[A-ZÄÖÜ]?[a-zäöüß]+|[A-ZÄÖÜ]+", word)
    are_words = all(folded(part) in PLAIN_WORDS or len(part) <= 2 for part in camel) and "".join(camel) == "".join(
        re.findall(r"[^\W\d_]+", word)
    )
    return are_short and (are_words or all(len(piece) <= 4 and digits for piece in letters))


TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from([*GOOD[:60], *NEVER, "12", "3.12.", "\\", "L", "C-", "^", "(", " / ", "_", "Dr.", "5mm", "\0"]),
        max_size=6,
    ).map("".join),
    st.lists(st.sampled_from([*GOOD[60:], *NEVER, *sorted(lexicon())[::40], "19", "61", "089"]), max_size=6).map(
        " ".join
    ),
)


@settings(max_examples=400, deadline=None)
@given(TEXTS)
@example("12 Meier 34 Meier 56")
@example("Kopf\u0308\u0308")
@example("Ⅻ ² 12")
def test_nothing_that_is_not_known_survives_whatever_the_text(text: str) -> None:
    left = CLEANER.cleaned(text)
    assert [word for word in words_of(left) if not is_known(word)] == []
    assert re.search(r"[0-9]{4}", left.replace("PSMA-1007", "")) is None or re.search(r"b[0-9]{2}[05]0", left.lower())
    assert {letter for letter in left if unicodedata.category(letter).startswith("C")} == set()


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.frozensets(st.sampled_from(["kopf", "thorax", "nativ", "12", "thora", "l"])))
def test_cleaning_again_changes_nothing(text: str, scrub: frozenset[str]) -> None:
    once = CLEANER.cleaned(text, scrub)
    assert CLEANER.cleaned(once, scrub) == once
    assert Cleaner().cleaned(text, scrub) == once
    assert not set(folded(once).split()) & scrub


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*GOOD, *NEVER]), min_size=1, max_size=5))
def test_each_of_several_values_keeps_its_place(values: list[str]) -> None:
    left = CLEANER.cleaned("\\".join(values))
    assert left.split("\\") == [CLEANER.cleaned(value) for value in values] or left == ""
