"""What runs in containers and units exists: commands, settings, health checks, files; and nothing more than runs."""

import os
import re
import shlex
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from deployments import alive, docker
from deployments.cli import app
from models.settings import Settings
from services.worker_names import machine_of
from tests.house.source_tree import ROOT
from tests.house.test_docs import check_call, shell_lines
from tests.house.test_lock_file import PROJECT

EXAMPLE = (ROOT / "example.env").read_text()
COMPOSE_FILES = sorted(docker.CONTAINERS.glob("compose*.yaml"))
UNITS = sorted((ROOT / "deployments" / "systemd").glob("*.service"))
TARGET = ROOT / "deployments" / "systemd" / "adit.target"
DESCRIPTIONS = [*COMPOSE_FILES, docker.CONTAINERS / "Dockerfile", docker.CONTAINERS / "Caddyfile", *UNITS]
PROGRAMS = {"init", "prefect-server", "web", "dispatcher", "receiver", "worker"}
LOCK = docker.CONTAINERS / "requirements.lock"
PLACEHOLDER = re.compile(r"\$\{(?P<name>\w+)(:-(?P<default>[^}]*))?\}")


def name_of(path: Path) -> str:
    return path.name


def loaded(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def services() -> dict[str, Any]:
    """Of the first file, where every program has its service."""
    return loaded(docker.BASE)["services"]


def filled(text: str) -> str:
    """A text of a compose file with the defaults of its placeholders."""
    return PLACEHOLDER.sub(lambda match: match["default"] or "", text)


def unit(path: Path) -> RawConfigParser:
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(path)
    return parser


def entries(lock: Path) -> dict[str, str]:
    """Each locked package with its version, and its hashes."""
    text = "\n".join(line for line in lock.read_text().splitlines() if not line.lstrip().startswith("#"))
    found = re.findall(r"^([a-z0-9][^ \n]*==[^\\]*)\\((?:\n\s+--hash=\S+(?: \\)?)+)", text, re.MULTILINE)
    return {name.strip(): " ".join(sorted(hashes.replace("\\", "").split())) for name, hashes in found}


@pytest.mark.parametrize("path", DESCRIPTIONS, ids=name_of)
def test_variables_are_settings(path: Path) -> None:
    named = set(re.findall(r"\bADIT_[A-Z_]+\b", path.read_text()))
    assert named <= {f"ADIT_{field.upper()}" for field in Settings.model_fields}


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=name_of)
def test_placeholders_are_named_in_the_example_or_made_by_the_command(path: Path, tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text(EXAMPLE)
    files = {name: name for name in ("STACK_CERTIFICATE_FILE", "STACK_KEY_FILE")}
    for name in files:
        (tmp_path / name).touch()
    given = docker.deploy(env, {**dict(re.findall(r"^([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE)), **files}).variables
    named = {match["name"] for match in PLACEHOLDER.finditer(path.read_text())}
    assert named - {*given, "STACK_IMAGE_ID"} == set()


def test_what_the_example_says_of_containers_is_used() -> None:
    code = "".join(path.read_text() for path in [*COMPOSE_FILES, docker.CONTAINERS / "Caddyfile"])
    code += (ROOT / "deployments" / "docker.py").read_text()
    assert [name for name in re.findall(r"^(STACK_[A-Z_]+)=", EXAMPLE, re.MULTILINE) if name not in code] == []


def test_every_program_has_a_service_whose_command_exists() -> None:
    ours = {name: service for name, service in services().items() if "adit" in service["image"]}
    assert set(ours) == PROGRAMS
    for name, service in ours.items():
        check_call(typer.main.get_command(app), [filled(word) for word in service["command"]])
        assert name == "init" or service["healthcheck"]["test"][:4] == ["CMD", "python", "-m", "deployments.alive"]


def test_health_checks_ask_for_programs_that_can_be_asked() -> None:
    checks = {name: service.get("healthcheck", {}).get("test", []) for name, service in services().items()}
    assert {check[-1] for check in checks.values() if "deployments.alive" in check} == set(alive.PROGRAMS)


def test_every_program_has_a_unit_whose_command_exists() -> None:
    assert {path.stem.removeprefix("adit-").removesuffix("@") for path in UNITS} == PROGRAMS
    for path in UNITS:
        program, *words = shlex.split(unit(path)["Service"]["ExecStart"])
        assert Path(program).name == "adit"
        check_call(typer.main.get_command(app), words)


def test_units_belong_to_the_target_and_have_time_to_stop() -> None:
    for path in UNITS:
        assert unit(path)["Unit"]["PartOf"] == unit(path)["Install"]["WantedBy"] == "adit.target"
        assert unit(path)["Service"]["User"] == "adit"
    assert int(unit(UNITS[-1])["Service"]["TimeoutStopSec"]) > 20, "flow runs get 20 seconds"


def test_a_worker_of_a_unit_is_of_the_machine_on_which_it_runs() -> None:
    (path,) = (path for path in UNITS if path.stem == "adit-worker@")
    *_, name = shlex.split(unit(path)["Service"]["ExecStart"])
    named = name.replace("%H", "pacs-2").replace("%i", "1")
    assert named != name and machine_of(named) == "pacs-2"


def test_the_target_starts_what_is_enabled_on_the_machine_and_nothing_else() -> None:
    """Else a machine with workers only would become a second centre."""
    target = unit(TARGET)
    assert not {"Wants", "Requires", "BindsTo", "Upholds"} & set(target["Unit"])
    assert target["Install"]["WantedBy"] == "multi-user.target"


@pytest.mark.skipif(shutil.which("systemctl") is None, reason="systemd is not installed")
def test_the_guides_calls_of_systemctl_have_a_machine_start_what_it_has_at_boot(tmp_path: Path) -> None:
    calls = enabling_calls()
    centre, worker_machine = [enabled(words, tmp_path / str(number)) for number, words in enumerate(calls)]
    assert centre == {f"adit-{program}.service" for program in PROGRAMS - {"worker"}} | {
        "adit-worker@1.service",
        "adit-worker@2.service",
    }
    assert worker_machine == {"adit-receiver.service", "adit-worker@1.service"}


def enabling_calls() -> list[list[str]]:
    """Those of docs/operations.md: for the centre, and for a machine with workers only."""
    calls = [shlex.split(line) for line in shell_lines((ROOT / "docs" / "operations.md").read_text())]
    return [words[1:] for words in calls if words[:3] == ["sudo", "systemctl", "enable"]]


def enabled(words: list[str], machine: Path) -> set[str]:
    """The units that start at boot where these words were said."""
    units = machine / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    for path in [*UNITS, TARGET]:
        shutil.copy(path, units)
    subprocess.run([words[0], f"--root={machine}", *words[1:]], check=True, capture_output=True)
    assert (units / "multi-user.target.wants" / TARGET.name).is_symlink()
    return {path.name for path in (units / "adit.target.wants").iterdir()}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for path in [*UNITS, TARGET]:
        text = path.read_text().replace("/opt/adit/.venv/bin/adit", "/bin/true").replace("=adit\n", "=root\n")
        (tmp_path / path.name.replace("@.", "@1.")).write_text(text)
    files = sorted(map(str, tmp_path.iterdir()))
    checked = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False)
    told = [line for line in checked.stderr.splitlines() if "adit" in line and "documentation" not in line.lower()]
    assert told == []


@pytest.mark.skipif(shutil.which("docker") is None, reason="the docker command is not installed")
def test_docker_understands_the_stack(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("STACK_WORKERS=3\n")
    variables = docker.deploy(env, {"STACK_WORKERS": "3", "STACK_KEY_FILE": ".env"}).variables
    words = ["docker", "stack", "config", "-c", str(docker.BASE), "-c", str(docker.PRODUCTION)]
    told = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, **variables})
    assert told.returncode == 0, told.stderr
    stack = yaml.safe_load(told.stdout)
    assert stack["services"]["worker"]["deploy"]["replicas"] == 3
    assert stack["secrets"]["environment"]["file"] == str(env)
    assert variables["STACK_ENVIRONMENT_DIGEST"] in stack["secrets"]["environment"]["name"]
    for name in PROGRAMS:
        service = stack["services"][name]
        assert [secret["source"] for secret in service["secrets"]] == ["environment"]
        assert not any("PASSWORD" in variable or "KEY" in variable for variable in service["environment"])
    assert all(Path(config["file"]).is_file() for config in stack["configs"].values())


def test_the_image_runs_as_nobody_in_particular() -> None:
    text = (docker.CONTAINERS / "Dockerfile").read_text()
    users = re.findall(r"^USER (\S+)$", text, re.MULTILINE)
    assert users == ["10001:10001"]
    assert text.rindex("USER ") > text.rindex("RUN ")


def test_the_image_takes_only_what_it_names() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    taken = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert all((ROOT / name).exists() for name in taken)
    assert {"prefect.yaml", "example.env", *PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]} <= taken
    assert not taken & {".", ".env", "data", "certificates", "tests"}


def test_the_image_gets_what_is_locked_and_nothing_of_development() -> None:
    everything, running = entries(ROOT / "requirements.lock"), entries(LOCK)
    assert len(running) > 100
    assert {name: hashes for name, hashes in running.items() if everything.get(name) != hashes} == {}, "run `make lock`"
    names = {re.split(r"[\[=]", name)[0] for name in running}
    wanted = {re.split(r"[\[<>=]", text)[0].lower() for text in PROJECT["project"]["dependencies"]}
    assert wanted <= names
    development = {re.split(r"[\[<>=]", text)[0].lower() for text in PROJECT["dependency-groups"]["dev"]}
    assert names & (development - {"hatchling", "websockets"}) == set(), "hatchling builds, websockets serves the pages"


def test_the_guides_name_of_the_command_is_the_same_command() -> None:
    scripts = PROJECT["project"]["scripts"]
    assert scripts["cli"] == scripts["adit"]
