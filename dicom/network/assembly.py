"""Puts a DIMSE message together from the presentation data values of its P-DATA PDUs (PS3.7 section 6.3.1, PS3.8 E).

For associations that we open and for those that a peer opens to us. Reads within fixed limits and keeps no data set.
"""

from collections.abc import Callable
from io import BytesIO
from typing import Generic, TypeVar

from dicom.network.commands import LARGEST_BYTES, Message, decoded
from dicom.network.pdus import (
    ABORT,
    IS_COMMAND,
    IS_LAST,
    P_DATA,
    RELEASE_REQUEST,
    RELEASE_RESPONSE,
    RELEASE_RESPONSE_PDU,
    ConnectionEnded,
    PduSocket,
    Target,
)
from models.domain.errors import PeerLied

LARGEST_PDU_BYTES = 64 << 20
"""Of a P-DATA PDU. Its values are passed on as they come, so more than we announced does no harm within reason."""
LARGEST_DATA_SET_BYTES = 1 << 40
"""A mere bound: how much of a data set may be kept is for its target to say."""
_VALUE_HEAD_BYTES = 6

T = TypeVar("T", bound=Target)


class Assembly(Generic[T]):
    """One message in the making.

    Parameters
    ----------
    name
        Of the peer, for errors.
    check_context
        Raises PeerLied for the number of a presentation context that was not accepted.
    begin_data_set
        Called with the message and its context's number when its command set says that a data set follows; returns
        what the data set's bytes are written to. What becomes of it when the message stays incomplete is the caller's.
    most_bytes
        Of a data set.
    """

    def __init__(
        self,
        name: str,
        check_context: Callable[[int], object],
        begin_data_set: Callable[[Message, int], T],
        most_bytes: int = LARGEST_DATA_SET_BYTES,
    ) -> None:
        self._name = name
        self._check_context = check_context
        self._begin_data_set = begin_data_set
        self._most_bytes = most_bytes
        self._context_id: int | None = None
        self._command = BytesIO()
        self._message: Message | None = None
        self._data_set: T | None = None
        self._data_set_bytes = 0

    def read(self, wire: PduSocket) -> tuple[Message, int, T | None]:
        """The next message of the connection, its context's number, and what its data set was written to, if any.

        Agrees to a release. Raises ConnectionEnded for that, for an abort and for the end of the connection, PeerLied
        for nonsense, OSError with TimeoutError as the socket does, and what the data set's target raises.
        """
        while True:
            kind, left = wire.head()
            if kind == RELEASE_REQUEST:
                wire.write((RELEASE_RESPONSE_PDU,))
                raise ConnectionEnded
            if kind != P_DATA or not _VALUE_HEAD_BYTES <= left <= LARGEST_PDU_BYTES:
                raise ConnectionEnded if kind in {RELEASE_RESPONSE, ABORT} else self._nonsense()
            while left:
                length, context_id, control = wire.value_head() if left >= _VALUE_HEAD_BYTES else (0, 0, 0)
                left -= length + 4
                if length < 2 or left < 0:
                    raise self._nonsense()
                message = self._take(wire, length - 2, context_id, control)
                if message is not None:
                    if left:
                        raise self._nonsense()
                    return message, context_id, self._data_set

    def _take(self, wire: PduSocket, size: int, context_id: int, control: int) -> Message | None:
        """Take a value of so many bytes; the message when it is complete."""
        self._stay_in(context_id)
        is_command, is_last = bool(control & IS_COMMAND), bool(control & IS_LAST)
        if is_command is not (self._message is None):
            raise self._nonsense()
        if self._data_set is None:
            return self._take_command(wire, size, context_id, is_last)
        self._data_set_bytes += size
        if self._data_set_bytes > self._most_bytes:
            raise self._nonsense()
        wire.pass_on(size, self._data_set)
        return self._message if is_last else None

    def _take_command(self, wire: PduSocket, size: int, context_id: int, is_last: bool) -> Message | None:
        """Take a piece of the command set; the message when that is all of it."""
        if self._command.tell() + size > LARGEST_BYTES:
            raise self._nonsense()
        wire.pass_on(size, self._command)
        if not is_last:
            return None
        self._message, follows = decoded(self._command.getvalue())
        if not follows:
            return self._message
        self._data_set = self._begin_data_set(self._message, context_id)
        return None

    def _stay_in(self, context_id: int) -> None:
        """All values of a message belong to one accepted context."""
        if context_id == self._context_id:
            return
        self._check_context(context_id)
        if self._context_id is not None:
            raise self._nonsense()
        self._context_id = context_id

    def _nonsense(self) -> PeerLied:
        """The error for what no peer should send."""
        return PeerLied(f"{self._name} sent something that is no DICOM message.")
