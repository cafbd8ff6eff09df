"""One request to the server and its answer, as plain values. Nothing here sends anything."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, cast
from urllib.parse import quote, urlencode

import httpx

from adit_client.errors import (
    BY_STATUS,
    AnswerError,
    BadAnswer,
    BadBatchFile,
    InvalidRequest,
    Redirected,
    ServerFailed,
)
from adit_client.reading import of
from adit_client.values import FileProblem

JSON = "application/json"

_WARNING = re.compile(r"[0-9]{3}\s+\S+\s+(.*)", re.DOTALL)


@dataclass(frozen=True)
class Call:
    """One request. Its text shows neither the query nor the body, which may name patients.

    ``is_repeatable`` says that sending it twice does no more than sending it once. ``body`` is called anew for every
    try, so that a large one is never in memory as a whole.
    """

    method: str
    path: str
    query: Sequence[tuple[str, str]] = field(default=(), repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    body: Callable[[], Iterator[bytes]] | None = field(default=None, repr=False)
    is_repeatable: bool = False
    can_be_sent_again: bool = True
    """Whether ``body`` can be had a second time; it cannot when it comes from an iterator."""

    @property
    def target(self) -> str:
        """Path and query as they stand in the request."""
        return f"{self.path}?{urlencode(self.query, quote_via=quote)}" if self.query else self.path


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    def json(self) -> Any:
        """The body as JSON; raises BadAnswer, which does not show it."""
        return parsed(self.body)


def parsed(text: bytes) -> Any:
    """The JSON of a text; raises BadAnswer, which does not show the text."""
    try:
        return json.loads(text)
    except ValueError:
        raise BadAnswer("The server's answer is no JSON. Check the address of the server.") from None


def with_json(method: str, path: str, content: object, is_repeatable: bool = False, **headers: str) -> Call:
    """A call that carries JSON; underscores in the names of headers stand for dashes."""
    data = json.dumps(content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    said = {"Accept": JSON, "Content-Type": JSON, "Content-Length": str(len(data)), **named}
    return Call(method, path, (), said, lambda: iter((data,)), is_repeatable)


def with_form(
    path: str, fields: Iterable[tuple[str, str]], name: str, content: bytes, headers: Mapping[str, str], again: bool
) -> Call:
    """A call that carries a form with a file (RFC 7578); ``again``: it may be sent twice."""
    boundary = secrets.token_hex(16)
    parts = [_part(boundary, f'name="{field}"', text.encode()) for field, text in fields]
    quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A").replace("\0", "")
    kind = "Content-Type: application/octet-stream\r\n"
    parts.append(_part(boundary, f'name="file"; filename="{quoted}"', content, kind))
    data = b"".join((*parts, f"--{boundary}--\r\n".encode()))
    said = {
        "Accept": JSON,
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Content-Length": str(len(data)),
    }
    return Call("POST", path, (), {**said, **headers}, lambda: iter((data,)), again)


def _part(boundary: str, disposition: str, content: bytes, more: str = "") -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n{more}\r\n"
    return head.encode() + content + b"\r\n"


def segment(text: str) -> str:
    """A piece of a path, quoted, so that it stays one piece."""
    return quote(text, safe="")


def check(answer: Answer) -> Answer:
    """The answer, when it is a success; raises Redirected or the AnswerError for its status."""
    if answer.status < 300:
        return answer
    if answer.status < 400:
        raise Redirected(answer.status)
    raise problem(answer)


def problem(answer: Answer) -> AnswerError:
    """The error that an answer tells of. What is no problem document (RFC 9457) is not quoted."""
    told = _told(answer)
    kind = BY_STATUS.get(answer.status, ServerFailed if answer.status >= 500 else InvalidRequest)
    fields = told.get("errors")
    named = cast("dict[str, object]", fields) if isinstance(fields, dict) else {}
    errors = {name: str(text) for name, text in named.items()}
    given = (answer.status, _text(told, "code"), _text(told, "detail"), errors, _text(told, "reference"))
    if kind is InvalidRequest and (problems := _problems(told)):
        return BadBatchFile(*given, problems=problems)
    return kind(*given, retry_after_s(answer.headers))


def _problems(told: Mapping[str, Any]) -> tuple[FileProblem, ...]:
    """What is wrong with a batch file, where the answer tells of one."""
    listed = told.get("problems")
    try:
        return tuple(of(FileProblem, one) for one in cast("list[object]", listed)) if isinstance(listed, list) else ()
    except BadAnswer:
        return ()


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How many seconds to wait, as the answer says by a number or a date; None when it does not."""
    said = headers.get("retry-after", "").strip()
    if said.isdecimal():
        return float(said)
    try:
        at = parsedate_to_datetime(said)
    except ValueError:
        return None
    now = datetime.now(timezone.utc)
    return max(0.0, (at.replace(tzinfo=at.tzinfo or timezone.utc) - now).total_seconds())


def warnings_of(headers: httpx.Headers) -> tuple[str, ...]:
    """What the Warning headers say (RFC 7234 section 5.5), without their codes and agents."""
    found = (_WARNING.fullmatch(text.strip()) for text in headers.get_list("warning"))
    return tuple(text[1].strip('" ') for text in found if text)


def _told(answer: Answer) -> Mapping[str, Any]:
    if not answer.headers.get("content-type", "").lower().startswith(("application/problem+json", JSON)):
        return {}
    try:
        told = parsed(answer.body)
    except BadAnswer:
        return {}
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {}


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    return value if isinstance(value, str) else ""
