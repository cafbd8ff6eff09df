"""What is proposed: one transfer syntax in a context, compressed first, never more than fits."""

from hypothesis import given
from hypothesis import strategies as st

from dicom.network.contexts import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    MAX_CONTEXTS,
    TRANSFER_SYNTAXES,
    Context,
    Proposal,
    retrieval,
    service,
    storage,
)
from models.domain.refs import Level, Selection, StudyRef

MODEL = "1.2.840.10008.5.1.4.1.2.2.3"
CT, SR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.33"
J2K = "1.2.840.10008.1.2.4.90"
MPEG4 = "1.2.840.10008.1.2.4.102"
PRIVATE = "1.2.276.0.99.1"


def a_selection(classes: set[str] | None = None, syntaxes: set[str] | None = None, *modalities: str) -> Selection:
    return Selection(
        StudyRef("1.2.3"),
        Level.STUDY,
        sop_class_uids=frozenset(classes or ()),
        transfer_syntax_uids=frozenset(syntaxes or ()),
        modalities=frozenset(modalities),
    )


def syntaxes_of(proposal: Proposal, sop_class_uid: str) -> list[str]:
    return [context.transfer_syntax for context in proposal.contexts if context.abstract_syntax == sop_class_uid]


def test_known_classes_get_every_syntax_with_compressed_ones_first() -> None:
    proposal = retrieval(MODEL, a_selection({CT, PRIVATE}))
    assert proposal.contexts[0] == Context(MODEL, IMPLICIT_LITTLE)
    assert proposal.stored_by_us == {CT, PRIVATE}
    offered = syntaxes_of(proposal, CT)
    assert offered[0] == J2K
    assert offered.index(J2K) < offered.index(EXPLICIT_LITTLE) < offered.index(IMPLICIT_LITTLE)
    assert set(syntaxes_of(proposal, PRIVATE)) == set(TRANSFER_SYNTAXES)


def test_objects_without_pixels_are_not_offered_compressed() -> None:
    assert J2K not in syntaxes_of(retrieval(MODEL, a_selection({SR})), SR)
    assert EXPLICIT_LITTLE in syntaxes_of(retrieval(MODEL, a_selection({SR})), SR)


def test_a_syntax_that_the_server_names_is_offered_even_where_it_is_unusual() -> None:
    assert MPEG4 in syntaxes_of(retrieval(MODEL, a_selection({CT}, {MPEG4})), CT)


def test_modalities_choose_the_classes_when_these_are_unknown() -> None:
    ct = retrieval(MODEL, a_selection(None, None, "CT"))
    assert CT in ct.stored_by_us and "1.2.840.10008.5.1.4.1.1.128" not in ct.stored_by_us
    assert J2K in syntaxes_of(ct, CT)
    assert CT in retrieval(MODEL, a_selection(None, None, "XYZ")).stored_by_us
    nothing_known = retrieval(MODEL, a_selection())
    assert {CT, SR} <= nothing_known.stored_by_us
    assert J2K in syntaxes_of(nothing_known, CT)


@given(st.sets(st.integers(1, 300)), st.sets(st.sampled_from(["CT", "MR", "US", "SR", "XX", "PT", "SEG", "XA", "DX"])))
def test_a_proposal_always_fits_and_no_class_is_left_without_a_syntax(numbers: set[int], modalities: set[str]) -> None:
    classes = {f"1.2.840.10008.5.1.4.1.1.{n}" for n in numbers}
    proposal = retrieval(MODEL, a_selection(classes, None, *modalities))
    assert len(proposal.contexts) <= MAX_CONTEXTS
    assert len(set(proposal.contexts)) == len(proposal.contexts)
    assert set(sorted(classes)[: MAX_CONTEXTS - 1]) <= proposal.stored_by_us


def test_known_classes_have_every_syntax_before_likely_ones_have_any() -> None:
    proposal = retrieval(MODEL, a_selection({SR}, {J2K}, "CT"))
    assert {SR, CT} <= proposal.stored_by_us
    assert J2K in syntaxes_of(proposal, CT)
    positions = [context.abstract_syntax for context in proposal.contexts]
    assert positions.index(CT) > len(positions) - 1 - positions[::-1].index(SR)


def test_joining_keeps_what_was_asked_before_as_long_as_there_is_room() -> None:
    first = storage([Context(CT, J2K)])
    second = storage([Context(SR, EXPLICIT_LITTLE)])
    both = first.joined(second)
    assert both.covers(first) and both.covers(second) and not first.covers(second)
    full = storage(Context(f"1.2.{n}", EXPLICIT_LITTLE) for n in range(MAX_CONTEXTS))
    assert full.joined(second) == second
    assert service(MODEL).contexts == (Context(MODEL, IMPLICIT_LITTLE),)
