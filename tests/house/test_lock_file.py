"""requirements.lock installs what pyproject.toml asks for, checked by hash, from whatever index the machine uses."""

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.source_tree import ROOT

LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def locked() -> dict[str, tuple[str, str]]:
    """Name to version and the rest of the entry."""
    entries = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)(.*?)(?=^\S|\Z)", LOCK, re.MULTILINE | re.DOTALL)
    return {canonicalize_name(name): (version, rest) for name, version, rest in entries}


def wanted() -> list[Requirement]:
    build = PROJECT["build-system"]["requires"]
    return [
        Requirement(text)
        for text in [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"], *build]
    ]


def test_every_locked_package_has_hashes() -> None:
    assert len(locked()) == len(re.findall(r"^[A-Za-z0-9]", LOCK, re.MULTILINE))
    assert [name for name, (_, rest) in locked().items() if "--hash=sha256:" not in rest] == []


def test_the_lock_file_names_no_index_and_no_file_of_a_machine() -> None:
    lines = [line for line in LOCK.splitlines() if not line.startswith("#")]
    assert [line for line in lines if re.search(r"://|file:|^\s*-(-index|-extra|-find|i |f )", line)] == []


def test_every_requirement_of_the_project_is_locked_at_a_version_it_allows() -> None:
    versions = {name: version for name, (version, _) in locked().items()}
    problems = [
        str(requirement)
        for requirement in wanted()
        if versions.get(canonicalize_name(requirement.name)) not in requirement.specifier
    ]
    assert problems == [], "run `make lock`"
