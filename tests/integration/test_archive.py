"""The built-in archive speaks with DCMTK's tools and gives back exactly the bytes it was given."""

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from deployments.demo import studies
from deployments.demo.studies import StudyFiles
from dicom.part10 import split_part10
from tests.peers import DCMTK, Peer, end, free_port, storescp, wait_for_port

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
DEFLATED, JPEG_LOSSLESS, JPEG_2000 = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90"


@contextlib.contextmanager
def archive(directory: Path, move_to: Mapping[str, int] | None = None) -> Iterator[Peer]:
    port = free_port()
    destinations = [f"--move-to={aet}=127.0.0.1:{number}" for aet, number in (move_to or {}).items()]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "deployments.archive", "--ae-title", "ARCHIVE", "--port", str(port)),
            *("--directory", str(directory), *destinations),
        ],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port, process)
        yield Peer("ARCHIVE", port, process, directory)
    finally:
        end(process)


def run(tool: str, peer: Peer, *arguments: object, called: str = "ARCHIVE") -> subprocess.CompletedProcess[bytes]:
    command = [DCMTK / tool, "-aec", called, "127.0.0.1", str(peer.port), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=240, env={**os.environ, "TCP_NODELAY": "1"})


def failed(got: subprocess.CompletedProcess[bytes]) -> int:
    """How many sub-operations failed, as getscu -v reports."""
    count = re.search(rb"Number of Failed Suboperations +: (\d+)", got.stdout + got.stderr)
    assert count is not None, got.stderr
    return int(count[1])


def data_sets(folder: Path) -> dict[str, tuple[str, bytes]]:
    """SOP Instance UID -> transfer syntax and encoded data set, for every file below a folder."""
    instances = [split_part10(path.read_bytes()) for path in folder.rglob("*") if path.is_file()]
    return {one.sop_uid: (one.transfer_syntax_uid, b"".join(one.parts)) for one in instances}


