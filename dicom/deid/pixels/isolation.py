"""Has frames decoded by a process of its own (decoder.py), and starts that when it is needed or has ended."""

import atexit
import os
import subprocess
import sys
from pathlib import Path
from threading import Lock

import numpy as np

from dicom.deid.pixels import decoder
from dicom.deid.pixels.codecs import Frame
from dicom.deid.pixels.frames import PHOTOMETRICS, Shape
from models.domain.errors import NeedsReview

_ROOT = Path(__file__).resolve().parents[3]
_COMMAND = "import sys; sys.path.insert(0, sys.argv[1]); from dicom.deid.pixels.decoder import serve; serve()"
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH")
_TRIES = 2
"""The process may have ended between two frames because it was idle; that is not the second frame's fault."""


class _Decoder:
    """One process, shared by the threads of this one, and never by processes that were forked from it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def decoded(self, request: bytes) -> tuple[dict[str, object], bytes]:
        """Return the answer to a request; raises EOFError when the process ended without one."""
        with self._lock:
            try:
                return self._asked(self._running(), request)
            except (OSError, EOFError):
                self._stop()
                raise EOFError from None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self._stop()
            command = [sys.executable, "-I", "-c", _COMMAND, str(_ROOT)]
            pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
            # an environment of its own: ours holds passwords
            environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
            self._process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=nothing, env=environment, bufsize=0
            )
            self._owner = os.getpid()
        return self._process

    def _asked(self, process: subprocess.Popen[bytes], request: bytes) -> tuple[dict[str, object], bytes]:
        assert process.stdin and process.stdout
        view = memoryview(request)
        while view:
            view = view[os.write(process.stdin.fileno(), view) :]
        return decoder.read_message(process.stdout.fileno())

    def stop(self) -> None:
        """End the process and wait until it has ended."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
        if self._owner == os.getpid():
            process.kill()
            process.wait()


_decoder = _Decoder()
atexit.register(_decoder.stop)


def decoded(source: bytes, shape: Shape, transfer_syntax_uid: str) -> tuple[Frame, str]:
    """Return one frame like ``codecs.decoded``, and survive what it does to the codecs.

    The first frame costs the start of a process (less than a second), each one a copy through a pipe. Raises
    NeedsReview when the frame cannot be decoded, or its decoding ended the process or took too long.
    """
    content, payload = _answer(decoder.encoded_request(source, shape, transfer_syntax_uid))
    photometric = content.get("photometric")
    if photometric not in PHOTOMETRICS or len(payload) != shape.frame_bytes:
        raise NeedsReview(str(content.get("error") or _CANNOT))
    frame = np.frombuffer(payload, dtype=f"<u{shape.bits_allocated // 8}")
    return frame.reshape(shape.rows, shape.columns, shape.samples), str(photometric)


_CANNOT = "The instance has to be blanked, and its frames cannot be decoded."


def _answer(request: bytes) -> tuple[dict[str, object], bytes]:
    for _ in range(_TRIES):
        try:
            return _decoder.decoded(request)
        except EOFError:
            continue
    raise NeedsReview(_CANNOT)
