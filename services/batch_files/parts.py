"""The parts of a packed file (.xlsx, .ods), never more of them in memory than the limits allow; XML without tricks."""

import io
import struct
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO
from xml.parsers import expat

from models.domain.errors import BadRequest
from services.batch_files.limits import Limits

Attributes = dict[str, str]
TRUE = ("1", "true", "on")

DAMAGED = "The file is damaged or not a real spreadsheet. Open it in a spreadsheet program and save it again."
_TOO_LARGE = "The file unpacks to far more than a batch file holds. Copy the rows into a new file."
_PIECE_BYTES = 256 * 1024
_SMALL_BYTES = 1024 * 1024
_MOST_NAMES, _DEEPEST = 2_000, 200
_ELEMENTS_OF_A_CELL = 4
_BROKEN = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,
    NotImplementedError,
    ValueError,
    OverflowError,
    KeyError,
)
"""What ``zipfile`` raises for archives that are not in order, or encrypted, or packed in a way it does not know."""


class Parts:
    """The entries of an archive by name. Raises BadRequest for what is not in order or too much."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._limits = limits
        self._left = limits.unpacked_bytes
        if data.count(b"PK\x01\x02") > limits.entries:
            raise BadRequest(_TOO_LARGE)
        with _translated():
            self._archive = zipfile.ZipFile(io.BytesIO(data))
            entries = self._archive.infolist()
        self._entries = {entry.filename: entry for entry in entries}
        if len(self._entries) != len(entries):
            raise BadRequest(DAMAGED)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def read(self, name: str, limit_bytes: int) -> bytes:
        """A small part as a whole; empty when there is none."""
        found = b""
        for piece in self._pieces(name):
            found += piece
            if len(found) > limit_bytes:
                raise BadRequest(DAMAGED)
        return found

    def parse(self, name: str, reader: "Reader") -> None:
        """Let a reader see a part element by element; a part that is missing has none."""
        parser = _parser(reader, self._limits.cells * _ELEMENTS_OF_A_CELL)
        for piece in self._pieces(name):
            _feed(parser, piece, False)
        if name in self:
            _feed(parser, b"", True)

    def _pieces(self, name: str) -> Generator[bytes]:
        entry = self._entries.get(name)
        if entry is None:
            return
        if entry.file_size > max(_SMALL_BYTES, entry.compress_size * self._limits.ratio):
            raise BadRequest(_TOO_LARGE)
        with _translated():
            part = self._archive.open(entry)
        with part:
            while piece := _piece(part):
                self._left -= len(piece)
                if self._left < 0:
                    raise BadRequest(_TOO_LARGE)
                yield piece


class Reader:
    """Sees the elements of one part. Names are local names: prefixes are for the writer to choose."""

    def begin(self, name: str, attributes: Attributes) -> None:
        """An element begins."""

    def end(self, name: str) -> None:
        """An element ends."""

    def text(self, text: str) -> None:
        """Text, maybe a part of it only."""


@contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except _BROKEN as error:
        raise BadRequest(DAMAGED) from error


def _piece(part: IO[bytes]) -> bytes:
    with _translated():
        return part.read(_PIECE_BYTES)


def _parser(reader: Reader, most_elements: int) -> expat.XMLParserType:
    """A parser that knows no entities but the five of XML, so that none can be nested or fetched."""
    parser = expat.ParserCreate(intern=None)
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    guard = _Guard(reader, most_elements)
    parser.StartElementHandler = guard.begin
    parser.EndElementHandler = guard.end
    parser.CharacterDataHandler = reader.text
    return parser


class _Guard:
    """Between parser and reader: refuses what would fill the parser's own tables, and takes prefixes away."""

    def __init__(self, reader: Reader, most_elements: int) -> None:
        self._left = most_elements
        self._begin, self._end = reader.begin, reader.end
        self._local: dict[str, str] = {}
        self._attribute_names: set[str] = set()
        self._depth = 0

    def begin(self, name: str, attributes: Attributes) -> None:
        self._depth += 1
        self._left -= 1
        local = self._local.get(name) or self._local.setdefault(name, name.rpartition(":")[2])
        if attributes:
            self._attribute_names.update(attributes)
        if self._left < 0 or self._depth > _DEEPEST or len(self._attribute_names) > _MOST_NAMES:
            raise BadRequest(DAMAGED if self._left >= 0 else _TOO_LARGE)
        if len(self._local) > _MOST_NAMES:
            raise BadRequest(DAMAGED)
        self._begin(local, attributes)

    def end(self, name: str) -> None:
        self._depth -= 1
        self._end(self._local[name])


def _refuse_doctype(*_: object) -> None:
    raise BadRequest(DAMAGED)


def _feed(parser: expat.XMLParserType, piece: bytes, is_last: bool) -> None:
    try:
        parser.Parse(piece, is_last)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise BadRequest(DAMAGED) from error
