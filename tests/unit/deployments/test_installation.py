"""One data directory: its master key, its lock, and what it tells other processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from deployments import installation
from models.domain.errors import BadRequest, NotPermitted
from models.settings import Settings
from tests.house.source_tree import ROOT


def test_a_development_installation_makes_its_master_key_once(a_data_dir: Path) -> None:
    first = installation.open_settings(makes_key=True).master_key.get_secret_value()
    del os.environ["ADIT_MASTER_KEY"]
    assert installation.open_settings(makes_key=True).master_key.get_secret_value() == first
    assert (a_data_dir / "master.key").stat().st_mode & 0o777 == 0o600
    assert a_data_dir.stat().st_mode & 0o777 == 0o700


def test_a_production_installation_makes_no_master_key(a_data_dir: Path) -> None:
    os.environ["ADIT_ENVIRONMENT"] = "production"
    with pytest.raises(NotPermitted, match="ADIT_MASTER_KEY"):
        installation.open_settings(makes_key=True)
    assert not a_data_dir.exists()


def test_a_master_key_in_the_environment_goes_before_the_one_in_the_directory(a_data_dir: Path) -> None:
    installation.open_settings(makes_key=True)
    given = Fernet.generate_key().decode()
    os.environ["ADIT_MASTER_KEY"] = given
    assert installation.open_settings().master_key.get_secret_value() == given


def test_the_password_of_prefect_is_made_once_and_for_this_user_only(a_data_dir: Path) -> None:
    first = installation.open_settings(makes_key=True).prefect_auth.get_secret_value()
    del os.environ["ADIT_PREFECT_AUTH"]
    opened = installation.open_settings()
    assert opened.prefect_auth.get_secret_value() == first
    assert first.startswith("adit:") and len(first) > 30
    assert (a_data_dir / "prefect.auth").stat().st_mode & 0o777 == 0o600
    assert installation.exported(opened)["ADIT_PREFECT_AUTH"] == first
    assert str(a_data_dir / "prefect.auth") in installation.how_to_sign_in(opened)


def test_a_production_installation_makes_the_password_of_prefect_too(a_data_dir: Path) -> None:
    os.environ |= {"ADIT_ENVIRONMENT": "production", "ADIT_MASTER_KEY": Fernet.generate_key().decode()}
    assert installation.open_settings(makes_key=True).prefect_auth.get_secret_value()


def test_a_password_of_prefect_in_the_environment_goes_before_the_one_in_the_directory(a_data_dir: Path) -> None:
    installation.open_settings(makes_key=True)
    os.environ["ADIT_PREFECT_AUTH"] = "eve:Yei7aeph"
    opened = installation.open_settings()
    assert opened.prefect_auth.get_secret_value() == "eve:Yei7aeph"
    assert installation.how_to_sign_in(opened) == "with the value of ADIT_PREFECT_AUTH"


def test_an_empty_password_file_does_not_open_prefect_to_everybody(a_data_dir: Path) -> None:
    installation.open_settings(makes_key=True)
    del os.environ["ADIT_PREFECT_AUTH"]
    (a_data_dir / "prefect.auth").write_text("")
    with pytest.raises(BadRequest, match=r"prefect\.auth is empty"):
        installation.open_settings(makes_key=True)


def test_looking_into_an_empty_directory_makes_no_installation(a_data_dir: Path) -> None:
    with pytest.raises(BadRequest, match="no installation"):
        installation.open_settings()
    assert not a_data_dir.exists()


def test_wrong_settings_are_named_and_their_values_are_not(a_data_dir: Path) -> None:
    os.environ |= {"ADIT_MASTER_KEY": "not-a-key", "ADIT_PREFECT_PORT": "99999"}
    with pytest.raises(BadRequest) as refusal:
        installation.open_settings()
    assert "ADIT_MASTER_KEY" in refusal.value.message
    assert "ADIT_PREFECT_PORT" in refusal.value.message
    assert "not-a-key" not in refusal.value.message


def test_exported_settings_mean_the_same_in_another_directory(a_data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "ADIT_DATABASE_URL=sqlite:///own.db\nADIT_EXCLUDE_MODALITIES=pr, sr\n"
        "ADIT_REGISTRATION_DOMAINS=example.org, uni.example\n"
    )
    here = installation.open_settings(Path("data"), makes_key=True, receiver_port=12345)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in [name for name in os.environ if name.startswith("ADIT_")]:
        del os.environ[name]
    os.environ |= installation.exported(here)
    os.chdir(elsewhere)
    there = Settings()
    assert there.url == f"sqlite:///{tmp_path / 'own.db'}"
    assert there.model_copy(update={"database_url": here.database_url}) == here


def test_pages_are_found_at_their_port_unless_somebody_said_where(a_data_dir: Path) -> None:
    chosen = installation.open_settings(makes_key=True, web_port=8123)
    assert installation.with_web_url(chosen).web_url == "http://localhost:8123"
    assert installation.exported(installation.open_settings())["ADIT_WEB_URL"] == "http://localhost:8123"
    os.environ["ADIT_WEB_URL"] = "https://adit.example.org"
    assert installation.with_web_url(installation.open_settings()).web_url == "https://adit.example.org"


def test_only_one_works_on_a_data_directory(a_data_dir: Path) -> None:
    settings = installation.open_settings(makes_key=True)
    with installation.locked(settings):
        assert _said_by_another_process() == "WrongState"
    with installation.locked(settings):
        pass


def test_others_find_the_running_stack_and_only_while_it_runs(a_data_dir: Path) -> None:
    settings = installation.open_settings(makes_key=True, prefect_port=4300)
    assert installation.running(settings) is None
    with installation.locked(settings):
        installation.write_down(settings)
        note = installation.running(settings)
        assert note is not None
        assert (note.pid, note.prefect_port) == (os.getpid(), 4300)
    assert installation.running(settings) is None


def _said_by_another_process() -> str:
    """What a second process says that wants to work on the data directory of the environment."""
    program = """
from deployments import installation
from models.domain.errors import WrongState

try:
    with installation.locked(installation.open_settings()):
        print("nothing")
except WrongState as error:
    print(error.code)
"""
    other = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=120, check=True)
    return other.stdout.decode().strip()
