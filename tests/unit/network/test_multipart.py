"""The multipart parser: any cut of the same bytes gives the same parts, and doubt is never a part."""

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom.network import scratch
from dicom.network.multipart import boundary_of, parts
from models.domain.errors import PeerError, PeerLied, WriteFailed

BOUNDARY = b"x-1'y"
HERE = Path("/tmp")

# bodies made of pieces that nearly are boundaries, and of anything else
NEARLY = st.sampled_from(
    [
        b"\r",
        b"\n",
        b"\r\n",
        b"-",
        b"--",
        b"--x-1'",
        b"\r\n--x-1'",
        b"\r\n--x-1'yz",
        b"\n--x-1'y!",
        b"\r\n--x-1'y-z",
        b" ",
    ]
)
BODY = st.lists(NEARLY | st.binary(max_size=20), max_size=8).map(b"".join)


def is_harmless(body: bytes) -> bool:
    """Whether the body, which has no Content-Length, cannot be mistaken for one that ends earlier."""
    return b"--x-1'y\r\n" not in body and b"--x-1'y\n" not in body and b"--x-1'y-" not in body and b"y " not in body


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    eol = draw(st.sampled_from([b"\r\n", b"\n"]))
    bodies = draw(st.lists(st.tuples(BODY, st.booleans()), min_size=1, max_size=4))
    message = draw(st.sampled_from([b"", b"a preamble" + eol, b"--x-1'" + eol, b"--x-1'yz" + eol]))
    for body, has_length in bodies:
        if not has_length and not is_harmless(body):
            has_length = True
        head = [b"Content-Type: application/dicom"] * draw(st.booleans())
        head += [b"content-LENGTH:  %d" % len(body)] * has_length
        padding = draw(st.sampled_from([b"", b" ", b" \t "]))
        message += b"--" + BOUNDARY + padding + eol + b"".join(line + eol for line in head) + eol + body + eol
    end = draw(st.sampled_from([b"", eol, b"  " + eol, eol + b"an epilogue\r\n--x-1'y\r\n\r\nmore"]))
    return message + b"--" + BOUNDARY + b"--" + end, [body for body, _ in bodies]


def cut(message: bytes, sizes: list[int]) -> Iterator[bytes]:
    while message:
        size = sizes.pop() if sizes else len(message)
        yield message[:size]
        message = message[size:]


def bodies_of(chunks: Iterator[bytes] | list[bytes], scratch: Path = HERE, spill_bytes: int = 1 << 20) -> list[bytes]:
    return [bytes(part) for part in parts(chunks, BOUNDARY, scratch, spill_bytes)]


@settings(max_examples=400, deadline=None)
@given(messages(), st.lists(st.integers(1, 9), max_size=200))
def test_any_chunking_yields_the_same_parts(message: tuple[bytes, list[bytes]], sizes: list[int]) -> None:
    text, expected = message
    assert bodies_of(cut(text, sizes)) == expected
    assert bodies_of([text[i : i + 1] for i in range(len(text))]) == expected


@st.composite
def broken_messages(draw: st.DrawFn) -> bytes:
    """A message of which pieces were replaced by others, by what nearly is a boundary, and by parts of itself."""
    message, _ = draw(messages())
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(message)))
        end = draw(st.integers(start, min(len(message), start + 12)))
        source = draw(st.integers(0, len(message)))
        length = st.sampled_from([b"Content-Length: 3\r\n", b"Content-Length: 99999999\r\n", b"--x-1'y--"])
        piece = draw(NEARLY | length | st.binary(max_size=9) | st.just(message[source : source + 30]))
        message = message[:start] + piece + message[end:]
    return message


def ending(chunks: Iterator[bytes] | list[bytes]) -> tuple[list[bytes], type[Exception] | None]:
    received: list[bytes] = []
    try:
        received.extend(bytes(part) for part in parts(chunks, BOUNDARY, HERE))
    except PeerError as error:
        return received, type(error)
    return received, None


@settings(max_examples=300, deadline=None)
@given(broken_messages(), st.lists(st.integers(1, 9), max_size=200))
def test_a_broken_body_ends_the_same_however_it_is_cut_and_yields_nothing_that_was_not_in_it(
    text: bytes, sizes: list[int]
) -> None:
    received, error = ending([text])
    assert ending(cut(text, sizes)) == (received, error)
    assert ending([text[i : i + 1] for i in range(len(text))]) == (received, error)
    assert sum(map(len, received)) <= len(text)
    assert all(part in text for part in received)


