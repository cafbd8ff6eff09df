"""Runs codecs in a process of their own, because a broken frame can make them end the process they are in.

That was measured: of damaged JPEG, JPEG-LS and JPEG 2000 frames a few per thousand abort GDCM or let it read where it
must not. The process knows no secrets and no patient but what is in a frame, writes no core file, and ends after a
frame that takes too long, when its parent has gone, and when it was idle for a while.
"""

import json
import os
import resource
import select
import signal
import struct
import sys
from dataclasses import asdict
from typing import Any, cast

from dicom.deid.pixels import codecs
from dicom.deid.pixels.frames import Shape
from models.domain.errors import NeedsReview

HEAD = struct.Struct("<II")
"""Each message is a head, some JSON and some bytes; the head has the lengths of these two."""
_FRAME_S, _IDLE_S = 120, 60
_MOST_MEMORY = 12 << 30
_INPUT, _OUTPUT = 0, 1


def encoded_message(content: dict[str, Any], payload: bytes) -> bytes:
    """Return a message as it travels through a pipe."""
    text = json.dumps(content).encode()
    return HEAD.pack(len(text), len(payload)) + text + payload


def encoded_request(source: bytes, shape: Shape, transfer_syntax_uid: str) -> bytes:
    """Return the question for one decoded frame."""
    return encoded_message({"syntax": transfer_syntax_uid, "shape": asdict(shape)}, source)


def read_message(descriptor: int) -> tuple[dict[str, Any], bytes]:
    """Return the next message of a pipe; raises EOFError when the other side has gone."""
    head = _read(descriptor, HEAD.size)
    text_length, payload_length = HEAD.unpack(head)
    return json.loads(_read(descriptor, text_length)), bytes(_read(descriptor, payload_length))


def _read(descriptor: int, length: int) -> bytearray:
    buffer = bytearray(length)
    view = memoryview(buffer)
    while view:
        count = os.readv(descriptor, [view])
        if not count:
            raise EOFError
        view = view[count:]
    return buffer


def serve() -> None:
    """Answer requests on standard input until there are no more; the whole life of the codecs' process."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while select.select([_INPUT], [], [], _IDLE_S)[0]:
        try:
            content, source = read_message(_INPUT)
        except EOFError:
            return
        signal.alarm(_FRAME_S)
        answer = _answer(content, source)
        signal.alarm(0)
        _write(answer)


def _answer(content: dict[str, Any], source: bytes) -> bytes:
    shape = Shape(**cast("dict[str, Any]", content["shape"]))
    try:
        frame, photometric = codecs.decoded(source, shape, content["syntax"])
    except NeedsReview as exc:
        return encoded_message({"error": exc.message}, b"")
    except BaseException:  # what panics in Rust is no Exception
        return encoded_message({}, b"")
    return encoded_message({"photometric": photometric}, frame.tobytes())


def _write(message: bytes) -> None:
    view = memoryview(message)
    try:
        while view:
            view = view[os.write(_OUTPUT, view) :]
    except BrokenPipeError:
        sys.exit()
