"""What the archive does on one association: store, find, and send instances here or elsewhere."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from pydicom import Dataset
from pydicom.uid import UID

from deployments.archive.identifiers import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    NATIVE,
    DecodingError,
    answer_to,
    decoded,
    encoded,
    transcoded,
)
from deployments.archive.index import LEVELS, UNIQUE_KEYS, Index, Stored, key_values
from deployments.archive.wire import RESPONSE, Command, Context, Element, Message, Values, Wire, WireError, connect
from models.domain.errors import Unreadable
from models.domain.instances import EncodedInstance
from models.domain.refs import Level

VERIFICATION = "1.2.840.10008.1.1"
PATIENT_ROOT = "1.2.840.10008.5.1.4.1.2.1."
STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2."
_QUERY_MODELS = frozenset(root + service for root in (PATIENT_ROOT, STUDY_ROOT) for service in "123")
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_STANDARD = "1.2.840.10008."
_MAX_CONTEXTS = 128

SUCCESS, PENDING, CANCELED = 0x0000, 0xFF00, 0xFE00
OUT_OF_RESOURCES, NO_SUB_OPERATIONS, UNKNOWN_DESTINATION = 0xA700, 0xA702, 0xA801
NOT_MATCHING, SOME_FAILED, CANNOT_UNDERSTAND, NOT_RECOGNIZED = 0xA900, 0xB000, 0xC000, 0x0211
"""Status codes of PS3.4 tables B.2-1, C.4-1, C.4-2, C.4-3 and PS3.7 annex C."""

Destinations = Mapping[str, tuple[str, int]]
"""AE title -> host and port of whom the archive may send to."""


@dataclass(slots=True)
class _Tally:
    """Sub-operations of one C-GET or C-MOVE (PS3.7 section 9.1.3)."""

    remaining: int
    completed: int = 0
    warning: int = 0
    failed_uids: list[str] = field(default_factory=list[str])

    def count(self, sop_uid: str, status: int) -> None:
        self.remaining -= 1
        if status == SUCCESS:
            self.completed += 1
        elif status & 0xF000 == 0xB000:
            self.warning += 1
        else:
            self.failed_uids.append(sop_uid)

    @property
    def values(self) -> dict[int, int | str]:
        return {
            Element.REMAINING: self.remaining,
            Element.COMPLETED: self.completed,
            Element.WARNING: self.warning,
            Element.FAILED: len(self.failed_uids),
        }

    @property
    def status(self) -> int:
        if not self.failed_uids:
            return SUCCESS
        return SOME_FAILED if self.completed or self.warning else NO_SUB_OPERATIONS


class Session:
    """Serves one association until the peer leaves."""

    def __init__(self, wire: Wire, ae_title: str, index: Index, destinations: Destinations) -> None:
        self._wire = wire
        self._ae_title = ae_title
        self._index = index
        self._destinations = destinations
        self._was_canceled = False
        self._services: dict[int, Callable[[Message], None]] = {
            Command.ECHO: self._echo,
            Command.STORE: self._store,
            Command.FIND: self._find,
            Command.GET: self._get,
            Command.MOVE: self._move,
        }

    def serve(self) -> None:
        """Raises WireError when the peer breaks off, or refuses to speak as DICOM wants it."""
        self._wire.accept(self._ae_title, self._choose)
        while (message := self._wire.receive()) is not None:
            if message.command == Command.CANCEL or message.command & RESPONSE:
                continue
            self._was_canceled = False
            self._services.get(message.command, self._refuse)(message)

    def _choose(self, context: Context) -> str | None:
        """The syntax in which most instances of the class are stored, so that C-GET sends them as they are."""
        if not context.transfer_syntaxes or not _is_supported(context.abstract_syntax):
            return None
        if context.abstract_syntax == VERIFICATION or context.abstract_syntax in _QUERY_MODELS:
            known = [uid for uid in (EXPLICIT, IMPLICIT, BIG_ENDIAN) if uid in context.transfer_syntaxes]
            return next(iter(known), None)
        stored = [uid for uid in self._index.syntaxes(context.abstract_syntax) if uid in context.transfer_syntaxes]
        return next(iter(stored), context.transfer_syntaxes[0])

    def _answer(self, request: Message, status: int, values: Values | None = None, data: bytes = b"") -> None:
        self._wire.send(
            request.context_id,
            {
                Element.SOP_CLASS: request.text(Element.SOP_CLASS),
                Element.COMMAND: request.command | RESPONSE,
                Element.ANSWERED_MESSAGE_ID: request.number(Element.MESSAGE_ID),
                Element.STATUS: status,
                **(values or {}),
            },
            (data,) if data else (),
        )

    def _refuse(self, request: Message) -> None:
        self._answer(request, NOT_RECOGNIZED)

    def _echo(self, request: Message) -> None:
        self._answer(request, SUCCESS)

    def _store(self, request: Message) -> None:
        sop_uid = request.text(Element.SOP_INSTANCE)
        instance = EncodedInstance(
            request.text(Element.SOP_CLASS), sop_uid, self._syntax_of(request), (memoryview(request.data),)
        )
        try:
            self._index.add(instance)
            status = SUCCESS
        except Unreadable:
            status = CANNOT_UNDERSTAND
        except OSError:
            status = OUT_OF_RESOURCES
        self._answer(request, status, {Element.SOP_INSTANCE: sop_uid})

    def _find(self, request: Message) -> None:
        asked = self._question(request)
        if asked is None:
            return
        identifier, level = asked
        for found in self._index.find(level, key_values(identifier)):
            if self._is_canceled(request):
                self._answer(request, CANCELED)
                return
            answer = answer_to(identifier, found, self._ae_title)
            self._answer(request, PENDING, data=encoded(answer, self._syntax_of(request)))
        self._answer(request, SUCCESS)

    def _get(self, request: Message) -> None:
        chosen = self._selection(request)
        if chosen is not None:
            self._send_all(request, chosen, self._wire, {})

    def _move(self, request: Message) -> None:
        chosen = self._selection(request)
        if chosen is None:
            return
        title = request.text(Element.MOVE_DESTINATION)
        if title not in self._destinations:
            self._answer(request, UNKNOWN_DESTINATION)
            return
        originator: dict[int, int | str] = {
            Element.ORIGINATOR_AE_TITLE: self._wire.calling,
            Element.ORIGINATOR_MESSAGE_ID: request.number(Element.MESSAGE_ID),
        }
        try:
            there = connect(*self._destinations[title], title, self._ae_title, _contexts_for(chosen))
        except WireError:
            tally = _Tally(0, failed_uids=[one.sop_uid for one in chosen])
            self._end(request, tally)
            return
        try:
            self._send_all(request, chosen, there, originator)
        finally:
            there.release()

    def _send_all(self, request: Message, chosen: Collection[Stored], target: Wire, originator: Values) -> None:
        """Send instances one after the other and report each, until all are sent or the peer cancels."""
        tally = _Tally(len(chosen))
        for number, one in enumerate(chosen, start=1):
            if self._is_canceled(request):
                self._end(request, tally, is_canceled=True)
                return
            tally.count(one.sop_uid, self._send_one(one, number, target, originator))
            self._answer(request, PENDING, tally.values)
        self._end(request, tally)

    def _send_one(self, one: Stored, number: int, target: Wire, originator: Values) -> int:
        """The status that the receiver gave, or that stands for what kept the instance from being sent.

        A receiver of a C-MOVE that breaks off fails what is left; on a C-GET it is the peer itself that is gone.
        """
        try:
            sending = _as_accepted(one.read(), target)
        except (OSError, Unreadable):
            return CANNOT_UNDERSTAND
        if sending is None:
            return NOT_MATCHING
        instance, context_id = sending
        try:
            target.send(context_id, _store_request(instance, number, originator), instance.parts)
            answer = self._store_answer(target)
        except WireError:
            if target is self._wire:
                raise
            return OUT_OF_RESOURCES
        return OUT_OF_RESOURCES if answer is None else answer.number(Element.STATUS)

    def _store_answer(self, target: Wire) -> Message | None:
        """The C-STORE response; on a C-GET the peer may have sent C-CANCEL before it."""
        while (said := target.receive()) is not None and said.command == Command.CANCEL:
            self._was_canceled = True
        return said

    def _end(self, request: Message, tally: _Tally, is_canceled: bool = False) -> None:
        failed = Dataset()
        failed.FailedSOPInstanceUIDList = tally.failed_uids
        status = CANCELED if is_canceled else tally.status
        values = tally.values
        if not is_canceled:
            del values[Element.REMAINING]
        data = encoded(failed, self._syntax_of(request)) if status != SUCCESS and tally.failed_uids else b""
        self._answer(request, status, values, data)

    def _question(self, request: Message) -> tuple[Dataset, Level] | None:
        """The identifier and its level, or None after the request was refused."""
        try:
            identifier = decoded(request.data, self._syntax_of(request))
            level = Level(str(identifier.get("QueryRetrieveLevel", "")))
        except (DecodingError, ValueError):
            self._answer(request, CANNOT_UNDERSTAND)
            return None
        if level is Level.PATIENT and not request.text(Element.SOP_CLASS).startswith(PATIENT_ROOT):
            self._answer(request, NOT_MATCHING)
            return None
        return identifier, level

    def _selection(self, request: Message) -> list[Stored] | None:
        """Instances named by the unique keys down to the level asked, or None after the request was refused."""
        asked = self._question(request)
        if asked is None:
            return None
        identifier, level = asked
        keys = key_values(identifier)
        names = [UNIQUE_KEYS[one] for one in LEVELS[: LEVELS.index(level) + 1]]
        if not keys.get(UNIQUE_KEYS[level]):
            self._answer(request, NOT_MATCHING)
            return None
        return self._index.select({name: keys[name] for name in names if keys.get(name)})

    def _is_canceled(self, request: Message) -> bool:
        if self._was_canceled or not self._wire.is_readable():
            return self._was_canceled
        said = self._wire.receive()
        if said is None:
            raise WireError("The peer released the association in the middle of an answer.")
        of_this = said.number(Element.ANSWERED_MESSAGE_ID) == request.number(Element.MESSAGE_ID)
        return said.command == Command.CANCEL and of_this

    def _syntax_of(self, request: Message) -> str:
        context = self._wire.accepted.get(request.context_id)
        if context is None:
            raise WireError("A message came in a context that was not accepted.")
        return context.transfer_syntaxes[0]


def _is_supported(abstract_syntax: str) -> bool:
    """Verification, the query models, and everything that can be stored, private classes too."""
    if abstract_syntax == VERIFICATION or abstract_syntax in _QUERY_MODELS:
        return True
    if abstract_syntax.startswith(_STORAGE) or not abstract_syntax.startswith(_STANDARD):
        return True
    return UID(abstract_syntax).name.endswith("Storage")


def _store_request(instance: EncodedInstance, number: int, originator: Values) -> Values:
    return {
        Element.SOP_CLASS: instance.sop_class_uid,
        Element.COMMAND: Command.STORE,
        Element.MESSAGE_ID: number % 0x10000,
        Element.PRIORITY: 0,
        Element.SOP_INSTANCE: instance.sop_uid,
        **originator,
    }


def _as_accepted(instance: EncodedInstance, target: Wire) -> tuple[EncodedInstance, int] | None:
    """The instance and a context for it: as it is stored, else in another native syntax, else None."""
    context_id = target.context_for(instance.sop_class_uid, instance.transfer_syntax_uid)
    if context_id is not None:
        return instance, context_id
    if instance.transfer_syntax_uid in NATIVE:
        for syntax in (EXPLICIT, IMPLICIT):
            context_id = target.context_for(instance.sop_class_uid, syntax)
            if context_id is not None:
                return transcoded(instance, syntax), context_id
    return None


def _contexts_for(chosen: Iterable[Stored]) -> list[Context]:
    """One context for each class and syntax that occurs, and implicit VR, which everybody must accept."""
    pairs = {(one.sop_class_uid, one.transfer_syntax_uid): None for one in chosen}
    native = {(sop_class, IMPLICIT): None for sop_class, syntax in pairs if syntax in NATIVE}
    contexts = [Context(0, sop_class, (syntax,)) for sop_class, syntax in (pairs | native)]
    return [replace(context, id=2 * n + 1) for n, context in enumerate(contexts[:_MAX_CONTEXTS])]
