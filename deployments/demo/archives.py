"""The two archives of the demonstration: Orthanc where it is installed, else the one that comes with ADIT."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deployments.ports import LOOPBACK, free_port
from deployments.supervisor import Program
from models.domain.nodes import Server

_ORTHANC_PLACES = ("/usr/sbin/Orthanc", "/usr/local/sbin/Orthanc")
_PLUGIN_PLACES = (
    Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so"),
    Path("/usr/local/share/orthanc/plugins/libOrthancDicomWeb.so"),
)


@dataclass(frozen=True, slots=True)
class DemoArchive:
    """One archive: how it is started, and how ADIT has to be told about it."""

    program: Program
    server: Server
    directory: Path
    ports: tuple[int, ...]


def archive(
    name: str, ae_title: str, directory: Path, receiver: tuple[str, int], environment: Mapping[str, str]
) -> DemoArchive:
    """An archive that keeps its data in the directory and may move to a receiver (AE title, port)."""
    directory.mkdir(parents=True)
    orthanc = _orthanc()
    if orthanc:
        return _orthanc_archive(orthanc, name, ae_title, directory, receiver, environment)
    return _built_in_archive(name, ae_title, directory, receiver, environment)


def _orthanc() -> str:
    return shutil.which("Orthanc") or next((place for place in _ORTHANC_PLACES if Path(place).exists()), "")


def _built_in_archive(
    name: str, ae_title: str, directory: Path, receiver: tuple[str, int], environment: Mapping[str, str]
) -> DemoArchive:
    port = free_port()
    destination = f"{receiver[0]}={LOOPBACK}:{receiver[1]}"
    options = ("--ae-title", ae_title, "--port", str(port), "--directory", str(directory), "--move-to", destination)
    command = (sys.executable, "-m", "deployments.archive", *options)
    program = Program(name, command, environment, directory.with_suffix(".log"))
    return DemoArchive(program, _server(name, ae_title, port), directory, (port,))


def _orthanc_archive(
    orthanc: str,
    name: str,
    ae_title: str,
    directory: Path,
    receiver: tuple[str, int],
    environment: Mapping[str, str],
) -> DemoArchive:
    port, http_port = free_port(), free_port()
    plugin = next((place for place in _PLUGIN_PLACES if place.exists()), None)
    configuration = directory.with_suffix(".json")
    configuration.write_text(json.dumps(_configuration(ae_title, directory, (port, http_port), receiver, plugin)))
    program = Program(name, (orthanc, str(configuration)), environment, directory.with_suffix(".log"))
    web_url = f"http://{LOOPBACK}:{http_port}/dicom-web" if plugin else ""
    return DemoArchive(program, _server(name, ae_title, port, web_url), directory, (port, http_port))


def _configuration(
    ae_title: str, directory: Path, ports: tuple[int, int], receiver: tuple[str, int], plugin: Path | None
) -> Mapping[str, object]:
    return {
        "Name": ae_title,
        "StorageDirectory": str(directory),
        "IndexDirectory": str(directory),
        "Plugins": [str(plugin)] if plugin else [],
        "DicomAet": ae_title,
        "DicomPort": ports[0],
        "HttpPort": ports[1],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        **{f"DicomAlwaysAllow{service}": True for service in ("Echo", "Store", "Find", "Get", "Move")},
        "DicomModalities": {"receiver": [receiver[0], LOOPBACK, receiver[1]]},
        "DicomWeb": {"Enable": plugin is not None, "Root": "/dicom-web/"},
    }


def _server(name: str, ae_title: str, port: int, web_url: str = "") -> Server:
    return Server(
        name=name,
        ae_title=ae_title,
        host=LOOPBACK,
        port=port,
        study_root_find_support=True,
        study_root_get_support=True,
        study_root_move_support=True,
        store_scp_support=True,
        dicomweb_root_url=web_url,
        dicomweb_qido_support=bool(web_url),
        dicomweb_wado_support=bool(web_url),
        dicomweb_stow_support=bool(web_url),
    )
