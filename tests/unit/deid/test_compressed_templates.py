"""Compressed instances that are treated by what their header has in common with an earlier one's.

They come out, or are refused, as if each were the first: what may hide in their frames is looked for in each of them.
"""

import random
import struct
from collections.abc import Callable
from functools import cache

import pytest

from dicom.deid import residue, templates
from dicom.deid.encoding import Element
from dicom.part10 import split_part10
from models.domain.instances import EncodedInstance
from tests.corpus import instance_of
from tests.corpus.pixels import jpeg_baseline, noise
from tests.corpus.treatment import PROFILES
from tests.unit.deid.test_templates import (
    a_deidentifier,
    elements_of,
    encoded,
    next_one,
    outcome,
    rebuilt,
    varied,
)
from tests.unit.deid.test_templates import thorough_runs as thorough_runs

COMPRESSED = ("dx_jpeg", "jpeg_2000_mr", "rle_ct")
PIXELS, FRAMES = 0x7FE00010, 0x00280008
OFFSETS, LENGTHS = 0x7FE00001, 0x7FE00002
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
EMPTY, END = b"\xfe\xff\x00\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"
HEAD = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff"


@cache
def a_compressed(kind: str) -> EncodedInstance:
    return split_part10(instance_of(kind).part10)


def pixels_of(instance: EncodedInstance) -> tuple[memoryview, Element]:
    data, elements = elements_of(instance)
    return data, elements[-1]


def frame_of(instance: EncodedInstance) -> bytes:
    """The only frame, which is the only fragment behind the offset table."""
    data, pixels = pixels_of(instance)
    table = int.from_bytes(data[pixels.begin + 4 : pixels.begin + 8], "little")
    return bytes(data[pixels.begin + 16 + table : pixels.stop])


def item(content: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(content)) + content


def with_pixels(instance: EncodedInstance, element: bytes, number: int = 1) -> EncodedInstance:
    """Another instance of the series, whatever comes in the place of its pixel element."""
    follower = next_one(instance, number)
    data, pixels = pixels_of(follower)
    parts = (bytes(data[: pixels.start]) + element,)
    return EncodedInstance(follower.sop_class_uid, follower.sop_uid, follower.transfer_syntax_uid, parts)


def of_frames(*fragments: bytes, table: bytes = b"") -> bytes:
    return HEAD + item(table) + b"".join(map(item, fragments)) + END


def a_jpeg(comment: bytes = b"", seed: int = 5) -> bytes:
    return jpeg_baseline(noise(seed, 4, 4, bits=8), comment)


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def with_segment(frame: bytes, extra: bytes) -> bytes:
    """A frame of JPEG with one more segment, padded to an even length."""
    longer = frame[:2] + extra + frame[2:]
    return longer + b"\0" * (len(longer) % 2)


