"""Fetches what is wanted of a study, in a thread of its own, and puts it on a stream as it arrives."""

import threading
from collections.abc import Callable, Collection
from dataclasses import replace

from dicom.network import choose
from dicom.network.choose import Local
from dicom.network.ports import Finder
from models.domain.errors import (
    AditError,
    AssociationRejected,
    Excluded,
    Incomplete,
    NotFound,
    PeerError,
    Retry,
    Stalled,
    TimedOut,
    Unreachable,
    Unsupported,
)
from models.domain.instances import EncodedInstance
from models.domain.nodes import Server
from models.domain.plans import Plan, PlannedSeries
from models.domain.refs import InstanceFound, Level, Selection, SeriesFound, StudyRef
from services import planning
from services.gateway.terms import Wanted
from services.planning import Detail
from services.searching.visits import Visit
from services.streams import Parcel, Stream

PATIENCE_S = 20.0
"""How long an instance may wait for room before the connection is broken off: Orthanc ends one after 30 s of silence.
What is missing then is asked for again once there is room."""

_BREAKS = (Unreachable, AssociationRejected, TimedOut)
"""After these the server is not asked for the next series."""


class Fetcher:
    """Lists, then fetches. ``begin`` is called with the plan before anything is fetched, in the same thread.

    Ends the stream: closed when everything that the source lists has been put on it, else stopped with the error.
    """

    def __init__(
        self,
        visit: Visit,
        server: Server,
        local: Local,
        wanted: Wanted,
        excluded_modalities: Collection[str],
        stream: Stream,
        begin: Callable[[Plan], None],
    ) -> None:
        self._visit = visit
        self._server = server
        self._local = local
        self._wanted = wanted
        self._excluded_modalities = excluded_modalities
        self._stream = stream
        self._begin = begin
        self._seen: set[str] = set()
        self.unlisted: set[str] = set()
        """SOP Instance UIDs of what the source has sent without having been asked for it: nobody gets it."""
        self._thread = threading.Thread(target=self._run, name="gateway-fetcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the end, which comes soon once the visit and the stream are stopped."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            with self._visit:
                self._fetch()
            self._stream.close()
        except BaseException as error:  # it is raised in whoever reads
            self._stream.stop(error)

    def _fetch(self) -> None:
        plan = self._plan(Detail.SAMPLES if choose.negotiates_classes(self._server) else Detail.NOTHING)
        self._begin(plan)
        refusal = self._fetch_missing(plan)
        if self._missing(plan) and self._helps_again(refusal):
            refusal = self._fetch_missing(self._known_better(plan)) or refusal
        if missing := self._missing(plan):
            raise refusal or Incomplete(f"The source has sent all it will, and {missing} listed instances are missing.")
        if refusal is not None and plan.expected is None:
            raise refusal

    def _plan(self, detail: Detail) -> Plan:
        with self._visit.using(choose.finder(self._server, self._local)) as finder:
            return _plan_of(self._server, finder, self._wanted, self._excluded_modalities, detail)

    def _known_better(self, plan: Plan) -> Plan:
        """The same instances, each with its own SOP class: that a series has only one may have been a wrong guess."""
        if not choose.negotiates_classes(self._server):
            return plan
        found = self._plan(Detail.ALL)
        expected = plan.expected or frozenset()
        series = tuple(_only(planned, expected) for planned in found.series)
        return replace(found, series=series, every_series=False)

    def _fetch_missing(self, plan: Plan) -> AditError | None:
        """Fetch what has not come yet, however often the reader lets the connection stall; return the first refusal.

        A reader who is slow has no place in the server's budget meanwhile.
        """
        while True:
            try:
                return self._ask_for_missing(plan)
            except Stalled:
                with self._visit.vacated():
                    self._stream.wait_for_room()

    def _ask_for_missing(self, plan: Plan) -> AditError | None:
        refusal: AditError | None = None
        with self._visit.using(choose.retriever(self._server, self._local)) as retriever:
            for selection in self._selections(plan):
                try:
                    retriever.retrieve(selection, lambda instance: self._take(plan, instance))
                except (NotFound, PeerError) as error:
                    refusal = refusal or error
                    if isinstance(error, _BREAKS):
                        break
        return refusal

    def _selections(self, plan: Plan) -> list[Selection]:
        found = list(plan.selections(frozenset(self._seen)))
        if self._wanted.level is not Level.IMAGE:
            return found
        return [replace(selection, level=Level.IMAGE, sop_uids=(self._wanted.sop_uid,)) for selection in found]

    def _take(self, plan: Plan, instance: EncodedInstance) -> None:
        uid = instance.sop_uid
        if uid in self._seen:
            return
        expected = plan.expected
        if expected is None or uid in expected:
            self._stream.put(Parcel(uid, instance))
        else:
            self.unlisted.add(uid)
        self._seen.add(uid)

    def _missing(self, plan: Plan) -> int:
        expected = plan.expected
        if expected is not None:
            return len(expected - self._seen)
        return max((plan.announced_count or 0) - len(self._seen), 0)

    def _helps_again(self, refusal: AditError | None) -> bool:
        """Whether to ask once more; a server from which nothing has come within its time is not waited for again."""
        if refusal is None:
            return True
        return refusal.retry is Retry.SOON and (bool(self._seen) or not isinstance(refusal, _BREAKS))


def _plan_of(server: Server, finder: Finder, wanted: Wanted, excluded: Collection[str], detail: Detail) -> Plan:
    """What the source lists of it now. Raises NotFound, Excluded when only excluded modalities are there."""
    if server.patient_root_find_support and not server.study_root_find_support:
        raise Unsupported(
            f"{server.name} knows studies only together with their patient, whom an address of DICOMweb does not name."
        )
    series_uids = (wanted.series_uid,) if wanted.series_uid else ()
    found = planning.outline(server, finder, StudyRef(wanted.study_uid), series_uids, excluded)
    if not found.taken:
        raise _nothing(found)
    return Plan(
        study=found.study,
        series=tuple(_planned(finder, found.ref, series, wanted, detail) for series in found.taken),
        left_out=found.left_out,
        every_series=not series_uids,
    )


def _planned(finder: Finder, study: StudyRef, series: SeriesFound, wanted: Wanted, detail: Detail) -> PlannedSeries:
    if not wanted.sop_uid:
        return planning.planned(finder, study, series, detail)
    try:
        found = tuple(finder.find_instances(study, series.series_uid, sop_uid=wanted.sop_uid))
    except Unsupported:
        found = (InstanceFound(series.series_uid, wanted.sop_uid),)
    if not any(instance.sop_uid == wanted.sop_uid for instance in found):
        raise NotFound("The source does not have this instance.")
    only = tuple(instance for instance in found if instance.sop_uid == wanted.sop_uid)
    return PlannedSeries(replace(series, instance_count=1), only)


def _nothing(found: planning.Outline) -> AditError:
    if not found.left_out:
        return NotFound("The source lists no series of this study.")
    reasons = sorted({left.reason for left in found.left_out})
    return Excluded(f"Nothing is left to send: {' '.join(reasons)}")


def _only(planned: PlannedSeries, sop_uids: Collection[str]) -> PlannedSeries:
    """The series with no other instances than these, or as it is when nothing was listed before."""
    if not sop_uids or planned.instances is None:
        return planned
    return PlannedSeries(planned.series, tuple(one for one in planned.instances if one.sop_uid in sop_uids))
