"""The frozen list of what an item will move, what is left out and why, and how to ask for what is still missing."""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from functools import cached_property

from models.domain.refs import InstanceFound, Level, Selection, SeriesFound, StudyFound, StudyRef, known_total


@dataclass(frozen=True)
class PlannedSeries:
    """One series of a plan; ``instances`` is None where the source cannot list them."""

    series: SeriesFound
    instances: tuple[InstanceFound, ...] | None

    @cached_property
    def sop_uids(self) -> frozenset[str]:
        return frozenset(instance.sop_uid for instance in self.instances or ())

    @property
    def announced_count(self) -> int | None:
        """The larger of the source's list and its NumberOfSeriesRelatedInstances, or None when it gave neither."""
        listed = len(self.instances) if self.instances is not None else None
        return max((n for n in (listed, self.series.instance_count) if n is not None), default=None)


@dataclass(frozen=True, slots=True)
class LeftOutSeries:
    """A series that is on purpose not moved."""

    series: SeriesFound
    reason: str


@dataclass(frozen=True)
class Plan:
    """What one item moves: one study of the source, or some of its series."""

    study: StudyFound
    series: tuple[PlannedSeries, ...]
    left_out: tuple[LeftOutSeries, ...] = ()
    every_series: bool = True
    """Whether these and those left out are all series that the source lists of the study."""

    @property
    def ref(self) -> StudyRef:
        return StudyRef(self.study.study_uid, self.study.patient_id)

    @property
    def whole_study(self) -> bool:
        """Whether the plan takes every series of the study, so that one request for the study can fetch it."""
        return self.every_series and not self.left_out

    @cached_property
    def expected(self) -> frozenset[str] | None:
        """SOP Instance UIDs that must arrive, or None when the source could not list them all."""
        if any(planned.instances is None for planned in self.series):
            return None
        return frozenset(uid for planned in self.series for uid in planned.sop_uids)

    @property
    def announced_count(self) -> int | None:
        """How many instances the source announced: the largest of its lists and counts; None when it gave none.

        The count of the study, without what is left out, tells of a series that the source has not listed.
        """
        of_series = known_total(planned.announced_count for planned in self.series)
        return max((n for n in (of_series, self._count_of_study) if n is not None), default=None)

    @property
    def _count_of_study(self) -> int | None:
        """How many instances the source counts in the study beside the series left out; None where it does not say."""
        left_out = known_total(left.series.instance_count for left in self.left_out)
        if not self.every_series or self.study.instance_count is None or left_out is None:
            return None
        return max(self.study.instance_count - left_out, 0)

    def selections(self, done: Set[str]) -> Iterator[Selection]:
        """Yield the fewest requests that fetch what is not in ``done`` (SOP Instance UIDs).

        Nothing done: one request for the study, or one per series when some are left out. Otherwise one request
        per untouched series, and an IMAGE level request for the rest of a series that was begun. A series whose
        instances are not known is always asked for whole.
        """
        if self.whole_study and not done:
            yield self._selection(Level.STUDY, "", self.series, done)
            return
        for planned in self.series:
            missing = planned.sop_uids - done
            if planned.instances is not None and not missing:
                continue
            begun = planned.instances is not None and len(missing) < len(planned.sop_uids)
            yield self._selection(Level.IMAGE if begun else Level.SERIES, planned.series.series_uid, (planned,), done)

    def _selection(self, level: Level, series_uid: str, series: tuple[PlannedSeries, ...], done: Set[str]) -> Selection:
        known = all(planned.instances is not None for planned in series)
        instances = [instance for planned in series for instance in planned.instances or ()]
        return Selection(
            study=self.ref,
            level=level,
            series_uid=series_uid,
            sop_uids=tuple(i.sop_uid for i in instances if i.sop_uid not in done) if known else (),
            sop_class_uids=frozenset(i.sop_class_uid for i in instances if i.sop_class_uid) if known else frozenset(),
            transfer_syntax_uids=frozenset(i.transfer_syntax_uid for i in instances if i.transfer_syntax_uid),
            modalities=frozenset(planned.series.modality for planned in series if planned.series.modality),
        )