@settings(max_examples=100, deadline=None)
@given(messages(), st.data())
def test_a_truncated_stream_never_yields_a_part_that_is_not_whole(
    message: tuple[bytes, list[bytes]], data: st.DataObject
) -> None:
    text, expected = message
    closing = text.index(b"--x-1'y--") if text.count(b"--x-1'y--") == 1 else 0
    kept = data.draw(st.integers(0, max(0, closing)))
    received: list[bytes] = []
    with pytest.raises(PeerError):
        received.extend(bytes(part) for part in parts([text[:kept]], BOUNDARY, HERE))
    assert received == expected[: len(received)]


def test_a_truncated_stream_may_be_tried_again() -> None:
    with pytest.raises(PeerError) as caught:
        bodies_of([b"--x-1'y\r\n\r\nhalf a part"])
    assert caught.value.retry == "soon"
    assert not isinstance(caught.value, PeerLied)


def test_a_boundary_inside_a_part_of_known_length_is_data() -> None:
    body = b"a\r\n--x-1'y\r\n\r\nb\r\n--x-1'y--\r\n"
    text = b"--x-1'y\r\nContent-Length: %d\r\n\r\n%s\r\n--x-1'y--" % (len(body), body)
    assert bodies_of([text]) == [body]


def test_a_part_that_is_not_as_long_as_it_says_is_a_lie() -> None:
    with pytest.raises(PeerLied):
        bodies_of([b"--x-1'y\r\nContent-Length: 3\r\n\r\nlonger\r\n--x-1'y--"])


def test_an_answer_without_its_boundary_is_given_up_early() -> None:
    with pytest.raises(PeerLied):
        bodies_of(b"<html>" * 1000 for _ in range(1_000_000))


def test_a_head_without_end_is_given_up_early() -> None:
    with pytest.raises(PeerLied):
        bodies_of(b"--x-1'y\r\n" if n == 0 else b"X: y" * 1000 for n in range(1_000_000))


def test_no_parts_are_no_error() -> None:
    assert bodies_of([b"--x-1'y--\r\n"]) == []


@pytest.mark.parametrize("has_length", [True, False])
def test_a_large_part_goes_through_a_file_without_a_name(tmp_path: Path, has_length: bool) -> None:
    body = os.urandom(300_000)
    head = b"Content-Length: %d\r\n" % len(body) if has_length else b""
    text = b"--x-1'y\r\n" + head + b"\r\n" + body + b"\r\n--x-1'y\r\n\r\nsmall\r\n--x-1'y--"
    names: list[set[str]] = []

    def chunks() -> Iterator[bytes]:
        for chunk in cut(text, [4096] * 80):
            names.append({entry.name for entry in tmp_path.iterdir()})
            yield chunk

    assert bodies_of(chunks(), tmp_path, spill_bytes=10_000) == [body, b"small"]
    assert set().union(*names) == set()


def test_memory_stays_flat_for_a_large_part(tmp_path: Path) -> None:
    piece = bytes(64 << 10)
    size = 600 * len(piece)

    def chunks() -> Iterator[bytes]:
        yield b"--x-1'y\r\n\r\n"
        for _ in range(600):
            yield piece
        yield b"\r\n--x-1'y--"

    tracemalloc.start()
    try:
        (part,) = parts(chunks(), BOUNDARY, tmp_path, spill_bytes=1 << 20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(part) == size
    assert peak < 4 << 20


def test_a_part_that_goes_to_a_file_is_asked_about_before_and_at_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "STEP_BYTES", 1000)
    asked: list[int] = []
    chunks = [b"--x-1'y\r\n\r\n", *[bytes(100)] * 50, b"\r\n--x-1'y\r\n\r\nsmall\r\n--x-1'y--"]
    assert [len(part) for part in parts(chunks, BOUNDARY, tmp_path, 2000, asked.append)] == [5000, 5]
    assert len(asked) == 3 and 2000 < asked[0] <= 2100 and asked == sorted(asked)


def test_a_missing_scratch_folder_is_said_to_be_unwritable(tmp_path: Path) -> None:
    with pytest.raises(WriteFailed):
        bodies_of([b"--x-1'y\r\n\r\nlong\r\n--x-1'y--"], tmp_path / "gone", spill_bytes=1)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/related; boundary=abc", b"abc"),
        ('multipart/related; type="application/dicom"; boundary="a b;c"; x=y', b"a b;c"),
        (r'multipart/related; BOUNDARY="a\"b"', b'a"b'),
        ("multipart/related;boundary=abc;type=application/dicom", b"abc"),
    ],
)
def test_a_boundary_may_be_quoted(content_type: str, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary


def test_a_multipart_answer_without_boundary_is_a_lie() -> None:
    with pytest.raises(PeerLied):
        boundary_of("multipart/related; type=application/dicom")
