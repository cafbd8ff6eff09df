"""A small deflated instance cannot fill the memory of the worker that treats it."""

import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from dicom.deid import encoding, streams
from dicom.deid.encoding import EXPLICIT_LITTLE, Syntax, read_elements
from dicom.deid.identity import check_identity, heading_of
from dicom.metadata import metadata_of
from dicom.place import place_of
from models.domain.errors import Unreadable
from models.domain.instances import EncodedInstance
from models.domain.refs import StudyRef
from tests.unit.deid.test_deid_fails_closed import a_deidentifier, a_header, encoded

DEFLATED = "1.2.840.10008.1.2.1.99"
STUDY = StudyRef("1.2.826.0.1.3680043.10.9999.2")
MIB = 1 << 20


def deflated(pieces: list[bytes]) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return b"".join(map(compressor.compress, pieces)) + compressor.flush()


def an_instance(behind: list[bytes]) -> EncodedInstance:
    header = a_header()
    return EncodedInstance(header.SOPClassUID, header.SOPInstanceUID, DEFLATED, (deflated([encoded(header), *behind]),))


def peak_of(action: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(name="a_bomb", scope="module")
def _a_bomb() -> EncodedInstance:
    """Of 100 KB, with pixels of 100 MB."""
    head = b"\xe0\x7f\x10\0OW\0\0" + (96 * MIB).to_bytes(4, "little")
    return an_instance([head, *[bytes(MIB)] * 96])


@pytest.mark.parametrize("read", [a_deidentifier().instance, metadata_of], ids=["treated", "metadata"])
def test_a_bomb_is_refused_before_it_fills_the_memory(
    read: Callable[[EncodedInstance], object], a_bomb: EncodedInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_MOST_INFLATED_BYTES", 16 * MIB)

    def refused() -> None:
        with pytest.raises(Unreadable, match="larger than 16 MiB"):
            read(a_bomb)

    assert peak_of(refused) < 90 * MIB


@pytest.mark.parametrize(
    "read", [heading_of, place_of, lambda instance: check_identity(instance, STUDY)], ids=["heading", "place", "study"]
)
def test_whose_a_bomb_is_costs_little(read: Callable[[EncodedInstance], object], a_bomb: EncodedInstance) -> None:
    assert peak_of(lambda: read(a_bomb)) < 64 * MIB


def test_what_is_cut_off_or_broken_is_told_apart() -> None:
    whole = an_instance([])
    (part,) = whole.parts
    for data, said in ((part[:-9], "cut off"), (b"\xff" * 40, "cannot be inflated"), (b"", "cut off")):
        with pytest.raises(Unreadable, match=said):
            a_deidentifier().instance(EncodedInstance(whole.sop_class_uid, whole.sop_uid, DEFLATED, (data,)))


@pytest.mark.parametrize("size", [0, 1, 1 << 14, (1 << 14) + 1, 5 << 16])
def test_what_may_be_inflated_is_inflated_whole(size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    data, syntax = streams.opened((deflated([content]), b""), DEFLATED)
    assert data == content
    assert syntax == EXPLICIT_LITTLE


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, Syntax(implicit=True, big_endian=False)])
def test_more_elements_than_any_data_set_has_are_not_all_read(syntax: Syntax, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_MOST_ELEMENTS", 1000)
    monkeypatch.setattr(encoding, "_MOST_ITEMS", 1000)
    element = syntax.encoded(0x00080005, b"CS", b"")
    for hostile in (element * 400_000, syntax.encoded(0x00081140, b"SQ", syntax.encoded_item(b"") * 400_000)):
        data = memoryview(hostile)

        def refused(data: memoryview = data) -> None:
            with pytest.raises(Unreadable):
                for one in read_elements(data, syntax):
                    encoding.read_items(data, one, syntax)

        assert peak_of(refused) < MIB