def odd_pixels(frame: bytes) -> dict[str, bytes]:
    """What may be written where fragments belong: right, unusual, broken, and too much."""
    usual = of_frames(frame)
    return {
        "as ever": usual,
        "an offset table": of_frames(frame, table=bytes(4)),
        "a wrong offset table": of_frames(frame, table=b"\xff" * 8),
        "two fragments": of_frames(frame[:100], frame[100:]),
        "many fragments": of_frames(*(frame[place : place + 20] for place in range(0, len(frame), 20))),
        "a longer frame": of_frames(frame + bytes(1000)),
        "a shorter frame": of_frames(frame[:-20]),
        "two frames": of_frames(frame, frame),
        "no frame": of_frames(),
        "not even a table": HEAD + END,
        "an empty frame": of_frames(b""),
        "no frame's beginning": of_frames(frame[4:]),
        "half a header": of_frames(frame[:8]),
        "no end": usual[:-8],
        "half an end": usual[:-4],
        "cut off in a fragment": usual[: len(usual) // 2],
        "cut off in an item's head": HEAD + item(b"") + EMPTY[:6],
        "cut off behind the head": HEAD,
        "cut off in the head": HEAD[:-2],
        "nothing": b"",
        "a fragment longer than the data": HEAD + item(b"") + b"\xfe\xff\x00\xe0\xf0\xff\xff\x7f" + frame + END,
        "a fragment of undefined length": HEAD + item(b"") + b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + frame + END,
        "no item": HEAD + item(b"") + b"\xe0\x7f\x10\0" + struct.pack("<I", len(frame)) + frame + END,
        "a byte behind": usual + b"\0",
        "zeros behind": usual + bytes(12),
        "a second end": usual + END,
        "a second time": usual + usual,
        "padding behind": usual + b"\xfc\xff\xfc\xffOB\0\0\4\0\0\0\0\0\0\0",
        "another VR": HEAD.replace(b"OB", b"OW") + usual[len(HEAD) :],
        "a sequence": HEAD.replace(b"OB", b"SQ") + usual[len(HEAD) :],
        "an unknown VR": HEAD.replace(b"OB", b"UN") + usual[len(HEAD) :],
        "native": b"\xe0\x7f\x10\0OB\0\0" + struct.pack("<I", len(frame)) + frame,
        "native words": b"\xe0\x7f\x10\0OW\0\0" + struct.pack("<I", 2048) + bytes(2048),
        "float pixels": b"\xe0\x7f\x08\0OF\0\0\xff\xff\xff\xff" + usual[len(HEAD) :],
    }


@pytest.mark.parametrize("kind", COMPRESSED)
@pytest.mark.parametrize("profile", PROFILES)
def test_whatever_stands_for_pixels_has_the_outcome_of_a_first_instance(kind: str, profile: str) -> None:
    original = a_compressed(kind)
    engine = a_deidentifier(profile)
    engine.instance(original)
    for name, element in odd_pixels(frame_of(original)).items():
        follower = with_pixels(original, element)
        assert outcome(engine, follower) == outcome(a_deidentifier(profile), follower), name


@pytest.mark.parametrize("kind", COMPRESSED)
def test_outcomes_do_not_depend_on_which_came_first(kind: str) -> None:
    original = a_compressed(kind)
    chance = random.Random(kind)
    followers = [with_pixels(original, element) for element in odd_pixels(frame_of(original)).values()]
    followers += [*varied(original, chance), original]
    expected = [outcome(a_deidentifier(), follower) for follower in followers]
    for _ in range(3):
        engine = a_deidentifier()
        for place in chance.sample(range(len(followers)), len(followers)):
            assert outcome(engine, followers[place]) == expected[place]


def a_loop(frames: int) -> EncodedInstance:
    """The radiograph as if it had more frames, with extended offset tables (PS3.3 table C.7-11c)."""
    original = a_compressed("dx_jpeg")
    table = struct.pack(f"<{frames}Q", *range(frames))
    tables = {tag: encoded(original, tag, b"OV", table) for tag in (OFFSETS, LENGTHS)}
    pixels = of_frames(*(a_jpeg(seed=seed) for seed in range(frames)))
    count = encoded(original, FRAMES, b"IS", str(frames).encode())
    return rebuilt(original, {FRAMES: count, PIXELS: pixels, **tables})


def test_frames_and_offset_tables_may_differ(thorough_runs: list[None]) -> None:
    original = a_loop(3)
    engine = a_deidentifier()
    assert outcome(engine, original)[0].startswith("2.25.")
    for number, seed in enumerate((20, 30, 40)):
        frames = [a_jpeg(seed=seed + place) + bytes(number * 2) for place in range(3)]
        offsets = encoded(original, OFFSETS, b"OV", struct.pack("<3Q", 0, seed, 2 * seed))
        changed = {OFFSETS: offsets, PIXELS: of_frames(*frames)}
        follower = rebuilt(next_one(original, number), changed, next_one(original, number).sop_uid)
        result = outcome(engine, follower)
        assert len(thorough_runs) == 1
        assert result == outcome(a_deidentifier(), follower)
        assert offsets in result[-1]  # type: ignore[operator]
        del thorough_runs[1:]


@pytest.mark.parametrize("count", [2, 4])
def test_more_frames_than_announced_are_for_a_person_also_in_a_later_instance(count: int) -> None:
    original = a_loop(3)
    engine = a_deidentifier()
    engine.instance(original)
    follower = with_pixels(original, of_frames(*(a_jpeg(seed=seed) for seed in range(count))))
    assert outcome(engine, follower) == outcome(a_deidentifier(), follower)
    assert (outcome(engine, follower)[0] == "NeedsReview") is (count > 3)


@pytest.mark.parametrize("kind", COMPRESSED)
def test_a_compressed_series_needs_the_engine_once(kind: str, thorough_runs: list[None]) -> None:
    original = a_compressed(kind)
    frame = frame_of(original)
    engine = a_deidentifier()
    for number in range(10):
        engine.instance(with_pixels(original, of_frames(frame + bytes(2 * number)), number))
    assert len(thorough_runs) == 1


def test_a_compressed_and_a_native_series_in_turns_need_the_engine_once_each(thorough_runs: list[None]) -> None:
    kinds = [a_compressed(kind) for kind in ("rle_ct", "ct", "jpeg_2000_mr", "mr")]
    engine = a_deidentifier()
    for number in range(5):
        for kind in kinds:
            engine.instance(next_one(kind, number))
    assert len(thorough_runs) == len(kinds)


def test_another_transfer_syntax_is_for_the_engine(thorough_runs: list[None]) -> None:
    original = a_compressed("dx_jpeg")
    engine = a_deidentifier()
    engine.instance(original)
    other = next_one(original, 1)
    other = EncodedInstance(other.sop_class_uid, other.sop_uid, JPEG_LOSSLESS, other.parts)
    result = outcome(engine, other)
    assert len(thorough_runs) == 2
    assert result == outcome(a_deidentifier(), other)


# --- what is written in the frames of a later instance


def refused_later(extra: bytes, code: str) -> None:
    """Fails unless a second instance with one more segment in its frame is refused as a first one would be."""
    original = a_compressed("dx_jpeg")
    engine = a_deidentifier()
    engine.instance(original)
    follower = with_pixels(original, of_frames(with_segment(a_jpeg(), extra)))
    result = outcome(engine, follower)
    assert result[0] == code
    assert result == outcome(a_deidentifier(), follower)


def test_a_name_in_a_later_frames_comment_is_refused() -> None:
    name = str(instance_of("dx_jpeg").dataset.PatientName).encode("latin-1")
    refused_later(segment(0xFE, b"exported for " + name), "ResidueFound")


def test_the_patients_number_in_a_later_frames_comment_is_refused() -> None:
    refused_later(segment(0xFE, instance_of("dx_jpeg").patient.patient_id.encode()), "ResidueFound")


def test_the_uid_of_a_later_instance_itself_is_searched_for_in_its_comments() -> None:
    uid = next_one(a_compressed("dx_jpeg"), 1).sop_uid
    refused_later(segment(0xFE, uid.encode()), "ResidueFound")


def test_metadata_in_a_later_frame_is_for_a_person() -> None:
    refused_later(segment(0xE1, b"Exif\0\0some place"), "NeedsReview")


def test_a_harmless_comment_needs_no_engine(thorough_runs: list[None]) -> None:
    original = a_compressed("dx_jpeg")
    engine = a_deidentifier()
    engine.instance(original)
    follower = with_pixels(original, of_frames(a_jpeg(b"Lossy JPEG, quality 92")))
    result = outcome(engine, follower)
    assert len(thorough_runs) == 1
    assert result == outcome(a_deidentifier(), follower)


def test_a_first_instance_that_is_refused_for_its_frames_teaches_nothing() -> None:
    original = a_compressed("dx_jpeg")
    name = str(instance_of("dx_jpeg").dataset.PatientName).encode("latin-1")
    engine = a_deidentifier()
    assert outcome(engine, with_pixels(original, of_frames(a_jpeg(name))))[0] == "ResidueFound"
    assert engine._templates._templates == []
    assert outcome(engine, original) == outcome(a_deidentifier(), original)


@pytest.mark.parametrize("vr", [b"SQ", b"PN"])
def test_pixels_of_a_vr_that_may_name_people_are_for_the_engine(vr: bytes, thorough_runs: list[None]) -> None:
    """They would be searched for people, so that each instance may have others in them."""
    original = a_compressed("ct")
    length = struct.pack("<HI", 0, 0) if vr == b"SQ" else struct.pack("<H", 0)
    odd = rebuilt(original, {PIXELS: b"\xe0\x7f\x10\0" + vr + length})
    engine = a_deidentifier()
    engine.instance(odd)
    engine.instance(next_one(odd, 1))
    assert len(thorough_runs) == 2


# --- the checks of a template, switched off one by one


def _without_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residue, "check_fragments", lambda *_: None)


