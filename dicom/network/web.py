"""One HTTP connection to a server's DICOMweb services, and the only place where HTTP's troubles become ours.

Nothing of a URL, a query or an answer's body gets into an error text or a log: patients' identifiers stand there.
"""

import logging
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, cast

import httpx

from dicom.network.association import is_tls_refusal, is_tls_trouble, tls_context
from models.domain.errors import (
    AditError,
    Canceled,
    NoSpace,
    PeerBusy,
    PeerError,
    PeerLied,
    TimedOut,
    Unreachable,
    Unsupported,
)
from models.domain.nodes import Server, Tls

_KEEP_ALIVE_S = 30.0
_own_request: ContextVar[bool] = ContextVar("own_request", default=False)


def _is_not_ours(_record: logging.LogRecord) -> bool:
    return not _own_request.get()


# httpx logs every URL with its query, that is with names and patient ids. Other users of httpx keep their log lines.
logging.getLogger("httpx").addFilter(_is_not_ours)


class WebConnection:
    """A kept-alive HTTP/1.1 connection to one DICOMweb service of a server, opened when first used.

    ``prefix`` is what the server puts between its root URL and the resources of this service; ``silence`` is how long
    the server may say nothing. One request at a time: an answer has to be read or closed before the next request.
    Redirects are not followed and proxies of the environment not used, so patient data goes to this server only.
    """

    def __init__(self, server: Server, prefix: str, silence: timedelta) -> None:
        self._server = server
        self.server_name = server.name
        self._prefix = prefix
        self._silence = silence
        self._client: httpx.Client | None = None
        self._socket: socket.socket | None = None
        self._is_aborted = False
        self._lock = threading.Lock()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        content: Iterable[bytes] | None = None,
    ) -> "Answer":
        """Send a request and return the answer, whatever its status, as soon as its head has arrived.

        ``path`` and ``query`` are percent-encoded already. Raises a PeerError kind when there is no answer, Canceled
        after ``abort``.
        """
        self.check()
        if self._client is None:
            self._client = self._connect()
        token = _own_request.set(True)
        try:
            url = self._url(path) + (f"?{query}" if query else "")
            request = self._client.build_request(
                method, url, headers=headers, content=content, extensions={"trace": self._note_socket}
            )
            return Answer(self, self._client.send(request, stream=True))
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as exc:  # UnicodeError: impossible host name
            raise self.translated(exc) from exc
        finally:
            _own_request.reset(token)

    def check(self) -> None:
        """Raise Canceled when the connection was aborted."""
        if self._is_aborted:
            raise Canceled

    def abort(self) -> None:
        """Break the connection from another thread: whoever is blocked on it gets Canceled."""
        with self._lock:
            self._is_aborted = True
            self._shut_socket()

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None

    def translated(self, exc: Exception) -> AditError:
        """The error of our tree for an error of httpx."""
        name = self._server.name
        if self._is_aborted:
            return Canceled()
        is_trouble = is_tls_trouble if isinstance(exc, httpx.ConnectError) else is_tls_refusal
        if any(map(is_trouble, _causes(exc))):
            return Unsupported(f"No TLS connection with {name}. Check certificates, root URL and TLS settings.")
        match exc:
            case httpx.ConnectError() | httpx.ConnectTimeout():
                return Unreachable(f"{name} could not be reached over DICOMweb. Check its root URL.")
            case httpx.TimeoutException():
                return TimedOut(f"{name} did not answer in time over DICOMweb.")
            case UnicodeError() | httpx.InvalidURL() | httpx.UnsupportedProtocol() | httpx.LocalProtocolError():
                return Unsupported(f"No valid request can be made for {name}. Check its root URL and prefixes.")
            case httpx.DecodingError():
                return PeerLied(f"{name} sent an answer that is not encoded as it says.")
            case _:
                return PeerError(f"The DICOMweb connection with {name} broke.")

    def refusal(self, status: int) -> AditError:
        """The error of our tree for an HTTP status that is no success."""
        said = f"{self._server.name} answered with HTTP status {status}."
        if status in (401, 403):
            return Unsupported(f"{said} Check its DICOMweb authorization header and the rights it gives.")
        if status in (404, 405):
            return Unsupported(f"{said} Check its root URL and prefixes.")
        if status in (408, 504):
            return TimedOut(said)
        if status in (429, 503):
            return PeerBusy(said)
        if status == 413:
            return Unsupported(
                f"{said} It, or a proxy in front of it, limits the size of requests. Raise that limit, or use C-STORE."
            )
        if status == 507:
            return NoSpace(said)
        if 300 <= status < 400:
            return Unsupported(f"{said} Redirects are not followed: enter the final root URL.")
        return PeerError(said) if status >= 500 or status == 409 else Unsupported(said)

    def _connect(self) -> httpx.Client:
        timeouts = self._server.timeouts
        connect = timeouts.connect.total_seconds()
        idle = timeouts.idle.total_seconds()
        return httpx.Client(
            headers=self._headers(),
            verify=self._tls_context(),
            timeout=httpx.Timeout(connect=connect, read=self._silence.total_seconds(), write=idle, pool=connect),
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_KEEP_ALIVE_S),
            trust_env=False,
            follow_redirects=False,
        )

    def _headers(self) -> dict[str, str]:
        """Headers of every request. Orthanc compresses whatever it can unless told not to, at a fourth of the speed."""
        authorization = self._server.dicomweb_authorization_header.strip()
        if not authorization.isascii() or not authorization.isprintable():
            raise Unsupported(f"The DICOMweb authorization header of {self._server.name} is not plain text.")
        headers = {"Accept-Encoding": "identity", "User-Agent": "ADIT"}
        return headers | ({"Authorization": authorization} if authorization else {})

    def _tls_context(self) -> ssl.SSLContext:
        if not self._server.dicomweb_root_url.lower().startswith("https:"):
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used: spares 30 ms of reading certificates
        try:
            return tls_context(self._server.tls or Tls())
        except OSError as exc:
            raise Unsupported(f"The TLS files of {self._server.name} cannot be read.") from exc

    def _url(self, path: str) -> str:
        pieces = (self._server.dicomweb_root_url.rstrip("/"), self._prefix.strip("/"), path.strip("/"))
        return "/".join(piece for piece in pieces if piece)

    def _note_socket(self, event: str, info: Mapping[str, Any]) -> None:
        """Remember the newest socket, because only shutting it down wakes a thread that is blocked on it."""
        if event not in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            return
        with self._lock:
            self._socket = cast(socket.socket, info["return_value"].get_extra_info("socket"))
            if self._is_aborted:
                self._shut_socket()

    def _shut_socket(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                # not SSLSocket.shutdown, which takes the TLS object away from under the blocked thread
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class Answer:
    """The answer to one request, its body not read yet. Leaving its context ends the download."""

    def __init__(self, connection: WebConnection, response: httpx.Response) -> None:
        self._connection = connection
        self._response = response
        self.status = response.status_code
        self.content_type = response.headers.get("content-type", "")
        self.warning = response.headers.get("warning", "")
        self.server_name = connection.server_name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(httpx.HTTPError):
            self._response.close()

    def check(self, missing: type[AditError] = Unsupported) -> None:
        """Raise the error that the status stands for unless it is a success; ``missing`` is what 404 means."""
        if self.status == 404 and missing is not Unsupported:
            raise missing
        if not 200 <= self.status < 300:
            raise self.refusal()

    def refusal(self) -> AditError:
        """The error that the status stands for, which is no success, to be raised by the caller."""
        return self._connection.refusal(self.status)

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it arrives, each chunk once; raises a PeerError kind when it breaks off."""
        body = self._response.iter_bytes()
        while True:
            self._connection.check()
            try:
                chunk = next(body)
            except StopIteration:
                self._connection.check()  # the end may be our own abort, when the answer has no length
                return
            except (httpx.HTTPError, httpx.StreamError) as exc:
                raise self._connection.translated(exc) from exc
            yield chunk

    def read(self, limit_bytes: int) -> bytes:
        """Return the whole body; raises PeerLied when it is longer than it can sensibly be."""
        body = bytearray()
        for chunk in self.chunks():
            body += chunk
            if len(body) > limit_bytes:
                raise PeerLied(f"The server's answer is longer than {limit_bytes} bytes.")
        return bytes(body)


class WebPort:
    """What the three DICOMweb ports share: a connection that is opened when first used."""

    def __init__(self, server: Server, prefix: str, silence: timedelta) -> None:
        self._connection = WebConnection(server, prefix, silence)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    def abort(self) -> None:
        """Break the connection from another thread; the blocked call and all later ones raise Canceled."""
        self._connection.abort()


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """An exception, and all that led to it."""
    cause: BaseException | None = exc
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
