"""People choose among profiles that work, in words."""

from pathlib import Path

from cryptography.fernet import Fernet

from models.settings import Settings
from services import profiles


def settings(**values: object) -> Settings:
    return Settings(master_key=Fernet.generate_key().decode(), _env_file=None, **values)  # type: ignore[arg-type]


def test_the_profile_of_the_settings_comes_first_and_each_has_its_words() -> None:
    found = profiles.choices(settings(profile="basic"))

    assert [choice.name for choice in found] == ["basic", "adit-compatible", "research"]
    assert all(choice.title and choice.summary and choice.discloses for choice in found)


def test_a_site_profile_that_is_not_valid_is_not_offered(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text("extends: research\ntitle: Ours\nsummary: What we agreed on.\n")
    (tmp_path / "broken.yaml").write_text("extends: nothing-that-exists\n")

    found = {choice.name: choice.title for choice in profiles.choices(settings(profiles_dir=tmp_path))}

    assert found["ours"] == "Ours"
    assert "broken" not in found
