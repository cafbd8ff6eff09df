"""Profiles as people write them: what is refused names the key and the reason, and nothing else is raised."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom.deid.pixels.rules import Kind, Treatment
from dicom.deid.profile import DEFAULT, Action, Option, Profile, StandIn, load, shipped
from models.domain.errors import ProfileInvalid

STUDY_DATE, MANUFACTURER, ACCESSION_NUMBER = 0x00080020, 0x00080070, 0x00080050


@pytest.fixture
def a_folder(tmp_path: Path) -> Path:
    return tmp_path


def write(folder: Path, name: str, content: str) -> Path:
    (folder / f"{name}.yaml").write_text(content, encoding="utf-8")
    return folder


def refusal(folder: Path, content: str, name: str = "site") -> str:
    """The message with which a profile of this content is refused."""
    with pytest.raises(ProfileInvalid) as caught:
        load(name, write(folder, name, content))
    return caught.value.message


def test_three_profiles_are_shipped_and_research_is_the_default() -> None:
    assert shipped() == ("adit-compatible", "basic", "research")
    assert DEFAULT in shipped()


@pytest.mark.parametrize("name", ["adit-compatible", "basic", "research"])
def test_a_shipped_profile_says_in_words_what_it_is_and_discloses(name: str) -> None:
    profile = load(name)
    assert profile.name == name
    assert profile.title
    assert profile.summary
    assert len(profile.discloses) >= 3


def test_what_extends_inherits_lists_of_its_own_replace_and_overrides_join(a_folder: Path) -> None:
    write(
        a_folder,
        "house",
        """
        extends: research
        title: House
        overrides: {Manufacturer: delete, AccessionNumber: empty}
        approved_texts: [T1 Haus]
        approved_words: [haus]
        pixels: {video: reject}
        """,
    )
    write(
        a_folder,
        "ward",
        """
        extends: house
        options: [retain_uids]
        overrides: {AccessionNumber: delete}
        approved_texts: ["T2   Haus"]
        pixels: {film: hold}
        """,
    )
    profile = load("ward", a_folder)
    assert profile.title == "House"
    assert profile.summary == load("research").summary
    assert profile.options == {Option.RETAIN_UIDS}
    assert profile.stand_ins == {StandIn.IDENTIFIERS}
    own = {MANUFACTURER: Action.DELETE, ACCESSION_NUMBER: Action.DELETE}
    assert profile.overrides == {**load("research").overrides, **own}
    assert profile.approved_texts == {"T1 Haus", "T2 Haus"}
    assert profile.approved_words == {"haus"}
    assert profile.pixels.treatments[Kind.VIDEO] is Treatment.REJECT
    assert profile.pixels.treatments[Kind.FILM] is Treatment.HOLD


def test_a_sites_own_goes_before_the_shipped_one_and_may_extend_it(a_folder: Path) -> None:
    write(a_folder, "research", "extends: research\ntitle: Our research\noverrides: {StationName: delete}\n")
    profile = load("research", a_folder)
    assert profile.title == "Our research"
    assert profile.options == load("research").options
    assert profile.overrides == {**load("research", None).overrides, 0x00081010: Action.DELETE}
    assert load("research").title != "Our research"


def test_what_a_shipped_profile_extends_can_be_a_sites_own(a_folder: Path) -> None:
    write(a_folder, "basic", "extends: basic\napproved_words: [haus]\n")
    assert load("research", a_folder).approved_words == {"haus"}


def test_a_folder_without_it_leaves_the_shipped_one(a_folder: Path) -> None:
    assert load("basic", a_folder) == load("basic")
    assert load("basic", a_folder / "missing") == load("basic")


@pytest.mark.parametrize("written", ["0008,0070", "(0008,0070)", "(0008, 0070)", "Manufacturer"])
def test_an_attribute_is_named_by_its_tag_or_keyword(a_folder: Path, written: str) -> None:
    write(a_folder, "site", f'overrides: {{"{written}": delete}}\n')
    assert load("site", a_folder).overrides == {MANUFACTURER: Action.DELETE}


@pytest.mark.parametrize(
    ("content", "key", "reason"),
    [
        ("extend: research", "extend", "no such key"),
        ("keep: [StudyDate]", "keep", "no such key"),
        ("options: [retain_dates]", "options", "retain_dates"),
        ("options: retain_uids", "options", "list"),
        ("options: [1]", "options", "list of texts"),
        ("stand_ins: [people]", "stand_ins", "people"),
        ("title: [a]", "title", "not a text"),
        ("discloses: everything", "discloses", "list"),
        ("approved_words: {a: b}", "approved_words", "list"),
        ("overrides: [StudyDate]", "overrides", "keys and values"),
        ("overrides: {StudyDate: hide}", "StudyDate", "hide"),
        ("overrides: {StudyDate: }", "StudyDate", "unknown"),
        ("overrides: {NoSuchKeyword: delete}", "NoSuchKeyword", "no attribute"),
        ("overrides: {'0008,9999': delete}", "0008,9999", "no attribute"),
        ("overrides: {'0009,1001': keep}", "0009,1001", "no attribute"),
        ("overrides: {8: delete}", "overrides: 8", "no attribute"),
        ("overrides: {PatientID: keep}", "(0010,0020)", "set for every instance"),
        ("overrides: {PatientName: delete}", "(0010,0010)", "set for every instance"),
        ("overrides: {PatientIdentityRemoved: delete}", "(0012,0062)", "set for every instance"),
        ("overrides: {DeidentificationMethod: delete}", "(0012,0063)", "set for every instance"),
        ("overrides: {ReferringPhysicianName: keep}", "(0008,0090)", "never kept"),
        ("overrides: {StudyDate: shift}", "(0008,0020)", "retain_modified_dates"),
        ("options: [retain_modified_dates]\noverrides: {PatientID: shift}", "(0010,0020)", "set"),
        ("options: [retain_modified_dates]\noverrides: {Manufacturer: shift}", "(0008,0070)", "for dates"),
        ("options: [retain_modified_dates]\noverrides: {StudyDate: keep}", "(0008,0020)", "tells the shift"),
        ("extends: research\noverrides: {AcquisitionDateTime: keep}", "(0008,002A)", "tells the shift"),
        ("overrides: {StudyDate: map}", "(0008,0020)", "for UIDs"),
        ("overrides: {StudyDate: clean}", "(0008,0020)", "for text"),
        ("options: [retain_full_dates, retain_modified_dates]", "options", "exclude each other"),
        ("extends: adit-compatible\noptions: [retain_modified_dates]", "(0008,0020)", "tells the shift"),
        ("extends: 5", "extends", "not the name"),
        ("extends: nowhere", "nowhere", "no profile"),
        ("extends: ../secret", "name", "lower case"),
        ("pixels: {film: maybe}", "pixels.film", "not one of"),
        ("pixels: {documents: blank}", "pixels.documents", "not one of"),
        ("pixels: {faces: hold}", "pixels.faces", "no such key"),
        ("pixels: hold", "pixels", "keys and values"),
    ],
)
def test_what_is_wrong_is_refused_by_its_key_and_the_reason(
    a_folder: Path, content: str, key: str, reason: str
) -> None:
    message = refusal(a_folder, content)
    assert key in message
    assert reason in message


@pytest.mark.parametrize("content", ["", "- a\n- b", "text", "7", "a: [1", "a: b: c", "%x", "\tx: 1"])
def test_what_is_no_mapping_is_refused_by_the_profiles_name(a_folder: Path, content: str) -> None:
    assert "site" in refusal(a_folder, content)


@pytest.mark.parametrize(
    "content",
    [
        "title: 2021-02-30",
        f"title: {'9' * 5000}",
        "title: !!int x",
        "title: !!bool maybe",
        "title: !!timestamp x",
        "title: &a [*a]",
        "[" * 3000,
    ],
)
def test_values_that_yaml_itself_cannot_make_are_refused(a_folder: Path, content: str) -> None:
    assert "site" in refusal(a_folder, content)


def test_bytes_that_are_no_text_are_refused(a_folder: Path) -> None:
    (a_folder / "site.yaml").write_bytes(b"title: \xff\xfe\xfa")
    with pytest.raises(ProfileInvalid, match="site"):
        load("site", a_folder)


def test_a_yaml_file_can_make_no_objects(a_folder: Path) -> None:
    marker = a_folder / "made"
    assert "site" in refusal(a_folder, f'title: !!python/object/apply:os.system ["touch {marker}"]')
    assert not marker.exists()


def test_profiles_that_extend_one_another_in_a_circle_are_refused(a_folder: Path) -> None:
    write(a_folder, "one", "extends: two")
    write(a_folder, "two", "extends: one")
    with pytest.raises(ProfileInvalid, match="extends"):
        load("one", a_folder)


def test_a_profile_that_extends_itself_must_be_a_shipped_one(a_folder: Path) -> None:
    assert "no profile site" in refusal(a_folder, "extends: site")


@pytest.mark.parametrize(
    "name", ["../research", "..", "/etc/passwd", "a/b", "a\\b", "Research", "", "a" * 41, "a.yaml", "-a", "a\n", "a\0"]
)
def test_a_name_that_could_leave_the_folder_is_no_name(a_folder: Path, name: str) -> None:
    inner = a_folder / "profiles"
    inner.mkdir()
    write(a_folder, "research", "title: outside\n")
    with pytest.raises(ProfileInvalid, match="name"):
        load(name, inner)


def test_an_unknown_name_is_refused_and_the_shipped_ones_are_listed() -> None:
    with pytest.raises(ProfileInvalid, match=r"nowhere; shipped are adit-compatible, basic, research"):
        load("nowhere")


def test_a_profile_made_in_code_is_held_to_the_same_rules() -> None:
    with pytest.raises(ProfileInvalid, match="exclude each other"):
        Profile("x", options=frozenset({Option.RETAIN_FULL_DATES, Option.RETAIN_MODIFIED_DATES}))
    with pytest.raises(ProfileInvalid, match=r"\(0010,0020\)"):
        Profile("x", overrides={0x00100020: Action.KEEP})


_KEYS = st.sampled_from(
    [
        *("extends", "title", "summary", "options", "overrides", "stand_ins", "pixels", "approved_texts"),
        *("approved_words", "discloses", "other"),
    ]
)
_WORDS = st.sampled_from(
    [
        *Option,
        *Action,
        *StandIn,
        *Kind,
        *Treatment,
        "research",
        "basic",
        "StudyDate",
        "PatientID",
        "0008,0070",
        "0040,A730",
        "trust_declared_no",
        "signatures",
        "",
    ]
)
_LEAVES = _WORDS.map(str) | st.text(max_size=8) | st.none() | st.booleans() | st.integers() | st.floats() | st.dates()
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS.map(str) | _LEAVES, inner, max_size=3)
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_any_mapping_is_a_profile_or_is_refused(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    folder = tmp_path_factory.mktemp("profiles")
    write(folder, "site", yaml.safe_dump(content))
    try:
        profile = load("site", folder)
    except ProfileInvalid as refused:
        assert any(word in refused.message for word in ("site", "name", "There is no profile"))
    else:
        assert profile.name == "site"
        assert not {Option.RETAIN_FULL_DATES, Option.RETAIN_MODIFIED_DATES} <= profile.options


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_profile_or_is_refused(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    folder = tmp_path_factory.mktemp("profiles")
    (folder / "site.yaml").write_bytes(content.encode(errors="surrogatepass"))
    try:
        assert load("site", folder).name == "site"
    except ProfileInvalid as refused:
        assert refused.message


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("action", ["delete", "empty", "dummy"])
def test_no_profile_can_take_an_instances_own_uids_away(a_folder: Path, keyword: str, action: str) -> None:
    write(a_folder, "site", f"extends: basic\noverrides: {{{keyword}: {action}}}\n")
    with pytest.raises(ProfileInvalid, match="no instance can be without it"):
        load("site", a_folder)
