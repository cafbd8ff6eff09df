"""What `adit profile` tells about profiles, and about what they would do to a file."""

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from deployments.cli import app
from dicom.deid import table
from dicom.deid.policy import compiled
from dicom.deid.profile import load, shipped
from dicom.deid.rules import Rule
from dicom.deid.statement import IN_WORDS, statement, treated_rows
from tests.corpus import CorpusInstance, instance_of


def adit(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def written(original: CorpusInstance, directory: Path) -> Path:
    file = directory / f"{original.kind}.dcm"
    file.write_bytes(original.part10)
    return file


@pytest.fixture
def a_site_profile(a_data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    directory = tmp_path / "profiles"
    directory.mkdir()
    (directory / "cardiac.yaml").write_text("extends: research\ntitle: Cardiac registry\napproved_words: [cinefisp]\n")
    monkeypatch.setenv("ADIT_PROFILES_DIR", str(directory))
    return "cardiac"


def test_all_profiles_are_listed_with_where_they_are_from(a_site_profile: str) -> None:
    listed = adit("profile", "list").output
    assert all(name in listed for name in (*shipped(), a_site_profile, "Cardiac registry"))
    assert compiled(load("research")).digest in listed


def test_a_broken_profile_is_listed_with_its_reason(a_site_profile: str, tmp_path: Path) -> None:
    (tmp_path / "profiles" / "broken.yaml").write_text("extends: research\noverrides: {PatientName: keep}\n")
    result = adit("profile", "list")
    assert result.exit_code == 0
    assert "(0010,0010)" in result.output
    assert adit("profile", "show", "broken").exit_code == 2


@pytest.mark.parametrize("name", shipped())
def test_a_statement_says_what_an_output_claims_and_still_tells(name: str, a_data_dir: Path) -> None:
    policy = compiled(load(name))
    shown = adit("profile", "show", name).output
    assert policy.digest in shown
    assert all(f"{code}  {meaning}" in shown for code, meaning in policy.codes)
    assert all(sentence in shown for sentence in policy.profile.discloses)
    assert "657 attributes" in shown


def test_a_statement_names_what_a_site_chose(a_site_profile: str) -> None:
    assert "cinefisp" in adit("profile", "show", a_site_profile).output


def test_overrides_that_break_conformance_are_said_to(a_site_profile: str, tmp_path: Path) -> None:
    (tmp_path / "profiles" / "loose.yaml").write_text("extends: basic\noverrides: {AccessionNumber: keep}\n")
    shown = adit("profile", "show", "loose").output
    assert "113100" not in shown
    assert "(0008,0050) AccessionNumber: keep" in shown


def test_each_rule_has_words_and_each_row_a_rule() -> None:
    assert set(IN_WORDS) == set(Rule)
    for name in shipped():
        rows = list(treated_rows(compiled(load(name))))
        assert [row.tag.strip("()") for row in rows] == [row.tag.strip("()") for row in table.rows()]
    assert any(row.keyword == "PatientName" and row.action == "replaced by the pseudonym" for row in rows)


def test_rows_can_be_shown(a_data_dir: Path) -> None:
    assert adit("profile", "show", "basic", "--rows").output.count("replaced by another UID") > 40


def test_a_trial_shows_what_would_change_and_leaves_the_file_alone(a_data_dir: Path, tmp_path: Path) -> None:
    file = written(instance_of("ct"), tmp_path)
    before = file.read_bytes()
    result = adit("profile", "try", "research", file)
    assert result.exit_code == 0
    assert "PSEUDONYM" in result.output
    assert "(removed)" in result.output
    assert "(unchanged)" not in result.output
    assert "(unchanged)" in adit("profile", "try", "research", file, "--unchanged").output
    assert file.read_bytes() == before
    assert not a_data_dir.exists()


def test_a_trial_says_what_would_not_be_delivered_and_why(a_data_dir: Path, tmp_path: Path) -> None:
    pdf, ct = written(instance_of("pdf"), tmp_path), written(instance_of("ct"), tmp_path)
    result = adit("profile", "try", "basic", pdf, ct)
    assert result.exit_code == 2
    assert "Not delivered. Excluded" in result.output
    assert "PSEUDONYM" in result.output


def test_a_file_that_is_no_dicom_or_not_there_is_named(a_data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    assert "Unreadable" in adit("profile", "try", "basic", tmp_path / "note.txt").output
    missing = adit("profile", "try", "basic", tmp_path / "missing.dcm")
    assert missing.exit_code == 2
    assert "missing.dcm" in missing.output


def test_the_statement_of_a_profile_without_overrides_has_no_empty_sections() -> None:
    lines = list(statement(compiled(load("basic"))))
    assert "Overrides" not in lines
    assert "Options" not in lines
