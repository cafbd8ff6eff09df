"""Measures ADIT beside DCMTK's tools and Orthanc on this machine: ``python -m tests.benchmarks --help``."""

import signal
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from dicom.quiet import silence_libraries
from tests.benchmarks import corpora, sections
from tests.benchmarks.machine import description
from tests.benchmarks.options import BATCH, GROWTH, HEADERS, LISTING, PAGES, Options, parse
from tests.benchmarks.prefect_server import prefect_server
from tests.benchmarks.report import Report
from tests.benchmarks.rivals import missing_programs

_TMPFS = Path("/dev/shm")


def main() -> None:
    """Measure what the command line asks for and print it."""
    options = parse()
    missing = missing_programs()
    if missing:
        sys.exit(f"Missing: {', '.join(missing)}. `make bench` installs them (Debian, Ubuntu).")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    silence_libraries()
    report = Report(description())
    print("\n".join(f"- {name}: {value}" for name, value in report.machine.items()), flush=True)
    with _directory() as directory:
        _measure(directory, options, report)
    report.finish(options.out)


@contextmanager
def _directory() -> Generator[Path]:
    """A directory in memory where the machine has one, so that no disk is measured; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="adit-bench-", dir=_TMPFS if _TMPFS.is_dir() else None) as directory:
        yield Path(directory)


def _measure(directory: Path, options: Options, report: Report) -> None:
    corpus_files = {name: corpora.make(name, directory / "corpora", options.full) for name in options.corpora}
    if options.contenders or GROWTH in options.parts:
        with prefect_server(directory / "prefect") as server:
            for name, corpus in corpus_files.items():
                sections.measure_site(directory / f"site-{name}", corpus, server.environment, options, report)
    if BATCH in options.parts:
        with prefect_server(directory / "prefect-batch") as server:
            sections.measure_batches(directory / "batch", server, options, report)
    if HEADERS in options.parts:
        for corpus in corpus_files.values():
            sections.measure_headers(directory / "headers", corpus, options, report)
        sections.measure_other_headers(directory / "other-headers", options, report)
    if LISTING in options.parts:
        sections.measure_listing(directory / "listing", options, report)
    if PAGES in options.parts:
        sections.measure_pages(directory / "pages", options, report)


if __name__ == "__main__":
    main()
