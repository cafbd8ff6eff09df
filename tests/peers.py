"""Starts real DICOM peers for tests on free loopback ports, and ends them by pid."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.waiting import wait_until

ORTHANC = "/usr/sbin/Orthanc"
DICOMWEB_PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
DCMTK = Path("/usr/bin")
_PORTS = range(20_000, 32_000)
_marks: list[socket.socket] = []


def free_port() -> int:
    """A port that nothing listens on, which no other process of tests gets as long as this one lives.

    It is none of those that the kernel chooses for outgoing connections.
    """
    for port in Random().choices(_PORTS, k=1000):
        if _is_ours(port):
            return port
    raise RuntimeError("no port is free")


def _is_ours(port: int) -> bool:
    """Take a port, by an abstract name that the kernel gives to one process only, and frees at its end."""
    mark = socket.socket(socket.AF_UNIX)
    try:
        mark.bind(f"\0adit-tests-port-{port}")
        with socket.socket() as probe:
            probe.bind(("", port))
    except OSError:
        mark.close()
        return False
    _marks.append(mark)
    return True


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    def answers() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} ended with {process.returncode}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(answers, f"{process.args} on port {port}")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that we started: politely, then by force."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass
class Peer:
    """A running archive or sink."""

    ae_title: str
    port: int
    process: subprocess.Popen[bytes]
    directory: Path
    http_port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def rest(self, path: str, body: object = None, method: str | None = None) -> object:
        """Call Orthanc's REST API; ``body`` bytes are sent as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=240) as answer:
            content = answer.read()
        with contextlib.suppress(ValueError):
            return json.loads(content)
        return content

    def upload(self, files: Iterator[Path] | list[Path]) -> None:
        for file in files:
            self.rest("/instances", file.read_bytes())

    def sop_uids(self) -> set[str]:
        """The SOP Instance UIDs of all instances in an Orthanc."""
        found = self.rest("/tools/find", {"Level": "Instance", "Query": {}, "Expand": True})
        assert isinstance(found, list)
        return {entry["MainDicomTags"]["SOPInstanceUID"] for entry in found}

    def files(self) -> dict[str, bytes]:
        """SOP Instance UID -> stored Part 10 file, for all instances in an Orthanc."""
        found = self.rest("/tools/find", {"Level": "Instance", "Query": {}, "Expand": True})
        assert isinstance(found, list)
        result: dict[str, bytes] = {}
        for entry in found:
            with urllib.request.urlopen(f"{self.url}/instances/{entry['ID']}/file", timeout=240) as answer:
                result[entry["MainDicomTags"]["SOPInstanceUID"]] = answer.read()
        return result


@contextlib.contextmanager
def frozen(archive: Peer) -> Iterator[None]:
    """Let an archive answer nobody for a while."""
    archive.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        archive.process.send_signal(signal.SIGCONT)


UNCHECKED = {"DicomCheckCalledAet": False}
"""Settings of an Orthanc that answers under whatever title it is called."""


@contextlib.contextmanager
def orthanc(
    directory: Path,
    ae_title: str,
    modalities: Mapping[str, int] | None = None,
    settings: Mapping[str, object] | None = None,
    ports: tuple[int, int] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Peer]:
    """Run an Orthanc with DICOMweb; ``modalities`` maps AE titles it may move to onto their loopback ports.

    ``ports`` (DICOM, HTTP) are chosen when not given; give them to start the same archive again after a stop.
    """
    dicom, http = ports or (free_port(), free_port())
    directory.mkdir(parents=True, exist_ok=True)
    configuration = {
        "Name": ae_title,
        "StorageDirectory": str(directory / "db"),
        "IndexDirectory": str(directory / "db"),
        "Plugins": [DICOMWEB_PLUGIN],
        "HttpPort": http,
        "DicomPort": dicom,
        "DicomAet": ae_title,
        "DicomCheckCalledAet": True,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomModalities": {aet: [aet, "127.0.0.1", port] for aet, port in (modalities or {}).items()},
        "SyncStorageArea": False,
        "OverwriteInstances": True,
        "StableAge": 3600,
        "LimitFindResults": 0,
        "LimitFindInstances": 0,
        "MaximumPduLength": 131072,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": True},
        **(settings or {}),
    }
    (directory / "orthanc.json").write_text(json.dumps(configuration))
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(
            [ORTHANC, str(directory / "orthanc.json")],
            stdout=log,
            stderr=log,
            env={**os.environ, **(environment or {})},
        )
    try:
        wait_for_port(http, process)
        wait_for_port(dicom, process)
        yield Peer(ae_title, dicom, process, directory, http)
    finally:
        end(process)


@contextlib.contextmanager
def dcmqrscp(directory: Path, ae_title: str, modalities: Mapping[str, int] | None = None) -> Iterator[Peer]:
    """Run DCMTK's query/retrieve archive."""
    port = free_port()
    storage = directory / "db"
    storage.mkdir(parents=True, exist_ok=True)
    hosts = "\n".join(f"h{n} = ({aet}, 127.0.0.1, {p})" for n, (aet, p) in enumerate((modalities or {}).items()))
    names = "\n".join(f"v{n} = h{n}" for n in range(len(modalities or {})))
    (directory / "qr.cfg").write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 131072\nMaxAssociations = 16\n"
        f"HostTable BEGIN\n{hosts}\nHostTable END\nVendorTable BEGIN\n{names}\nVendorTable END\n"
        f"AETable BEGIN\n{ae_title} {storage} RW (2000, 4gb) ANY\nAETable END\n"
    )
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(
            [DCMTK / "dcmqrscp", "-c", str(directory / "qr.cfg"), "-ll", "warn"], stdout=log, stderr=log
        )
    try:
        wait_for_port(port, process)
        yield Peer(ae_title, port, process, directory)
    finally:
        end(process)


@contextlib.contextmanager
def storescp(directory: Path, ae_title: str = "STORESCP", *options: str) -> Iterator[Peer]:
    """Run DCMTK's storage sink; its files appear in ``directory / 'db'``."""
    port = free_port()
    storage = directory / "db"
    storage.mkdir(parents=True, exist_ok=True)
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(
            [DCMTK / "storescp", "-aet", ae_title, "-od", str(storage), *options, str(port)], stdout=log, stderr=log
        )
    try:
        wait_for_port(port, process)
        yield Peer(ae_title, port, process, directory)
    finally:
        end(process)
