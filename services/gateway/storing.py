"""STOW-RS: instances go to any server that somebody may write to, as the bytes they are, over whatever it speaks.

Nothing is kept: an instance is sent on as soon as it has arrived, and only one at a time waits.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeVar

from dicom.network import choose, multipart
from dicom.network.dicom_json import Item, element
from dicom.network.multipart import HeadTooLong
from dicom.network.ports import Sender
from dicom.network.status import CANNOT_UNDERSTAND, OUT_OF_RESOURCES
from dicom.network.stow import PROCESSING_FAILURE
from dicom.part10 import split_part10
from dicom.place import Place, place_of
from models.db.engine import Database
from models.domain.audit import AuditAction
from models.domain.errors import (
    OUT_OF_REACH,
    AditError,
    BadRequest,
    Canceled,
    NoSpace,
    PeerBusy,
    PeerError,
    ServerStopped,
    TargetError,
    TimedOut,
    Unreadable,
)
from models.domain.instances import LARGEST_BYTES, EncodedInstance, Verdict
from models.domain.nodes import Server
from models.domain.people import Actor, Permission
from models.domain.refs import is_uid
from models.settings import Settings
from services.gateway import access, addresses
from services.local_side import local_side
from services.searching import search_access
from services.searching.visits import Visit

B = TypeVar("B", bound=BadRequest)

DOES_NOT_MATCH = 0xA900
"""The data set does not fit what is said about it (PS3.4 table B.2-1): another study than the address, another UID."""

_MOST_FAILURES = 3
"""In a row, after which a server is not asked any more."""
_MOST_STUDIES_TOLD = 50
MOST_PARTS = 100_000
LONGEST_REST_S = 4.0
"""How long a connection to the server waits for the next instance of a caller who is slow."""
_TYPE = re.compile(r'\btype\s*=\s*(?:"application/dicom"|application/dicom\s*(?:;|$))', re.IGNORECASE)


class WrongType(BadRequest):
    """The body must be multipart/related; type="application/dicom"."""


class TooLarge(BadRequest):
    """The body, or a part of it, is larger than any can sensibly be."""


@dataclass(slots=True)
class Stored:
    """What has become of each instance: a Store Instances Response (PS3.18 annex I).

    ``unnamed_count`` are parts of the body that are no DICOM files, or name themselves by what is no UID, so that
    nothing can be said about which they were.
    """

    study_uids: Counter[str] = field(default_factory=Counter[str])
    stored: list[Item] = field(default_factory=list[Item])
    failed: list[Item] = field(default_factory=list[Item])
    unnamed_count: int = 0
    has_warnings: bool = False
    retrieve_url: str = ""

    @property
    def count(self) -> int:
        """How many parts the body had."""
        return len(self.stored) + len(self.failed) + self.unnamed_count

    @property
    def status(self) -> int:
        """The HTTP status that sums it up (PS3.18 table 10.5.3-1)."""
        if not self.stored:
            return 409
        return 202 if self.failed or self.unnamed_count or self.has_warnings else 200

    def item(self) -> Item:
        """The response in the DICOM JSON model."""
        others = [{"00081197": element("US", [CANNOT_UNDERSTAND])}] * self.unnamed_count
        sequences = {"00081198": self.failed, "00081199": self.stored, "0008119A": others}
        url = {"00081190": element("UR", self.retrieve_url)} if self.retrieve_url else {}
        return url | {tag: element("SQ", entries) for tag, entries in sequences.items() if entries}

    def __str__(self) -> str:
        return f"{len(self.stored)} of {self.count} instances stored"


def storage(
    db: Database, settings: Settings, actor: Actor, ae_title: str, content_type: str, study_uid: str = ""
) -> "Storage":
    """A storage that begins when it is run. ``study_uid`` names the only study whose instances are wanted.

    Raises at once, before anything of the body is read: what ``access.destination`` raises, WrongType, or BadRequest
    without a boundary and for what is no UID.
    """
    server = access.destination(db, actor, ae_title)
    if study_uid and not is_uid(study_uid):
        raise BadRequest.of({"study": "this is no DICOM UID."})
    return Storage(db, settings, actor, server, _boundary(content_type), study_uid)


class Storage:
    """One storage of all that a body brings."""

    def __init__(
        self, db: Database, settings: Settings, actor: Actor, server: Server, boundary: bytes, study_uid: str
    ) -> None:
        self._db = db
        self._settings = settings
        self._actor = actor
        self._server = server
        self._boundary = boundary
        self._study_uid = study_uid
        self._report = Stored()
        self._visit = Visit(db, server, has_place=True)
        self._local = local_side(settings)
        self._details: dict[str, str] = {}

    def may_go_on(self) -> bool:
        """Whether whose storage it is may still store there."""
        return access.may_go_on(self._db, self._actor, self._server, Permission.WEB_STORE)

    def run(self, chunks: Iterable[bytes]) -> Stored:
        """Send on every instance in the body, and tell what has become of each; whatever the chunks raise ends it.

        Takes one place in the server's association budget, when the first instance is there, and gives it back while
        nothing comes for a few seconds; ``chunks`` may be empty so that this is noticed. What goes wrong with the
        server before it has said a word about any instance is raised as PeerError kinds; from then on it is told of
        each instance that was not stored. Raises BadRequest when the body is no multipart message to its end, or has
        no part, TooLarge, NoSpace when an instance does not fit on our disk, ServerStopped when staff stops the server.
        """
        report = self._report
        with search_access.recorded(
            self._db, self._actor, self._server, lambda: str(report), self._details, AuditAction.WEB_STORE
        ):
            with _Delivery(self._visit, lambda: choose.sender(self._server, self._local)) as delivery:
                try:
                    for part in self._parts(_watched(chunks, delivery)):
                        self._take(part, delivery)
                except ServerStopped as stopped:
                    raise ServerStopped(f"{stopped.message} {self._so_far()}") from stopped
            if not report.count:
                raise _of_the_body(BadRequest, "The body has no part, so nothing was stored.")
            report.retrieve_url = self._study_url()
        return report

    def _parts(self, chunks: Iterable[bytes]) -> Iterator[memoryview]:
        found = multipart.parts(chunks, self._boundary, self._local.scratch_dir, check=self._check_room)
        while True:
            try:
                part = next(found, None)
            except TimedOut:
                raise
            except HeadTooLong as error:
                raise self._too_large(error.message) from error
            except PeerError as error:
                sentence = f"The body is not a complete multipart message. {self._so_far()}"
                raise _of_the_body(BadRequest, sentence) from error
            if part is None:
                return
            if self._report.count >= MOST_PARTS:
                raise self._too_large(f"The body has more than {MOST_PARTS:,} parts.")
            yield part

    def _check_room(self, size_bytes: int) -> None:
        """Raise TooLarge for a part that is larger than any instance, NoSpace when others need what is left."""
        if size_bytes > LARGEST_BYTES:
            raise self._too_large(f"A part of the body is larger than {LARGEST_BYTES >> 30} GiB.")
        self._local.check_room(size_bytes)

    def _too_large(self, reason: str) -> TooLarge:
        return _of_the_body(TooLarge, f"{reason} {self._so_far()}")

    def _take(self, part: memoryview, delivery: "_Delivery") -> None:
        try:
            instance = split_part10(part)
        except Unreadable:
            self._report.unnamed_count += 1
            return
        if not is_uid(instance.sop_uid) or not is_uid(instance.sop_class_uid):
            self._report.unnamed_count += 1
            return
        place = _place(instance)
        reason, is_warning = self._objection(instance, place), False
        if not reason:
            reason, is_warning = delivery.delivered(instance)
        self._note(instance, place, reason, is_warning)

    def _objection(self, instance: EncodedInstance, place: Place | None) -> int:
        """Why an instance is not even sent, as a failure reason; 0 for none.

        Without a study in the address an instance whose place cannot be read is the server's to judge. A syntax that is
        no UID is proposed to none: it may be anything, and libraries write such values into logs.
        """
        if not is_uid(instance.transfer_syntax_uid):
            return CANNOT_UNDERSTAND
        if place is None:
            return CANNOT_UNDERSTAND if self._study_uid else 0
        is_elsewhere = self._study_uid not in ("", place.study_uid)
        return DOES_NOT_MATCH if is_elsewhere or place.sop_uid != instance.sop_uid else 0

    def _note(self, instance: EncodedInstance, place: Place | None, reason: int, is_warning: bool) -> None:
        entry = {
            "00081150": element("UI", instance.sop_class_uid),
            "00081155": element("UI", instance.sop_uid),
        }
        if reason and not is_warning:
            self._report.failed.append(entry | {"00081197": element("US", [reason])})
            return
        if reason:
            self._report.has_warnings = True
            entry["00081196"] = element("US", [reason])
        if place is not None:
            uids = (place.study_uid, place.series_uid, place.sop_uid)
            entry["00081190"] = element("UR", addresses.retrieve_url(self._settings, self._server, *uids))
            self._tell(place.study_uid)
        self._report.stored.append(entry)

    def _tell(self, study_uid: str) -> None:
        """Remember the study, for the response and the audit trail."""
        self._report.study_uids[study_uid] += 1
        if len(self._report.study_uids) <= _MOST_STUDIES_TOLD:
            self._details["study_uids"] = " ".join(self._report.study_uids)

    def _study_url(self) -> str:
        """Where the study can be retrieved, if there is one and no other."""
        uid, *others = self._report.study_uids or ("",)
        return addresses.retrieve_url(self._settings, self._server, uid) if uid and not others else ""

    def _so_far(self) -> str:
        return f"Instances stored before that: {len(self._report.stored)}."


class _Delivery:
    """Sends one instance after the other over one connection, which is opened for the first, and after a rest again."""

    def __init__(self, visit: Visit, new_sender: Callable[[], Sender]) -> None:
        self._visit = visit
        self._new_sender = new_sender
        self._stack = ExitStack()
        self._sender: Sender | None = None
        self._used_at = 0.0
        self._has_answered = False
        self._failures = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._sender = None
        self._stack.__exit__(kind, error, traceback)

    def rest(self) -> None:
        """Give the connection and its place back when nothing was sent for a while."""
        if self._sender is not None and time.monotonic() - self._used_at > LONGEST_REST_S:
            self._sender = None
            self._stack.close()

    def delivered(self, instance: EncodedInstance) -> tuple[int, bool]:
        """What the server says: a reason, and whether it is but a warning; 0 when all is well.

        Raises what goes wrong before the first answer, and Canceled.
        """
        if self._failures >= _MOST_FAILURES:
            return PROCESSING_FAILURE, False
        try:
            reason, is_warning = self._answer(instance)
        except (PeerError, TargetError) as error:
            return self._reason(error), False
        self._has_answered, self._failures = True, 0
        return reason, is_warning

    def _answer(self, instance: EncodedInstance) -> tuple[int, bool]:
        sender = self._sender or self._open()
        self._visit.check()
        try:
            outcome = sender.send(instance)
        except Canceled:
            self._visit.check()
            raise
        finally:
            self._used_at = time.monotonic()
        if outcome.verdict is Verdict.REFUSED:
            return outcome.status or PROCESSING_FAILURE, False
        return outcome.status, outcome.verdict is Verdict.STORED_WITH_WARNING

    def _open(self) -> Sender:
        with ExitStack() as stack:
            stack.enter_context(self._visit)
            self._sender = stack.enter_context(self._visit.using(self._new_sender()))
            self._stack = stack.pop_all()
        return self._sender

    def _reason(self, error: AditError) -> int:
        """The failure reason for an error of the server; raises it where nobody has been told anything yet."""
        if not self._has_answered:
            raise error
        self._failures = _MOST_FAILURES if isinstance(error, OUT_OF_REACH) else self._failures + 1
        return OUT_OF_RESOURCES if isinstance(error, PeerBusy | NoSpace) else PROCESSING_FAILURE


def _watched(chunks: Iterable[bytes], delivery: _Delivery) -> Iterator[bytes]:
    for chunk in chunks:
        delivery.rest()
        yield chunk


def _of_the_body(kind: type[B], sentence: str) -> B:
    """The error, which names the body as what is wrong."""
    error = kind(sentence)
    error.problems = {"body": sentence}
    return error


def _place(instance: EncodedInstance) -> Place | None:
    try:
        return place_of(instance)
    except AditError:
        return None


def _boundary(content_type: str) -> bytes:
    media_type, _, parameters = content_type.partition(";")
    if media_type.strip().lower() != "multipart/related" or not _TYPE.search(parameters):
        raise WrongType
    try:
        return multipart.boundary_of(parameters)
    except PeerError as error:
        raise BadRequest.of({"Content-Type": "it names no boundary."}) from error
