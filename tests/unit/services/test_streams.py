"""The stream between two steps: bounded, ordered, loses nothing, never hangs."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.domain.errors import Canceled, Stalled
from models.domain.instances import EncodedInstance
from services.streams import Parcel, Stream


def parcel(uid: str, size: int = 10) -> Parcel:
    return Parcel(uid, EncodedInstance("1.2", uid, "1.2.840.10008.1.2.1", (bytes(size),)))


def test_parcels_come_out_in_order_and_end_with_close() -> None:
    stream = Stream(1000)
    for uid in "abc":
        stream.put(parcel(uid))
    stream.close()
    assert [p.source_uid for p in stream] == ["a", "b", "c"]


def test_a_parcel_larger_than_the_bound_passes_alone() -> None:
    stream = Stream(10, patience_s=0.05)
    stream.put(parcel("large", 1000))
    with pytest.raises(Stalled):
        stream.put(parcel("next", 1))


def test_a_writer_without_room_is_told_so_after_its_patience() -> None:
    stream = Stream(25, patience_s=0.05)
    stream.put(parcel("a"))
    stream.put(parcel("b"))
    with pytest.raises(Stalled):
        stream.put(parcel("c"))
    assert [next(iter(stream)).source_uid] == ["a"]
    stream.put(parcel("c"))


def test_a_parcel_put_back_is_the_next_to_be_taken_even_when_there_is_no_room() -> None:
    stream = Stream(20, patience_s=0.05)
    stream.put(parcel("a"))
    taken = next(iter(stream))
    stream.put(parcel("b"))
    stream.put(parcel("c"))
    stream.put_back(taken)
    stream.close()
    assert [p.source_uid for p in stream] == ["a", "b", "c"]


@pytest.mark.parametrize("action", ["read", "write", "wait_for_room"])
def test_stopping_wakes_whoever_waits(action: str) -> None:
    stream = Stream(10)
    if action != "read":
        stream.put(parcel("fills it"))
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            if action == "read":
                next(iter(stream))
            elif action == "write":
                stream.put(parcel("no room"))
            else:
                stream.wait_for_room()
        except Canceled as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    stream.stop(Canceled())
    thread.join(10)
    assert not thread.is_alive()
    assert len(raised) == 1


def test_what_waits_is_dropped_when_the_stream_is_stopped() -> None:
    stream = Stream(1000)
    stream.put(parcel("a"))
    stream.stop(Canceled())
    with pytest.raises(Canceled):
        list(stream)


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 50), max_size=60),
    limit=st.integers(1, 120),
    readers=st.integers(1, 3),
    failing=st.sets(st.integers(0, 60)),
)
def test_nothing_is_lost_or_doubled_with_several_readers_that_fail_at_times(
    sizes: list[int], limit: int, readers: int, failing: set[int]
) -> None:
    stream, got, lock = Stream(limit), list[str](), threading.Lock()
    to_fail = {str(n) for n in failing}

    def read() -> None:
        for taken in stream:
            with lock:
                fails = taken.source_uid in to_fail
                to_fail.discard(taken.source_uid)
                if not fails:
                    got.append(taken.source_uid)
            if fails:
                stream.put_back(taken)

    threads = [threading.Thread(target=read) for _ in range(readers)]
    for thread in threads:
        thread.start()
    for n, size in enumerate(sizes):
        stream.put(parcel(str(n), size))
    stream.close()
    for thread in threads:
        thread.join(20)
    assert sorted(got, key=int) == [str(n) for n in range(len(sizes))]
