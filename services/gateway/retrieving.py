"""What programs retrieve through the DICOMweb gateway: instances as they may leave, while the source still sends.

Nothing is kept: an instance is treated and handed on as soon as it has arrived, and no more than a few wait.
"""

from collections import Counter
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from dicom import part10
from dicom.deid.engine import Deidentifier
from dicom.deid.identity import check_belongs
from dicom.mapping import give_back
from dicom.metadata import metadata_of
from models.db.engine import Database
from models.domain.audit import BEGUN, DONE, AuditAction
from models.domain.errors import AditError, Bug, Canceled, Excluded, NeedsReview, NotFound, Unsupported
from models.domain.instances import Bytes, EncodedInstance
from models.domain.nodes import Server
from models.domain.people import Actor, Permission
from models.domain.plans import Plan
from models.domain.receipts import instances
from models.settings import Settings
from services import audit, trials
from services.gateway import access, terms
from services.gateway.fetching import PATIENCE_S, Fetcher
from services.gateway.places import Places
from services.gateway.terms import Terms, Wanted
from services.local_side import local_side
from services.searching.visits import Visit
from services.streams import Stream

NOT_LISTED = "The source sent it without having listed it as a part of what was asked for."
"""Why an instance is left out that may belong to another patient."""
_JOIN_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """What has become of everything that the source has of it, to be told at the end.

    ``expected`` is None when the source cannot list its instances. ``left_out`` gives the reason for each instance
    that was not sent, by the SOP Instance UID that it would have had: treated, as all others.
    """

    expected: int | None
    sent: int
    left_out: Mapping[str, str]


class Retrieval(Iterator[EncodedInstance]):
    """One retrieval: the instances as they may leave, in the order in which the source sends them.

    One thread at a time begins and iterates; ``stop`` may come from any. The iteration ends when everything that the
    source lists was given or left out for a reason, and raises otherwise: what was given before is then half of it.
    The context has one of the ``places`` (PeerBusy when there is none) and leaves two lines in the audit trail: that it
    has begun, and how it has ended; one of those that fail before.
    """

    def __init__(
        self,
        db: Database,
        settings: Settings,
        actor: Actor,
        server: Server,
        places: Places,
        wanted: Wanted,
        asked: Terms,
        form: str = "",
        without: Collection[str] = (),
    ) -> None:
        self._place = places.taken(actor.user_id)
        self._db = db
        self._settings = settings
        self._actor = actor
        self._server = server
        self._wanted = wanted
        self._terms = asked
        self._form = form
        self._policy = asked.policy(settings)
        excluded = {*without, *(() if asked.keep_identity else settings.exclude_modalities)}
        self._stream = Stream(_stream_bytes(settings), PATIENCE_S)
        self._visit = Visit(db, server, has_place=True)
        self._fetcher = Fetcher(
            self._visit, server, local_side(settings), wanted, excluded, self._stream, self._begin_with
        )
        self._plan: Plan | None = None
        self._deidentifier: Deidentifier | None = None
        self._first: EncodedInstance | None = None
        self._left_out: dict[str, str] = {}
        self._sent = 0
        self._outcome = Canceled.__name__
        self._is_told = False

    def begin(self) -> None:
        """Return when the first instance may leave, so that a failure before that is told instead of an answer.

        Raises NotFound, PeerError kinds, IdentityConflict, DeidError kinds; Excluded or NeedsReview when nothing of it
        may leave.
        """
        self._fetcher.start()
        with self._noted():
            self._first = self._next()
            if self._first is None:
                raise self._nothing()
            self._record(BEGUN)  # nothing leaves without a line, not even when this process is killed the next moment

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> EncodedInstance:
        with self._noted():
            found, self._first = self._first or self._next(), None
        if found is None:
            raise StopIteration
        self._sent += 1
        return found

    @property
    def warning(self) -> str:
        """What a caller should know from the beginning, for a Warning header: which series are left out, and doubts.

        Empty when there is nothing. Known once it has begun.
        """
        plan = self._known_plan
        reasons = Counter(left.reason for left in plan.left_out).most_common()
        told = [f"{count} series left out: {reason}" for reason, count in reasons]
        if plan.expected is None:
            told.append("The source does not list its instances, so it cannot be told whether these are all.")
        elif (plan.announced_count or 0) > len(plan.expected):
            told.append("The source counts more instances than it lists, so it cannot be told whether these are all.")
        return " ".join(told)

    @property
    def gaps(self) -> str:
        """How many instances were left out, and why, for a Warning header; empty when none was.

        Known once it has ended.
        """
        left_out = self._every_left_out
        return f"Left out: {_with_reasons(left_out)}" if left_out else ""

    @property
    def delivery(self) -> Delivery:
        """What was sent and what was not; complete when the iteration has ended."""
        plan = self._known_plan
        left_out = self._every_left_out
        expected = None if plan.expected is None else len(plan.expected)
        return Delivery(expected, self._sent, {self._target_uid(uid): reason for uid, reason in left_out.items()})

    def may_go_on(self) -> bool:
        """Whether whose retrieval it is may still have it, on these terms."""
        needed = [Permission.WEB_RETRIEVE]
        if self._terms.keep_identity:
            needed.append(Permission.SELECTIVE_UNPSEUDONYMIZED)
        return access.may_go_on(self._db, self._actor, self._server, *needed)

    def check(self) -> None:
        """Raise why it was stopped, if it was."""
        self._visit.check()

    def stop(self, why: AditError | None = None) -> None:
        """Break the connection to the source, from any thread; whoever iterates gets ``why``, else Canceled."""
        error = why or Canceled("The caller has gone.")
        self._visit.stop(error)
        self._stream.stop(error)

    def conclude(self) -> None:
        """Write down that everything was given to the caller, before the last of it."""
        self._outcome = DONE
        self._tell()

    def __enter__(self) -> Self:
        self._place.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._note(error)
        try:
            self.stop()
            self._fetcher.join(_JOIN_WITHIN_S)
            self._tell()
        finally:
            self._place.__exit__(None, None, None)

    def _begin_with(self, plan: Plan) -> None:
        """Be ready to treat what comes; called in the fetching thread, before anything does."""
        if self._policy is not None:
            self._deidentifier = terms.deidentifier(
                self._db, self._settings, self._actor, self._terms, self._policy, plan.study
            )
        self._plan = plan

    def _next(self) -> EncodedInstance | None:
        """The next instance that may leave, None at the end."""
        for parcel in self._stream:
            try:
                return self._treated(parcel.instance)
            except (NeedsReview, Excluded) as reason:
                self._left_out[parcel.source_uid] = reason.message
            finally:
                give_back(parcel.instance.parts)  # it may wait long until somebody reads on
        return None

    def _treated(self, instance: EncodedInstance) -> EncodedInstance:
        plan = self._known_plan
        check_belongs(instance, plan.ref, {planned.series.series_uid for planned in plan.series})
        if self._terms.keep_identity:
            return instance
        if self._deidentifier is None:
            raise Bug("An instance was about to be sent before there was anything to treat it.")
        return self._deidentifier.instance(instance)

    @property
    def _every_left_out(self) -> Mapping[str, str]:
        """The reason for each instance that was not given, by its UID at the source."""
        return {**self._left_out, **dict.fromkeys(self._fetcher.unlisted, NOT_LISTED)}

    def _target_uid(self, uid: str) -> str:
        return uid if self._deidentifier is None else self._deidentifier.uid(uid)

    @property
    def _known_plan(self) -> Plan:
        if self._plan is None:
            raise Bug("The plan of a retrieval was asked for before there was one.")
        return self._plan

    def _nothing(self) -> AditError:
        if not self._left_out:
            return NotFound("The source lists no instances of it.")
        return Excluded(f"Nothing is left to send: {_with_reasons(self._left_out)}")

    @contextmanager
    def _noted(self) -> Generator[None]:
        try:
            yield
        except BaseException as error:
            self._note(error)
            raise

    def _note(self, error: BaseException) -> None:
        self._outcome = error.code if isinstance(error, AditError) else type(error).__name__

    def _tell(self) -> None:
        """Write how it has ended in the audit trail, once."""
        if not self._is_told:
            self._record(self._outcome)
            self._is_told = True

    def _record(self, outcome: str) -> None:
        """Write a line in the audit trail. What a person typed is encrypted in it."""
        details = {
            "study_uid": self._wanted.study_uid,
            "series_uid": self._wanted.series_uid,
            "sop_uid": self._wanted.sop_uid,
            "pseudonym": self._terms.pseudonym,
            "trial_protocol_id": self._terms.trial_protocol_id,
        }
        given = {name: value for name, value in details.items() if value}
        audit.record(self._db, self._actor, AuditAction.WEB_RETRIEVE, self._subject(), outcome, given)

    def _subject(self) -> str:
        plan = self._plan
        total = f" of {len(plan.expected)}" if plan is not None and plan.expected is not None else ""
        how = "with identity" if self._terms.keep_identity else "pseudonymized"
        words = (f"{self._sent}{total} instances of {self._wanted}", self._form, how)
        told = f"server {self._server.name}: {', '.join(filter(None, words))}"
        left_out = self._every_left_out
        return f"{told}; left out: {_with_reasons(left_out)}" if left_out else told


