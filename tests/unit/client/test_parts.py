"""A multipart body is taken apart however it arrives, and never called whole when it is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adit_client.errors import BadAnswer, IncompleteDownload
from adit_client.parts import Part, PartReader, PartWriter, boundary_of

BOUNDARY = b"a-boundary"
BODIES = (b"first", b"", b"\r\n--a-boundar\r\n--a-boundaryX\r\n--a-boundary X", b"\r\n" * 3, b"x" * 3000)


def written(bodies: tuple[bytes, ...], with_length: bool = True, closing: bytes = b"--\r\n") -> bytes:
    parts = [
        b"--"
        + BOUNDARY
        + b"\r\nContent-Type: application/dicom\r\n"
        # a length may be told or not
        + (b"Content-Length: %d\r\n" % len(body) if with_length else b"")
        + b"\r\n"
        + body
        + b"\r\n"
        for body in bodies
    ]
    return b"".join(parts) + b"--" + BOUNDARY + closing


def read(data: bytes, sizes: list[int], boundary: bytes = BOUNDARY) -> list[Part]:
    """The parts of a body that arrives in pieces of these sizes, again and again."""
    reader = PartReader(boundary)
    found: list[Part] = []
    position = turn = 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        found += reader.feed(data[position : position + size])
        position, turn = position + size, turn + 1
    reader.end()
    return found


@pytest.mark.parametrize("with_length", [True, False])
@given(sizes=st.lists(st.integers(1, 200), min_size=1, max_size=5))
def test_parts_are_the_same_however_the_body_is_cut(with_length: bool, sizes: list[int]) -> None:
    found = read(written(BODIES, with_length), sizes)
    assert [part.body for part in found] == list(BODIES)
    assert {part.media_type for part in found} == {"application/dicom"}


@given(bodies=st.lists(st.binary(max_size=50), max_size=4), sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_any_bytes_come_through(bodies: list[bytes], sizes: list[int]) -> None:
    assert [part.body for part in read(written(tuple(bodies)), sizes)] == bodies


@pytest.mark.parametrize("with_length", [True, False])
def test_a_body_that_ends_early_is_never_called_whole(with_length: bool) -> None:
    whole = written(BODIES, with_length, closing=b"--")
    for length in range(len(whole)):
        with pytest.raises(IncompleteDownload):
            read(whole[:length], [64])
    assert len(read(whole, [64])) == len(BODIES)


def test_parts_are_given_as_soon_as_they_are_complete() -> None:
    reader = PartReader(BOUNDARY)
    data = written((b"one", b"two"))
    end = data.index(b"one") + len(b"one\r\n--a-boundary\r\n")
    assert [part.body for part in reader.feed(data[:end])] == [b"one"]


def test_a_reader_holds_no_more_than_a_part() -> None:
    reader = PartReader(BOUNDARY)
    data = written(tuple(b"x" * 1000 for _ in range(200)))
    most = 0
    for start in range(0, len(data), 100):
        for _ in reader.feed(data[start : start + 100]):
            pass
        most = max(most, len(reader._buffer))
    assert most < 1300


def test_what_stands_before_the_first_boundary_and_behind_the_last_is_skipped() -> None:
    data = b"This is a multipart message.\r\n" + written((b"one",)) + b"and more\r\n--a-boundary\r\n\r\nno part\r\n"
    assert [part.body for part in read(data, [7])] == [b"one"]


def test_a_body_may_have_no_parts() -> None:
    assert read(b"--a-boundary--", [3]) == []


def test_boundary_lines_may_end_in_spaces() -> None:
    data = b"--a-boundary \t\r\n\r\none\r\n--a-boundary  \r\n\r\ntwo\r\n--a-boundary--"
    assert [part.body for part in read(data, [5])] == [b"one", b"two"]


@pytest.mark.parametrize("length", [b"2", b"4", b"99"])
def test_a_part_that_is_not_as_long_as_it_says_is_refused(length: bytes) -> None:
    data = b"--a-boundary\r\nContent-Length: " + length + b"\r\n\r\none\r\n--a-boundary--\r\n" + b" " * 99
    with pytest.raises(BadAnswer):
        read(data, [11])


@pytest.mark.parametrize("data", [b"x" * 100_000, b"--a-boundary\r\nX: " + b"x" * 100_000])
def test_an_answer_without_boundary_or_without_end_of_a_head_is_refused(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        read(data, [1000])


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ('multipart/related; type="application/dicom"; boundary=abc', b"abc"),
        ('multipart/related; boundary="a b=c"; type=x', b"a b=c"),
        ('multipart/related;BOUNDARY="a\\"b"', b'a"b'),
    ],
)
def test_the_boundary_is_read_from_the_header(content_type: str, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary


def test_a_header_without_boundary_is_refused() -> None:
    with pytest.raises(BadAnswer):
        boundary_of("multipart/related; type=no-boundary")


def test_what_is_written_can_be_read() -> None:
    writer = PartWriter()
    body = writer.part(b"one") + writer.part(b"\r\ntwo\r\n") + writer.closing()
    assert [part.body for part in read(body, [9], boundary_of(writer.content_type))] == [b"one", b"\r\ntwo\r\n"]
