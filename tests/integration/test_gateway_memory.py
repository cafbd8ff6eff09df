"""A study of 2,000 instances goes through the web process without making it any larger, over each protocol."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from deployments.demo import studies
from dicom.files.spool import Spool
from dicom.network.inbox import Inbox
from dicom.network.receiver import Receiver
from models.domain.nodes import Server
from models.domain.people import Group, NodeRight, Permission, operator
from models.domain.tokens import TokenWish
from services import nodes
from services.people import actors, groups, tokens
from tests.installation import DICOMWEB, DIMSE_GET, DIMSE_MOVE
from tests.peers import Peer, free_port, orthanc
from tests.web import Web, web

SHELL = operator("tester")
ENTRIES = {"GET_ONLY": DIMSE_GET, "WEB_ONLY": DICOMWEB, "MOVE_ONLY": DIMSE_MOVE}
N = 2000
MOST_GROWTH_BYTES = 64 << 20
"""A quarter of the study. What is measured is less than half of that; the rest is for other machines."""


@dataclass
class Site:
    """A running web process and the study behind it."""

    web: Web
    study_uid: str
    token: str


@pytest.fixture(scope="module")
def a_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root, port = tmp_path_factory.mktemp("large"), free_port()
    study = studies.write_ct(root / "ct", instances=(N // 2, N // 2), rows=256, columns=256)
    with (
        orthanc(root / "archive", "ARCHIVE", {"ADIT": port}, {"DicomCheckCalledAet": False}) as archive,
        web(root / "adit", receiver_host="127.0.0.1", receiver_port=port, spool_reserve_mb=1) as running,
        a_receiver(running),
    ):
        archive.upload(study.files)
        yield Site(running, study.study_uid, a_token(running, archive))


@contextlib.contextmanager
def a_receiver(running: Web) -> Iterator[None]:
    """The receiver of the installation, which shares the spool with the web process."""
    settings = running.settings
    inbox = Inbox(Spool(settings.spool_dir).inbox)
    receiver = Receiver(settings.receiver_host, settings.receiver_port, inbox, lambda: ["ARCHIVE"])
    receiver.start()
    try:
        yield
    finally:
        receiver.stop()


def a_token(running: Web, archive: Peer) -> str:
    """Of somebody who may retrieve from each entry."""
    user, rights = running.user("carol"), set[NodeRight]()
    for name, fields in ENTRIES.items():
        root = f"{archive.url}/dicom-web" if "dicomweb_qido_support" in fields else ""
        server = Server(name, name, "127.0.0.1", archive.port, dicomweb_root_url=root, **fields)
        rights.add(NodeRight(nodes.add_server(running.db, SHELL, server).id, source=True))
    may = frozenset({Permission.WEB_RETRIEVE, Permission.ADD_TOKEN})
    groups.add(running.db, SHELL, Group("Readers", may, frozenset({user.id}), frozenset(rights)))
    wish = TokenWish(expires_at=datetime.now(UTC) + timedelta(days=1))
    return tokens.add(running.db, actors.of_name(running.db, "carol"), wish).secret


class Memory:
    """How much memory a process has in use, looked at all the time."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.most_bytes = self.now_bytes()

    def now_bytes(self) -> int:
        line = next(line for line in self._status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            self.most_bytes = max(self.most_bytes, self.now_bytes())


@pytest.mark.parametrize("entry", ENTRIES)
def test_two_thousand_instances_leave_the_web_process_as_small_as_it_was(
    a_site: Site, entry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    client = httpx.Client(
        base_url=f"{a_site.web.url}/api/dicom-web/{entry}/wadors/studies/",
        headers={"authorization": f"Bearer {a_site.token}"},
        params={"pseudonym": "SUBJ-01"},
        timeout=120,
        trust_env=False,
    )
    with client, Memory(a_site.web.process.pid) as memory:
        with client.stream("GET", f"{a_site.study_uid}/metadata") as answer:  # imports what the first one needs
            next(answer.iter_raw())
        before = memory.now_bytes()
        memory.most_bytes = before
        begin = time.monotonic()
        count = size = 0
        first_s = 0.0
        with client.stream("GET", a_site.study_uid) as answer:
            assert answer.status_code == 200
            boundary = answer.headers["content-type"].rpartition("=")[2].encode()
            for piece in answer.iter_raw():
                first_s = first_s or time.monotonic() - begin
                size += len(piece)
                count += piece.count(b"--" + boundary)
        took_s = time.monotonic() - begin
    grown = memory.most_bytes - before
    figures = (
        f"{entry}: {size / 1e6:.0f} MB in {took_s:.1f} s, first bytes after {first_s:.2f} s, "
        f"web process {before / 2**20:.0f} MiB before, {grown / 2**20:+.0f} MiB at most"
    )
    with capsys.disabled():
        sys.stdout.write(f"\n{figures}\n")
    assert size > N * 131_072
    assert count >= N - 50, "a boundary may be cut in two by chance"
    assert grown < MOST_GROWTH_BYTES
