"""An upload of any size passes through the web process as it is started by users, in little memory."""

import contextlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from dicom.part10 import part10_prefix
from models.domain.nodes import Server
from models.domain.people import Group, NodeRight, Permission, operator
from models.domain.tokens import TokenWish
from services import nodes
from services.people import actors, groups, tokens
from tests.integration.test_gateway_storing import BOUNDARY, MULTIPART
from tests.peers import Peer, storescp
from tests.web import Web, web

SHELL = operator("tester")
CT, IMPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2"
SMALL, LARGE = 1 << 20, 150 << 20
COUNT = 250


def an_element(tag: int, value: bytes, length: int | None = None) -> bytes:
    value += b"\0" * (len(value) % 2)
    head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
    return head + (len(value) if length is None else length).to_bytes(4, "little") + value


def an_instance(number: int, pixel_bytes: int) -> Iterator[bytes]:
    uid = f"1.2.3.{number}"
    head = an_element(0x00080016, CT.encode()) + an_element(0x00080018, uid.encode())
    head += an_element(0x0020000D, b"1.2") + an_element(0x0020000E, b"1.2.3")
    yield f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    yield part10_prefix(CT, uid, IMPLICIT) + head + an_element(0x7FE00010, b"", pixel_bytes)
    for _ in range(pixel_bytes >> 20):
        yield bytes(1 << 20)
    yield b"\r\n"


def a_body() -> Iterator[bytes]:
    for number in range(1, COUNT + 1):
        yield from an_instance(number, SMALL)
    yield from an_instance(COUNT + 1, LARGE)
    yield f"--{BOUNDARY}--\r\n".encode()


@contextlib.contextmanager
def watched(running: Web) -> Iterator[list[float]]:
    """The memory of the process in MB, looked at again and again: its own, without files that are mapped into it."""
    seen, is_over = [memory_mb(running)], threading.Event()

    def look() -> None:
        while not is_over.wait(0.05):
            seen.append(memory_mb(running))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


def memory_mb(running: Web) -> float:
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("RssAnon"))


def a_token(running: Web, sink: Peer) -> str:
    server = Server("Sink", sink.ae_title, "127.0.0.1", sink.port, store_scp_support=True)
    added = nodes.add_server(running.db, SHELL, server)
    user = running.user("ada")
    right = NodeRight(added.id, destination=True)
    may = frozenset({Permission.WEB_STORE, Permission.ADD_TOKEN})
    groups.add(running.db, SHELL, Group("Writers", may, frozenset({user.id}), frozenset({right})))
    wish = TokenWish(expires_at=datetime.now(UTC) + timedelta(days=1))
    return tokens.add(running.db, actors.of_name(running.db, "ada"), wish).secret


def test_four_hundred_megabytes_pass_in_little_memory(tmp_path: Path) -> None:
    """250 instances of one MiB, and one of 150, which goes through a file without a name."""
    with storescp(tmp_path / "sink", "SINK", "--ignore") as sink, web(tmp_path / "adit") as running:
        headers = {"Authorization": f"Bearer {a_token(running, sink)}", "Content-Type": MULTIPART}
        url = f"{running.url}/api/dicom-web/SINK/stowrs/studies"
        with httpx.Client(headers=headers, timeout=280, trust_env=False) as client:
            first = client.post(url, content=[*an_instance(1, SMALL), f"--{BOUNDARY}--\r\n".encode()])
            assert first.status_code == 200, first.text
            with watched(running) as seen:
                found = client.post(url, content=a_body())
            assert found.status_code == 200, found.text
            assert len(found.json()["00081199"]["Value"]) == COUNT + 1
        assert max(seen) - seen[0] < 60, f"{max(seen) - seen[0]:.0f} MB"
        left = [path for path in (tmp_path / "adit" / "spool").rglob("*") if path.is_file()]
        assert left == []
