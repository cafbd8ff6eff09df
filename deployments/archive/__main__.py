"""``python -m deployments.archive --ae-title X --port P --directory D [--move-to AET=host:port ...]``."""

import argparse
import signal
import threading
from pathlib import Path
from types import FrameType

from deployments.archive.identifiers import tolerate_values
from deployments.archive.server import Archive
from dicom.quiet import silence_libraries


def main() -> None:
    """Run the archive until SIGTERM or SIGINT."""
    arguments = _parser().parse_args()
    silence_libraries()
    tolerate_values()
    archive = Archive(arguments.ae_title, arguments.port, arguments.directory, dict(arguments.move_to), arguments.host)
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    serving = threading.Thread(target=archive.serve, daemon=True)
    serving.start()
    print(
        f"{arguments.ae_title} listens on {arguments.host}:{archive.port}, {len(archive.index)} instances", flush=True
    )
    ended.wait()
    archive.stop()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deployments.archive", description="A small DICOM archive.")
    parser.add_argument("--ae-title", required=True)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--directory", type=Path, required=True, help="where the instances are kept")
    parser.add_argument("--move-to", type=_destination, action="append", default=[], metavar="AET=host:port")
    return parser


def _destination(text: str) -> tuple[str, tuple[str, int]]:
    title, _, address = text.rpartition("=")
    host, _, port = address.rpartition(":")
    if not title or not host or not port.isdigit():
        raise argparse.ArgumentTypeError("expected AET=host:port")
    return title, (host, int(port))


if __name__ == "__main__":
    main()
