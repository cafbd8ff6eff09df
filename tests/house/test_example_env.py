"""example.env names exactly the settings, with their defaults or what new ones need; production refuses its secrets."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from models.settings import EXAMPLE_MASTER_KEY, Settings

EXAMPLE = Path(__file__).parents[2] / "example.env"
FOR_NEW_INSTALLATIONS = {"keep_jobs_days": 180}
"""What a new one should begin with, and an older one should not get by an update: patient data would be gone."""


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"ADIT_{name.upper()}", raising=False)


def entries() -> dict[str, str]:
    """Settings only: what is behind them is for containers (test_containers.py)."""
    return dict(re.findall(r"^(ADIT_[A-Z_0-9]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))


def test_the_example_names_every_setting_in_order_and_no_other() -> None:
    assert list(entries()) == [f"ADIT_{name.upper()}" for name in Settings.model_fields]


def test_the_example_shows_the_defaults_but_for_what_only_new_installations_get() -> None:
    plain = Settings(_env_file=None, master_key=EXAMPLE_MASTER_KEY)  # type: ignore[call-arg, arg-type]
    assert Settings(_env_file=EXAMPLE) == plain.model_copy(update=FOR_NEW_INSTALLATIONS)  # type: ignore[call-arg]
    assert plain.keep_jobs_days == 0


def test_every_setting_is_described_by_its_own_description() -> None:
    comments = " ".join(line.removeprefix("# ") for line in EXAMPLE.read_text().splitlines() if line.startswith("# "))
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert " ".join(field.description.split()) in comments, name


def test_the_example_is_refused_in_production() -> None:
    with pytest.raises(ValidationError, match="master_key: the example key"):
        Settings(_env_file=EXAMPLE, environment="production")  # type: ignore[call-arg]