@dataclass
class Site:
    """An archive that was filled with DCMTK's tools, and a sink it may move to."""

    archive: Peer
    sink: Peer
    sources: Path
    ct: StudyFiles
    compressed: StudyFiles
    deflated: StudyFiles
    implicit: StudyFiles
    report: StudyFiles

    def find(self, folder: Path, model: str, *keys: str) -> list[Dataset]:
        """Answers of the archive to findscu, as data sets."""
        folder.mkdir(exist_ok=True)
        found = run(
            "findscu", self.archive, model, "-X", "-od", folder, *(part for key in keys for part in ("-k", key))
        )
        assert found.returncode == 0, found.stderr
        return [dcmread(path, force=True) for path in sorted(folder.glob("rsp*.dcm"))]

    def studies(self, folder: Path, *keys: str) -> set[str]:
        answers = self.find(folder, "-S", "QueryRetrieveLevel=STUDY", "StudyInstanceUID", *keys)
        return {str(answer.StudyInstanceUID) for answer in answers}

    def get(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        folder.mkdir()
        return run("getscu", self.archive, "-v", "-S", "+B", "-od", folder, *arguments)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("archive")
    sources = root / "sources"
    with storescp(root / "sink", "SINK", "+xa", "+B") as sink, archive(root / "db", {"SINK": sink.port}) as peer:
        filled = Site(
            archive=peer,
            sink=sink,
            sources=sources,
            ct=studies.write_ct(sources / "ct", 1, 1, (5, 4), 32, 32),
            compressed=studies.write_compressed(sources / "compressed"),
            deflated=studies.write_deflated(sources / "deflated"),
            implicit=studies.write_mr_implicit(sources / "implicit"),
            report=studies.write_sr(sources / "sr"),
        )
        for name in ("ct", "compressed", "deflated", "sr"):
            sent = run("dcmsend", peer, "-dn", "+sd", sources / name)
            assert sent.returncode == 0, sent.stderr
        sent = run("storescu", peer, "-xi", "+sd", sources / "implicit")
        assert sent.returncode == 0, sent.stderr
        yield filled


def test_what_was_sent_is_kept_byte_for_byte_in_every_syntax(site: Site) -> None:
    kept = data_sets(site.archive.directory)
    assert kept == data_sets(site.sources)
    assert {syntax for syntax, _ in kept.values()} == {EXPLICIT, IMPLICIT, DEFLATED, JPEG_LOSSLESS, JPEG_2000}


def test_it_answers_to_its_name_only(site: Site) -> None:
    assert run("echoscu", site.archive).returncode == 0
    assert run("echoscu", site.archive, called="OTHER").returncode != 0


def test_a_study_is_got_byte_for_byte(site: Site, tmp_path: Path) -> None:
    for name, study in {"ct": site.ct, "implicit": site.implicit}.items():
        got = site.get(tmp_path / name, "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study.study_uid}")
        assert got.returncode == 0, got.stderr
        assert data_sets(tmp_path / name) == data_sets(site.sources / name)


def test_chosen_instances_of_a_series_are_got(site: Site, tmp_path: Path) -> None:
    series = site.find(tmp_path / "find", "-S", "QueryRetrieveLevel=IMAGE", f"StudyInstanceUID={site.ct.study_uid}",
                       "SeriesInstanceUID", "SOPInstanceUID")  # fmt: skip
    wanted = [answer for answer in series if answer.SeriesInstanceUID == series[0].SeriesInstanceUID][:2]
    uids = "\\".join(str(answer.SOPInstanceUID) for answer in wanted)
    got = site.get(
        tmp_path / "got",
        *("-k", "QueryRetrieveLevel=IMAGE", "-k", f"StudyInstanceUID={site.ct.study_uid}"),
        *("-k", f"SeriesInstanceUID={series[0].SeriesInstanceUID}", "-k", f"SOPInstanceUID={uids}"),
    )
    assert got.returncode == 0, got.stderr
    assert set(data_sets(tmp_path / "got")) == {str(answer.SOPInstanceUID) for answer in wanted}


def test_compressed_instances_are_never_sent_in_a_syntax_that_was_not_agreed(site: Site, tmp_path: Path) -> None:
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={site.compressed.study_uid}")
    refused = site.get(tmp_path / "native", *keys)
    assert data_sets(tmp_path / "native") == {}
    assert failed(refused) == 6
    some = site.get(tmp_path / "j2k", "+xv", *keys)
    got = data_sets(tmp_path / "j2k")
    assert got
    assert {syntax for syntax, _ in got.values()} == {JPEG_2000}
    assert got.items() <= data_sets(site.sources / "compressed").items()
    assert failed(some) == 6 - len(got)


def test_studies_are_moved_byte_for_byte_in_every_syntax(site: Site) -> None:
    for study in (site.ct, site.compressed, site.deflated, site.implicit, site.report):
        moved = run("movescu", site.archive, "-v", "-S", "-aem", "SINK", "-k", "QueryRetrieveLevel=STUDY",
                    "-k", f"StudyInstanceUID={study.study_uid}")  # fmt: skip
        assert moved.returncode == 0, moved.stderr
    assert data_sets(site.sink.directory / "db") == data_sets(site.sources)


def test_a_move_to_a_stranger_fails(site: Site) -> None:
    moved = run("movescu", site.archive, "-v", "-S", "-aem", "STRANGER", "-k", "QueryRetrieveLevel=STUDY",
                "-k", f"StudyInstanceUID={site.ct.study_uid}")  # fmt: skip
    assert b"MoveDestinationUnknown" in moved.stdout + moved.stderr


def test_a_study_that_is_not_there_is_a_success_of_nothing(site: Site, tmp_path: Path) -> None:
    got = site.get(tmp_path / "got", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3")
    assert got.returncode == 0
    assert data_sets(tmp_path / "got") == {}


def test_studies_are_found_by_each_kind_of_key(site: Site, tmp_path: Path) -> None:
    everything = {study.study_uid for study in (site.ct, site.compressed, site.deflated, site.implicit, site.report)}
    year = studies.STUDY_DATE[:4]
    assert site.studies(tmp_path / "all") == everything
    assert site.studies(tmp_path / "id", f"PatientID={site.ct.patient_id}") == {site.ct.study_uid}
    assert site.studies(tmp_path / "wild", f"PatientID={site.ct.patient_id[:-1]}?") == everything
    assert site.studies(tmp_path / "name", f"PatientName={site.ct.patient_name.lower()}") == {site.ct.study_uid}
    assert site.studies(tmp_path / "names", "PatientName=*^*") == everything
    assert site.studies(tmp_path / "list", f"StudyInstanceUID={site.ct.study_uid}\\{site.report.study_uid}\\1.2") == {
        site.ct.study_uid,
        site.report.study_uid,
    }
    assert site.studies(tmp_path / "from", f"StudyDate={studies.STUDY_DATE}-") == everything
    assert site.studies(tmp_path / "year", f"StudyDate={year}0101-{year}1231") == everything
    assert site.studies(tmp_path / "to", f"StudyDate=-{int(year) - 1}1231") == set()
    assert site.studies(tmp_path / "day", f"StudyDate={year}0101") == set()
    assert site.studies(tmp_path / "sr", "ModalitiesInStudy=SR") == {site.report.study_uid}
    assert site.studies(tmp_path / "mr", "ModalitiesInStudy=MR\\SR") == {
        site.report.study_uid,
        site.compressed.study_uid,
        site.implicit.study_uid,
    }


def test_counts_classes_and_syntaxes_are_told(site: Site, tmp_path: Path) -> None:
    uid = f"StudyInstanceUID={site.compressed.study_uid}"
    (study,) = site.find(tmp_path / "study", "-S", "QueryRetrieveLevel=STUDY", uid, "NumberOfStudyRelatedInstances",
                         "NumberOfStudyRelatedSeries", "ModalitiesInStudy", "PatientID")  # fmt: skip
    assert (int(study.NumberOfStudyRelatedInstances), int(study.NumberOfStudyRelatedSeries)) == (6, 2)
    assert (study.ModalitiesInStudy, study.PatientID) == ("MR", site.compressed.patient_id)
    series = site.find(tmp_path / "series", "-S", "QueryRetrieveLevel=SERIES", uid, "SeriesInstanceUID", "Modality",
                       "NumberOfSeriesRelatedInstances")  # fmt: skip
    assert [int(one.NumberOfSeriesRelatedInstances) for one in series] == [3, 3]
    instances = site.find(tmp_path / "image", "-S", "QueryRetrieveLevel=IMAGE", uid,
                          f"SeriesInstanceUID={series[0].SeriesInstanceUID}", "SOPInstanceUID", "SOPClassUID",
                          "AvailableTransferSyntaxUID")  # fmt: skip
    assert len(instances) == 3
    for one in instances:
        stored = split_part10((site.archive.directory / f"{one.SOPInstanceUID}.dcm").read_bytes())
        assert (one.SOPClassUID, one[0x00083002].value) == (stored.sop_class_uid, stored.transfer_syntax_uid)


def test_patients_are_found_in_the_patient_root_only(site: Site, tmp_path: Path) -> None:
    found = site.find(tmp_path / "P", "-P", "QueryRetrieveLevel=PATIENT", "PatientID", "NumberOfPatientRelatedStudies")
    assert Counter(str(one.PatientID) for one in found) == Counter(
        study.patient_id for study in (site.ct, site.compressed, site.deflated, site.implicit, site.report)
    )
    assert {int(one.NumberOfPatientRelatedStudies) for one in found} == {1}
    assert site.find(tmp_path / "S", "-S", "QueryRetrieveLevel=PATIENT", "PatientID") == []


def test_instances_outlive_a_restart_and_halves_do_not(tmp_path: Path) -> None:
    study = studies.write_ct(tmp_path / "sources", 1, 1, (3,), 16, 16)
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "1.2.3.dcm.1.part").write_bytes(study.files[0].read_bytes()[:900])
    with archive(tmp_path / "db") as peer:
        assert run("dcmsend", peer, "+sd", tmp_path / "sources").returncode == 0
    assert peer.process.returncode == 0
    with archive(tmp_path / "db") as peer:
        got = run("getscu", peer, "-S", "+B", "-od", tmp_path, "-k", "QueryRetrieveLevel=STUDY",
                  "-k", f"StudyInstanceUID={study.study_uid}")  # fmt: skip
        assert got.returncode == 0, got.stderr
    assert data_sets(tmp_path / "db") == data_sets(tmp_path / "sources")


def test_sending_an_instance_again_replaces_it(tmp_path: Path) -> None:
    studies.write_ct(tmp_path / "first", 1, 1, (1,), 16, 16)
    studies.write_ct(tmp_path / "second", 1, 1, (1,), 24, 24)
    with archive(tmp_path / "db") as peer:
        for name in ("first", "second"):
            assert run("dcmsend", peer, "+sd", tmp_path / name).returncode == 0
    assert data_sets(tmp_path / "db") == data_sets(tmp_path / "second")


def test_noise_on_the_port_harms_nobody(tmp_path: Path) -> None:
    with archive(tmp_path / "db") as peer:
        for noise in (
            b"GET / HTTP/1.1\r\n\r\n",
            bytes(200),
            b"\x01\x00\xff\xff\xff\xff",
            b"\x04\x00\x00\x00\x00\x02ab",
        ):
            may_have_hung_up = contextlib.suppress(OSError)
            with socket.create_connection(("127.0.0.1", peer.port)) as connection, may_have_hung_up:
                connection.sendall(noise)
                connection.shutdown(socket.SHUT_WR)
                assert connection.recv(100) == b""
        assert run("echoscu", peer).returncode == 0
