"""A plan asks for everything that is missing, and for little else."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.domain.plans import LeftOutSeries, Plan, PlannedSeries
from models.domain.receipts import Completeness, Receipt
from models.domain.refs import InstanceFound, Level, Selection, SeriesFound, StudyFound

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"


def a_series(number: int, instances: int | None, announced: int | None = None) -> PlannedSeries:
    uid = f"1.{number}"
    listed = None if instances is None else tuple(InstanceFound(uid, f"{uid}.{n}", CT) for n in range(instances))
    return PlannedSeries(SeriesFound("1", uid, "CT", instance_count=announced), listed)


def a_plan(*series: PlannedSeries, whole_study: bool = True, announced: int | None = None) -> Plan:
    return Plan(StudyFound("1", "P1", instance_count=announced), series, every_series=whole_study)


SERIES = st.lists(st.none() | st.integers(1, 4), min_size=1, max_size=4).map(
    lambda sizes: [a_series(number, size) for number, size in enumerate(sizes, start=1)]
)


def brought(plan: Plan, selection: Selection) -> set[str]:
    """What a peer sends for a selection, as far as the plan knows it."""
    if selection.level is Level.IMAGE:
        return set(selection.sop_uids)
    return {
        uid
        for planned in plan.series
        if selection.level is Level.STUDY or planned.series.series_uid == selection.series_uid
        for uid in planned.sop_uids
    }


@given(SERIES, st.booleans(), st.data())
def test_what_is_missing_is_always_asked_for(series: list[PlannedSeries], whole: bool, data: st.DataObject) -> None:
    plan = a_plan(*series, whole_study=whole)
    known = sorted(uid for planned in series for uid in planned.sop_uids)
    done = data.draw(st.sets(st.sampled_from(known))) if known else set()
    selections = list(plan.selections(done))
    asked = set[str]().union(*(brought(plan, selection) for selection in selections))
    assert set(known) - done <= asked
    for planned in series:
        if planned.instances is None:
            assert any(s.level is Level.STUDY or s.series_uid == planned.series.series_uid for s in selections)


@given(SERIES, st.data())
def test_what_is_done_is_not_asked_for_again(series: list[PlannedSeries], data: st.DataObject) -> None:
    plan = a_plan(*series)
    known = sorted(uid for planned in series for uid in planned.sop_uids)
    done = data.draw(st.sets(st.sampled_from(known), min_size=1)) if known else set()
    if done:
        for selection in plan.selections(done):
            assert selection.level is not Level.STUDY
            assert not brought(plan, selection) & done
            assert not set(selection.sop_uids) & done


def test_an_untouched_study_is_one_request() -> None:
    (selection,) = a_plan(a_series(1, 2), a_series(2, 1)).selections(set())
    assert (selection.level, selection.series_uid) == (Level.STUDY, "")
    assert set(selection.sop_uids) == {"1.1.0", "1.1.1", "1.2.0"}
    assert (selection.sop_class_uids, selection.modalities) == ({CT}, {"CT"})


def test_chosen_series_are_one_request_each() -> None:
    selections = list(a_plan(a_series(1, 2), a_series(2, 1), whole_study=False).selections(set()))
    assert [(s.level, s.series_uid) for s in selections] == [(Level.SERIES, "1.1"), (Level.SERIES, "1.2")]


def test_a_series_that_was_begun_is_finished_by_its_instances() -> None:
    selections = list(a_plan(a_series(1, 3), a_series(2, 2), a_series(3, 1)).selections({"1.1.0", "1.3.0"}))
    assert [(s.level, s.series_uid) for s in selections] == [(Level.IMAGE, "1.1"), (Level.SERIES, "1.2")]
    assert set(selections[0].sop_uids) == {"1.1.1", "1.1.2"}


def test_nothing_missing_is_nothing_to_ask() -> None:
    plan = a_plan(a_series(1, 2))
    assert plan.expected is not None
    assert list(plan.selections(plan.expected)) == []


def test_one_unlisted_series_makes_the_expectation_unknown() -> None:
    plan = a_plan(a_series(1, 2), a_series(2, None, announced=5))
    assert plan.expected is None
    assert plan.announced_count == 7
    (selection,) = plan.selections(set())
    assert (selection.sop_uids, selection.sop_class_uids) == ((), frozenset())


def test_the_larger_of_list_and_count_is_announced() -> None:
    assert a_plan(a_series(1, 2, announced=3)).announced_count == 3
    assert a_plan(a_series(1, 4, announced=3)).announced_count == 4
    assert a_plan(a_series(1, 4), a_series(2, None)).announced_count is None


def test_a_study_that_counts_more_than_its_series_have_is_not_called_complete() -> None:
    """Some archives cut their list of series."""
    plan = a_plan(a_series(1, 2), a_series(2, 1), announced=4)
    assert plan.announced_count == 4
    all_listed = set(plan.expected or ())
    receipt = Receipt(all_listed, plan.announced_count, all_listed, stored=all_listed, confirmed=all_listed)
    assert receipt.verdict is Completeness.UNKNOWN
    unlisted = a_plan(a_series(1, None), announced=4)
    receipt = Receipt(None, unlisted.announced_count, all_listed, stored=all_listed, confirmed=all_listed)
    assert receipt.verdict is Completeness.SHORT


@pytest.mark.parametrize(
    ("of_study", "of_excluded", "announced"),
    [(7, 5, 2), (8, 5, 3), (8, None, 2), (None, 5, 2), (4, 5, 2)],
    ids=["it is right", "a series is not listed", "not told of the excluded", "not told of the study", "it is less"],
)
def test_the_count_of_a_study_is_compared_with_all_series_also_those_left_out(
    of_study: int | None, of_excluded: int | None, announced: int
) -> None:
    left_out = LeftOutSeries(a_series(2, None, of_excluded).series, "Modality SR is excluded.")
    plan = Plan(StudyFound("1", "P1", instance_count=of_study), (a_series(1, 2),), (left_out,))
    assert plan.announced_count == announced
    assert not plan.whole_study
    chosen = replace(plan, every_series=False)
    assert chosen.announced_count == 2, "what is not asked for is not known"


def test_the_count_of_a_study_says_nothing_of_chosen_series() -> None:
    assert a_plan(a_series(1, 2), whole_study=False, announced=9).announced_count == 2
    assert a_plan(a_series(1, 4), announced=3).announced_count == 4
