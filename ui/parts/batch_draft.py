"""The batch file that somebody has handed in and not sent yet: in the session of one tab, as long as its page is open.

It names patients. The copy that Streamlit keeps of every upload is therefore thrown away as soon as it was read, and
ours with the page, or when its job was accepted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from models.domain.batch_requests import BatchFile
from models.domain.batches import BatchKind
from models.domain.errors import AditError, BadRequest, Refused
from services.batches import uploads
from services.batches.uploads import QueryUpload, TransferUpload
from ui import session

_PAGES = {BatchKind.QUERY: "batch-query", BatchKind.TRANSFER: "batch-transfer"}
Upload = QueryUpload | TransferUpload


@dataclass(slots=True)
class BatchDraft:
    """What one tab has handed in so far.

    ``refusal`` says why a file could not be read, ``origin`` which query the rows are of, by the address; ``problems``
    are those of the last try to send. ``round`` names the field for files, which is emptied by getting another name.
    """

    kind: BatchKind
    upload: Upload | None = field(default=None, repr=False)
    refusal: str = ""
    origin: str = ""
    problems: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    round: int = 0
    is_sent: bool = False
    job_id: int = 0

    def take(self, file: BatchFile) -> None:
        """Read a file that was handed in, in place of what was there."""
        self.drop()
        read = uploads.read_query if self.kind is BatchKind.QUERY else uploads.read_transfer
        try:
            self.upload = read(session.actor(), file)
        except BadRequest as error:
            self.refusal = error.message

    def take_rows(self, upload: TransferUpload, origin: str) -> None:
        """Take what a query has found, in place of what was there."""
        self.drop()
        self.upload, self.origin = upload, origin

    def choose_sheet(self, sheet: str) -> None:
        """Read another sheet of the same file."""
        if self.upload is not None:
            self.take(BatchFile(self.upload.file.name, self.upload.file.content, sheet))

    def drop(self) -> None:
        """Forget the file, and what was wrong with it."""
        self.upload, self.refusal, self.origin, self.problems = None, "", "", {}
        self.round += 1

    def refuse(self, error: AditError) -> None:
        """Keep what a service found wrong for the fields of the next run."""
        problems = dict(error.problems) if isinstance(error, Refused) else dict[str, str]()
        self.problems = problems or {"request": error.message}


def current(kind: BatchKind) -> BatchDraft:
    """The draft of this tab; an empty one to begin with."""
    return st.session_state.setdefault(_key(_PAGES[kind]), BatchDraft(kind))


def discard(kind: BatchKind) -> None:
    """Forget the draft."""
    st.session_state.pop(_key(_PAGES[kind]), None)


def forget_unless_at(path: str) -> None:
    """Forget files as soon as another page is open; called once a run, by the main script."""
    for page in _PAGES.values():
        if page != path:
            st.session_state.pop(_key(page), None)


def content_of(given: Any) -> BatchFile:
    """An uploaded file, which Streamlit then forgets: by itself it would keep it as long as the tab lives."""
    file = BatchFile(given.name, given.getvalue())
    running = get_script_run_ctx()
    manager = None if running is None else running.uploaded_file_mgr
    if running is not None and isinstance(manager, MemoryUploadedFileManager):
        manager.remove_file(running.session_id, given.file_id)
    return file


def _key(page: str) -> str:
    return f"{page}.draft"