def retrieval(
    db: Database,
    settings: Settings,
    actor: Actor,
    ae_title: str,
    places: Places,
    wanted: Wanted,
    asked: Terms,
    form: str = "",
    without: Collection[str] = (),
) -> Retrieval:
    """The retrieval of what is wanted, on these terms, before it has begun.

    ``form`` says for the trail as what it leaves, where that is not instances. Series of the modalities ``without`` are
    not retrieved. Raises BadRequest naming what cannot be as it is; NotFound without such a server among the actor's;
    NotPermitted, also for who asks for patients' identity without the right to see it, or for a trial that is used by
    others; WrongState for one that was forgotten; UnderMaintenance, AppLocked;
    Unsupported for a server that cannot be read. Refusals are written down.
    """
    server = access.source(db, actor, ae_title, Permission.WEB_RETRIEVE)
    wanted.check()
    asked.check()
    if asked.keep_identity:
        terms.check_may_keep_identity(db, actor, server)
    trials.check_may_use(db, actor, asked.trial_protocol_id, AuditAction.WEB_RETRIEVE, f"server {server.name}:")
    if not server.can_be_read:
        raise Unsupported(f"The settings of {server.name} do not allow to retrieve from it.")
    return Retrieval(db, settings, actor, server, places, wanted, asked, form, without)


def file_of(instance: EncodedInstance) -> tuple[int, Iterator[Bytes]]:
    """The length in bytes of an instance's file (PS3.10), and its pieces, of which no more than one is in memory."""
    return part10.file_of(instance)


def described(instance: EncodedInstance) -> bytes:
    """The instance as a JSON object without its pixels, of which nothing stays in memory; raises Unreadable."""
    try:
        return metadata_of(instance)
    finally:
        give_back(instance.parts)


def _stream_bytes(settings: Settings) -> int:
    """How much of one retrieval waits to be treated: all of them together hold what one worker may."""
    return max(settings.stream_mb * 1_000_000 // settings.api_retrievals, 1)


def _with_reasons(reasons: Mapping[str, str]) -> str:
    counts = Counter(reasons.values()).most_common()
    return f"{instances(reasons)}. {' '.join(f'{count} x {reason}' for reason, count in counts)}"