def _without_a_look_at_fragments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "hidden_in_fragments", lambda *_: [])


def _with_any_fragments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates._Template, "_may_pass", lambda *_: True)


def _with_any_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def lax(self: templates._Template, data: memoryview, position: int, _: object) -> bool:
        return data[position : position + len(self._pixel_head)] == self._pixel_head

    monkeypatch.setattr(templates._Template, "_has_like_pixels", lax)


@pytest.mark.parametrize(
    ("mutate", "check"),
    [
        (_without_comments, test_a_name_in_a_later_frames_comment_is_refused),
        (_with_any_fragments, test_a_name_in_a_later_frames_comment_is_refused),
        (_with_any_fragments, test_metadata_in_a_later_frame_is_for_a_person),
        (_without_a_look_at_fragments, test_metadata_in_a_later_frame_is_for_a_person),
        (
            _without_a_look_at_fragments,
            lambda: test_more_frames_than_announced_are_for_a_person_also_in_a_later_instance(4),
        ),
        (
            _with_any_end,
            lambda: test_whatever_stands_for_pixels_has_the_outcome_of_a_first_instance("rle_ct", "research"),
        ),
    ],
)
def test_a_check_of_frames_that_is_left_out_is_noticed(
    monkeypatch: pytest.MonkeyPatch, mutate: Callable[[pytest.MonkeyPatch], None], check: Callable[[], None]
) -> None:
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        check()
