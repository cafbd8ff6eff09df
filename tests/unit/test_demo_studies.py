"""The invented studies are what they promise: realistic, unlike one another, and the same every time."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from deployments.demo import lossless_jpeg, studies


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = studies.write_demo(tmp_path / "a"), studies.write_demo(tmp_path / "b")
    for one, other in zip(first, second, strict=True):
        assert [file.read_bytes() for file in one.files] == [file.read_bytes() for file in other.files]


def test_every_instance_has_its_own_uid_and_the_study_its_own_patient(tmp_path: Path) -> None:
    made = [*studies.write_demo(tmp_path / "demo"), *studies.write_mr_many(tmp_path / "many", studies=1)]
    headers = [dcmread(file, stop_before_pixels=True) for study in made for file in study.files]
    assert len({header.SOPInstanceUID for header in headers}) == len(headers)
    assert len({header.PatientID for header in headers}) == len(made)
    assert len({header.StudyInstanceUID for header in headers}) == len(made)


def test_instances_are_numbered_and_placed_one_behind_the_other(tmp_path: Path) -> None:
    study = studies.write_ct(tmp_path, instances=(5,), rows=8, columns=8)
    headers = [dcmread(file) for file in study.files]
    assert [header.InstanceNumber for header in headers] == [1, 2, 3, 4, 5]
    assert len({header.SliceLocation for header in headers}) == 5
    assert all(header.SliceLocation == header.ImagePositionPatient[2] for header in headers)


def test_identities_are_planted_at_many_places(tmp_path: Path) -> None:
    study = studies.write_ct(tmp_path, instances=(1,), rows=8, columns=8)
    data = study.files[0].read_bytes()
    for value in studies.identifying_values([study]):
        assert value.encode() in data
    assert data.count(study.patient_name.split("^")[0].encode()) > 10


def test_two_patients_share_no_identifying_value(tmp_path: Path) -> None:
    one, other = (studies.write_sr(tmp_path / str(n), patient=n, study=n) for n in (1, 2))
    assert not one.planted & other.planted


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (64, 64)])
def test_lossless_jpeg_comes_back_as_it_was(tmp_path: Path, shape: tuple[int, int]) -> None:
    study = studies.write_compressed(tmp_path, instances=1)
    image = np.random.default_rng(1).integers(0, 1 << 16, shape, dtype=np.uint16)
    dataset = dcmread(study.files[-1])
    dataset.Rows, dataset.Columns = shape
    dataset.BitsStored, dataset.HighBit = 16, 15
    dataset.PixelData = studies.encapsulate([lossless_jpeg.encode(image)])
    dataset.save_as(tmp_path / "in.dcm")
    command = ["/usr/bin/dcmdjpeg", str(tmp_path / "in.dcm"), str(tmp_path / "out.dcm")]
    subprocess.run(command, check=True, capture_output=True)
    assert np.array_equal(dcmread(tmp_path / "out.dcm").pixel_array.reshape(shape), image)


def test_the_report_is_a_valid_tree_for_dcmtk(tmp_path: Path) -> None:
    report = studies.write_sr(tmp_path).files[0]
    shown = subprocess.run(["/usr/bin/dsrdump", str(report)], check=True, capture_output=True).stdout
    assert b'NUM:(,,"Length")="44.5"' in shown
