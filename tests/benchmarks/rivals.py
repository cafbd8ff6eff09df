"""The other ways to do the same with programs everybody has: DCMTK's tools in a row, and Orthanc by itself."""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.processes import one_after_another, run_program
from tests.benchmarks.rounds import Run, RunError
from tests.benchmarks.site import CALLER, Site, study_ids, timed
from tests.peers import DCMTK

_EDITS = {
    "(0010,0010)": "SUBJECT^ONE",
    "(0010,0020)": "SUBJ-ONE",
    "(0010,0030)": "19000101",
    "(0010,0040)": "O",
    "(0010,1010)": "",
    "(0010,1040)": "",
    "(0010,4000)": "",
    "(0008,0050)": "",
    "(0008,0080)": "",
    "(0008,0081)": "",
    "(0008,0090)": "",
    "(0008,1010)": "",
    "(0008,1050)": "",
    "(0008,1070)": "",
    "(0020,0010)": "",
}
"""Fifteen attributes of a patient's identity, as somebody with a shell script would replace them."""


def dcmtk_pipeline(site: Site, environment: dict[str, str]) -> Run:
    """C-GET into a folder, edit the files in place, C-STORE them: study by study, tool by tool."""
    with _empty_folder(site.directory / "dcmtk") as folder:
        fetched = [run_program(_getscu(site, study.study_uid, folder), environment) for study in site.corpus.studies]
        files = sorted(folder.iterdir())
        edited = run_program(_dcmodify(files), environment)
        sent = run_program(_storescu(site, folder), environment)
    return one_after_another([*fetched, edited, sent])


def orthanc_by_itself(site: Site) -> Run:
    """A makes an anonymized copy of each study with its own profile and sends it to B; the copies are removed after."""
    originals = study_ids(site.source)
    try:
        wall_s = timed(lambda: [_anonymize_and_send(site, study) for study in originals])
    except OSError as exc:
        raise RunError(f"Orthanc's REST API failed ({type(exc).__name__})") from exc
    finally:
        for copy in set(study_ids(site.source)) - set(originals):
            site.source.rest(f"/studies/{copy}", method="DELETE")
    return Run(wall_s)


def _getscu(site: Site, study_uid: str, folder: Path) -> list[str | Path]:
    source = site.source
    keys = ["-k", "0008,0052=STUDY", "-k", f"0020,000d={study_uid}"]
    called = ["-aet", CALLER, "-aec", source.ae_title]
    return [DCMTK / "getscu", "-S", *called, *keys, "-od", folder, "127.0.0.1", str(source.port)]


def _dcmodify(files: list[Path]) -> list[str | Path]:
    edits = [part for tag, value in _EDITS.items() for part in ("-i", f"{tag}={value}")]
    return [DCMTK / "dcmodify", "-nb", "-gin", *edits, *files]


def _storescu(site: Site, folder: Path) -> list[str | Path]:
    destination = site.destination
    called = ["-aet", CALLER, "-aec", destination.ae_title]
    return [DCMTK / "storescu", "-R", *called, "127.0.0.1", str(destination.port), "+sd", folder]


def _anonymize_and_send(site: Site, study: str) -> None:
    copy = site.source.rest(f"/studies/{study}/anonymize", {"Force": False})
    assert isinstance(copy, dict)
    site.source.rest(f"/modalities/{site.destination.ae_title}/store", {"Resources": [copy["ID"]]})


@contextmanager
def _empty_folder(path: Path) -> Generator[Path]:
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path)


def missing_programs() -> list[str]:
    """Debian packages of programs that the benchmark needs and this machine lacks."""
    needed = {
        "orthanc": "/usr/sbin/Orthanc",
        "orthanc-dicomweb": "/usr/share/orthanc/plugins/libOrthancDicomWeb.so",
        "dcmtk": "/usr/bin/getscu",
    }
    return [package for package, path in needed.items() if not os.access(path, os.R_OK)]
