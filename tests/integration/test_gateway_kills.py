"""A web process that is killed in the middle of a conversion leaves patient data behind only until it is swept."""

import contextlib
import os
import signal
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deployments.demo import studies
from dicom.files.spool import Spool
from models.domain.nodes import Server
from models.domain.people import Group, NodeRight, Permission, operator
from models.domain.tokens import TokenWish
from services import nodes
from services.gateway import converting
from services.people import actors, groups, tokens
from tests.installation import DIMSE_GET
from tests.peers import orthanc
from tests.waiting import PATIENCE_S, wait_until
from tests.web import Web, web

SHELL = operator("tester")


def a_token(running: Web, port: int) -> str:
    server = nodes.add_server(running.db, SHELL, Server("PACS", "PACS", "127.0.0.1", port, **DIMSE_GET))
    user, rights = running.user("carol"), frozenset({NodeRight(server.id, source=True)})
    may = frozenset({Permission.WEB_RETRIEVE, Permission.ADD_TOKEN})
    groups.add(running.db, SHELL, Group("Readers", may, frozenset({user.id}), rights))
    wish = TokenWish(expires_at=datetime.now(UTC) + timedelta(days=1))
    return tokens.add(running.db, actors.of_name(running.db, "carol"), wish).secret


def is_swept(running: Web, spool: Spool) -> bool:
    converting.sweep(running.settings)
    return not spool.leftovers()


def test_what_a_killed_web_process_has_staged_is_swept(tmp_path: Path) -> None:
    study = studies.write_ct(tmp_path / "ct", instances=(60,), rows=512, columns=512)
    with (
        orthanc(tmp_path / "archive", "PACS") as archive,
        web(tmp_path / "adit", spool_reserve_mb=1) as running,
        socket.socket() as connection,
    ):
        archive.upload(study.files)
        spool = Spool(running.settings.spool_dir)
        path = f"/api/dicom-web/PACS/wadors/studies/{study.study_uid}/nifti?pseudonym=SUBJ-01"
        headers = f"Host: localhost\r\nAuthorization: Bearer {a_token(running, archive.port)}\r\n\r\n"
        connection.connect(("127.0.0.1", running.settings.web_port))
        connection.sendall(f"GET {path} HTTP/1.1\r\n{headers}".encode())
        end = time.monotonic() + PATIENCE_S
        while not spool.leftovers():
            assert time.monotonic() < end, running.log.read_text()
            time.sleep(0.005)  # what comes does not last
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait()
        wait_until(
            lambda: is_swept(running, spool), "the end of dcm2niix, which keeps its files as long as it is at work"
        )
        assert not list(spool.workspaces.iterdir())
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
