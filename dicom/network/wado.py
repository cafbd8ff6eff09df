"""Retrieves instances by WADO-RS (PS3.18 section 10.4), as the server stores them, streaming."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from dicom.network.multipart import boundary_of, parts
from dicom.network.scratch import ScratchBuffer
from dicom.network.web import Answer, WebPort
from dicom.part10 import split_part10
from models.domain.errors import NotFound, Unreadable, Unsupported
from models.domain.instances import Sink
from models.domain.nodes import Server
from models.domain.refs import Level, Selection

_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_EPILOGUE_LIMIT = 64 << 10


class WadoRetriever(WebPort):
    """A Retriever over WADO-RS.

    Instances larger than 8 MB pass through a file without a name in ``scratch_dir``, of which ``check_room`` is asked
    as ScratchBuffer says.
    """

    def __init__(self, server: Server, scratch_dir: Path, check_room: Callable[[int], None] | None = None) -> None:
        silence = max(server.timeouts.response, server.timeouts.idle)
        super().__init__(server, server.dicomweb_wado_prefix, silence)
        self._scratch_dir = scratch_dir
        self._check_room = check_room

    def retrieve(self, selection: Selection, sink: Sink) -> None:
        """Hand each instance to the sink while the next is downloaded; what the sink raises is raised here.

        Costs one request, at IMAGE level one for each instance. Complete instances are handed on before a broken
        download raises its PeerError kind; parts that are no DICOM raise Unreadable after all others were handed on.
        Raises NotFound when the server has nothing of the selection.
        """
        paths = list(_paths(selection))
        missing = unreadable = 0
        for path in paths:
            try:
                unreadable += self._download(path, sink)
            except _Missing:
                missing += 1
        if missing and missing == len(paths):
            raise NotFound
        if unreadable:
            raise Unreadable(f"{unreadable} parts of the server's answer are not DICOM instances.")

    def _download(self, path: str, sink: Sink) -> int:
        """Hand the instances of one answer to the sink and return how many parts could not be read."""
        unreadable = 0
        with self._connection.request("GET", path, headers={"Accept": _ACCEPT}) as answer:
            answer.check(_Missing)
            for file in self._files(answer):
                try:
                    instance = split_part10(file)
                except Unreadable:
                    unreadable += 1
                    continue
                sink(instance)
        return unreadable

    def _files(self, answer: Answer) -> Iterator[memoryview]:
        """Yield each file of the answer; some servers send a single one without wrapping it into a multipart body."""
        kind = answer.content_type.split(";")[0].strip().lower()
        chunks = answer.chunks()
        if kind == "multipart/related":
            yield from parts(chunks, boundary_of(answer.content_type), self._scratch_dir, check=self._check_room)
            _drain(chunks)
        elif kind == "application/dicom":
            yield self._single(chunks)
        elif answer.status != 204:
            raise Unsupported("The server's answer to WADO-RS is no DICOM. Check its root URL and WADO-RS prefix.")

    def _single(self, chunks: Iterator[bytes]) -> memoryview:
        with closing(ScratchBuffer(self._scratch_dir, check=self._check_room)) as body:
            for chunk in chunks:
                body.write(memoryview(chunk))
            return body.finish()


class _Missing(NotFound):
    """The server does not have this resource; nothing that a sink raises."""


def _paths(selection: Selection) -> Iterator[str]:
    study = f"studies/{quote(selection.study.study_uid)}"
    series = f"{study}/series/{quote(selection.series_uid)}"
    match selection.level:
        case Level.STUDY:
            yield study
        case Level.SERIES:
            yield series
        case Level.IMAGE:
            yield from (f"{series}/instances/{quote(uid)}" for uid in selection.sop_uids)
        case Level.PATIENT:
            raise Unsupported("WADO-RS cannot retrieve a whole patient.")


def _drain(chunks: Iterator[bytes]) -> None:
    """Read a short epilogue, so that the connection can be used again."""
    length = 0
    for chunk in chunks:
        length += len(chunk)
        if length > _EPILOGUE_LIMIT:
            return
