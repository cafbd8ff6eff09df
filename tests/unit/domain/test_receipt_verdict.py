"""Only what is proven to be at the destination is called complete."""

from hypothesis import given
from hypothesis import strategies as st

from models.domain.receipts import Completeness, Receipt, concerns

NAMES = [f"1.{n}" for n in range(6)]
UIDS = st.sets(st.sampled_from(NAMES))
REASONS = st.dictionaries(st.sampled_from(NAMES), st.just("reason"), max_size=2)
RECEIPTS = st.builds(
    Receipt,
    expected=st.none() | UIDS,
    announced_count=st.none() | st.integers(0, 8),
    received=UIDS,
    left_out=REASONS,
    held=REASONS,
    stored=UIDS,
    refused=REASONS,
    confirmed=UIDS,
    is_confirmable=st.booleans(),
)


@given(RECEIPTS)
def test_short_delivery_is_never_called_complete(receipt: Receipt) -> None:
    if receipt.verdict is Completeness.COMPLETE:
        assert receipt.expected is not None
        assert receipt.expected <= receipt.confirmed | set(receipt.left_out)
        assert receipt.received <= receipt.expected
        assert not receipt.refused
        assert not receipt.held
        assert (receipt.announced_count or 0) <= len(receipt.expected)


@given(RECEIPTS, st.sampled_from(NAMES))
def test_losing_one_instance_is_noticed(receipt: Receipt, uid: str) -> None:
    if receipt.verdict is Completeness.COMPLETE and uid in receipt.confirmed - set(receipt.left_out):
        receipt.confirmed.discard(uid)
        expected = receipt.expected or set()
        assert receipt.verdict is (Completeness.SHORT if uid in expected else Completeness.COMPLETE)


@given(RECEIPTS)
def test_a_destination_that_cannot_be_asked_is_never_called_complete(receipt: Receipt) -> None:
    receipt.is_confirmable = False
    assert receipt.verdict in {Completeness.SHORT, Completeness.UNKNOWN}


def proven(*uids: str, **fields: object) -> Receipt:
    every = set(uids)
    values: dict[str, object] = {"expected": set(every), "received": every, "stored": every, "confirmed": every}
    return Receipt(**(values | fields))  # type: ignore[arg-type]


@given(st.sets(st.sampled_from(NAMES), min_size=1), st.data())
def test_a_proven_receipt_stops_being_complete_with_any_loss(uids: set[str], data: st.DataObject) -> None:
    lost = data.draw(st.sets(st.sampled_from(sorted(uids))))
    excused = data.draw(st.sets(st.sampled_from(sorted(uids))))
    receipt = proven(*uids, confirmed=uids - lost, left_out=dict.fromkeys(excused, "reason"))
    assert receipt.missing == lost - excused
    assert (receipt.verdict is Completeness.COMPLETE) == (not lost - excused)


def test_everything_confirmed_is_complete() -> None:
    assert proven("1.1", "1.2", announced_count=2).verdict is Completeness.COMPLETE


def test_stored_but_not_confirmed_is_short() -> None:
    assert proven("1.1", confirmed=set()).verdict is Completeness.SHORT


def test_what_was_left_out_on_purpose_is_not_missing() -> None:
    receipt = proven("1.1", confirmed=set(), stored=set(), left_out={"1.1": "excluded"})
    assert (receipt.missing, receipt.verdict) == (set(), Completeness.COMPLETE)


def test_a_refusal_is_short_though_nothing_else_is_missing() -> None:
    assert proven("1.1", refused={"1.1": "A700"}).verdict is Completeness.SHORT


def test_instances_nobody_announced_are_surplus() -> None:
    receipt = proven("1.1", received={"1.1", "1.2"})
    assert (receipt.surplus, receipt.verdict) == ({"1.2"}, Completeness.SURPLUS)


def test_a_source_that_counts_more_than_it_lists_leaves_doubt() -> None:
    assert proven("1.1", announced_count=2).verdict is Completeness.UNKNOWN


def test_a_source_that_lists_nothing_leaves_doubt_and_its_count_is_heeded() -> None:
    assert proven("1.1", expected=None).verdict is Completeness.UNKNOWN
    assert proven("1.1", expected=None, announced_count=2).verdict is Completeness.SHORT
    assert Receipt().verdict is Completeness.SHORT, "a transfer that brought nothing is no success"


def test_what_is_held_is_neither_missing_nor_complete() -> None:
    receipt = proven("1.1", "1.2", confirmed={"1.1"}, stored={"1.1"}, held={"1.2": "It may show a name."})
    assert (receipt.missing, receipt.verdict) == (set(), Completeness.HELD)
    receipt.confirmed.clear()
    assert receipt.verdict is Completeness.SHORT
    receipt = proven("1.1", expected=None, held={"1.1": "It may show a name."})
    assert receipt.verdict is Completeness.UNKNOWN, "doubt weighs more"


def test_concerns_tell_counts_and_reasons_and_no_uid() -> None:
    reasons = {"1.3": "It may show a name.", "1.4": "It is a document.", "1.5": "It may show a name."}
    text = concerns(proven("1.1", held=reasons, left_out={"1.6": "The profile excludes it."}))
    assert "3 instances. 2 x It may show a name. 1 x It is a document." in text
    assert "Left out: 1 instance. 1 x The profile excludes it." in text
    assert "until a reviewer releases or rejects them" in text
    assert not any(uid in text for uid in (*reasons, "1.6"))
    assert concerns(proven("1.1")) == ""
