"""Containers at the shell: what would be run, and when nothing is run at all."""

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deployments import docker
from deployments.cli import app
from models.settings import Settings


@pytest.fixture(autouse=True)
def an_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that is ready for production."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"ADIT_{name.upper()}", raising=False)
    call("init-workspace")
    call("randomize-env-secrets")
    call("generate-certificate-files", "--host", "adit.hospital.org")
    put("ADIT_ENVIRONMENT=development", "ADIT_ENVIRONMENT=production")
    put("ADIT_WEB_URL=http://localhost:8000", "ADIT_WEB_URL=https://adit.hospital.org")
    put("ADIT_PREFECT_PAGE_URL=", "ADIT_PREFECT_PAGE_URL=https://adit.hospital.org:4443")
    put("STACK_FOLDERS_DIR=/srv/adit", f"STACK_FOLDERS_DIR={tmp_path}")
    put("STACK_BACKUP_DIR=/srv/adit-backups", f"STACK_BACKUP_DIR={tmp_path}")
    return tmp_path / ".env"


def call(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def put(old: str, new: str) -> None:
    env = Path(".env")
    assert old in env.read_text()
    env.write_text(env.read_text().replace(old, new))


def test_a_stack_is_built_and_deployed() -> None:
    told = call("stack-deploy", "--simulate")
    build, deploy = told.output.splitlines()
    assert told.exit_code == 0
    assert build.startswith("docker build ") and "--tag adit:local" in build
    assert deploy.startswith("docker stack deploy ") and deploy.endswith(" adit")
    assert call("stack-deploy", "--simulate", "--no-build").output.splitlines() == [deploy]
    assert call("stack-rm", "--simulate").output == "docker stack rm adit\n"


def test_secrets_are_in_no_printed_call() -> None:
    told = call("stack-deploy", "--simulate").output + call("compose-down", "--simulate").output
    secrets = [line.split("=", 1)[1] for line in Path(".env").read_text().splitlines() if "PASSWORD=" in line]
    assert secrets and not any(secret in told for secret in secrets)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("ADIT_ENVIRONMENT=production", "ADIT_ENVIRONMENT=development", "of development"),
        (
            "ADIT_MAIL_FROM=adit@localhost",
            "ADIT_MAIL_FROM='adit@localhost'",
            "ADIT_MAIL_FROM: quotes would be a part of the value",
        ),
        ("ADIT_WEB_URL=https", "ADIT_WEB_URL=http", "web_url"),
        ("ADIT_LEASE_S=20", "ADIT_LEASE_S=no", "ADIT_LEASE_S"),
        ("ADIT_DATABASE_PASSWORD=", "ADIT_DATABASE_PASSWORD=\n#", "ADIT_DATABASE_PASSWORD: needed"),
        ("ADIT_MASTER_KEY=", "ADIT_MASTER_KEY=\n#", "ADIT_MASTER_KEY: Field required"),
        ("STACK_FOLDERS_DIR=/", "STACK_FOLDERS_DIR=/nowhere/", "STACK_FOLDERS_DIR: there is no such directory"),
        ("STACK_BACKUP_DIR=/", "STACK_BACKUP_DIR=/nowhere/", "STACK_BACKUP_DIR: there is no such directory"),
        ("ADIT_PREFECT_PAGE_URL=https", "ADIT_PREFECT_PAGE_URL=\n#", "ADIT_PREFECT_PAGE_URL: needed"),
        ("STACK_HTTPS_PORT=443", "STACK_HTTPS_PORT=https", "STACK_HTTPS_PORT: not a whole number from 1 to 65535"),
        ("STACK_RECEIVER_PORT=11112", "STACK_RECEIVER_PORT=0", "STACK_RECEIVER_PORT: not a whole number"),
        ("STACK_WORKERS=2", "STACK_WORKERS=-1", "STACK_WORKERS: not a whole number"),
        ("STACK_WORKER_LIMIT=4", "STACK_WORKER_LIMIT=0", "STACK_WORKER_LIMIT: not a whole number"),
        ("STACK_SUBNET=172.30.66.0/24", "STACK_SUBNET=172.30.66.1/24", "STACK_SUBNET: not a network"),
        ("STACK_NAME=adit", "STACK_NAME=our adit", "STACK_NAME: not of small letters"),
        ("certificates/adit.key", "certificates/gone.key", "STACK_KEY_FILE: there is no such file"),
    ],
)
def test_unsafe_or_unfinished_settings_are_not_deployed(old: str, new: str, why: str) -> None:
    put(old, new)
    told = call("stack-deploy", "--simulate")
    assert (told.exit_code, "docker" in told.output) == (2, False), told.output
    assert why in told.output


@pytest.mark.parametrize("password", ["Kv8-zeta", "Kv8/zeta", "Kv8%40zeta"])
@pytest.mark.parametrize(
    ("name", "scheme"),
    [("ADIT_DATABASE_URL", "postgresql+psycopg"), ("ADIT_PREFECT_DATABASE_URL", "postgresql+asyncpg")],
)
def test_a_password_in_the_address_of_a_database_is_not_deployed(name: str, scheme: str, password: str) -> None:
    """Addresses are variables of the containers, and Docker shows those."""
    put(f"{name}=\n", f"{name}={scheme}://adit:{password}@db.hospital.org:5432/adit\n")
    told = call("stack-deploy", "--simulate")
    assert (told.exit_code, password in told.output) == (2, False), told.output
    assert f"{name}: docker inspect would show its password" in told.output
    put(f":{password}@", "@")
    assert call("stack-deploy", "--simulate").exit_code == 0


def test_a_file_from_before_containers_is_deployed_with_the_defaults_of_the_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_docker(tmp_path, 'echo active; echo "$STACK_KEY_FILE" "$STACK_WORKERS" >>calls', monkeypatch)
    monkeypatch.setattr(docker, "ROOT", tmp_path)
    env = Path(".env")
    lines = env.read_text().splitlines()
    kept = [line for line in lines if not line.startswith("STACK_") or line.endswith(str(tmp_path))]
    env.write_text("\n".join(kept))
    told = call("stack-deploy")
    assert told.exit_code == 0, told.output
    assert (tmp_path / "calls").read_text().splitlines()[-1] == f"{tmp_path}/certificates/adit.key 2"


def test_containers_for_development_refuse_a_production_environment() -> None:
    refused = call("compose-up", "--simulate")
    assert (refused.exit_code, "stack-deploy" in refused.output) == (2, True)
    put("ADIT_ENVIRONMENT=production", "ADIT_ENVIRONMENT=development")
    told = call("compose-up", "--simulate", "--", "--force-recreate")
    assert told.exit_code == 0, told.output
    assert told.output.startswith("docker compose ") and told.output.endswith("up --detach --force-recreate\n")


def test_containers_for_development_need_a_password_for_postgresql() -> None:
    put("ADIT_ENVIRONMENT=production", "ADIT_ENVIRONMENT=development")
    put("ADIT_DATABASE_PASSWORD=", "ADIT_DATABASE_PASSWORD=\n#")
    told = call("compose-up", "--simulate")
    assert (told.exit_code, "randomize-env-secrets" in told.output) == (2, True)


@pytest.mark.parametrize(
    ("command", "ends"), [("down", "down"), ("build", "build"), ("pull", "pull --ignore-buildable")]
)
def test_containers_of_development_are_driven_by_compose(command: str, ends: str) -> None:
    told = call(f"compose-{command}", "--simulate")
    assert (told.exit_code, told.output.endswith(f" {ends}\n")) == (0, True), told.output


def test_every_image_that_is_not_built_here_is_downloaded() -> None:
    words = shlex.split(call("compose-pull", "--simulate").output)
    files = [Path(word) for word in words if word.endswith(".yaml")]
    assert sorted(files) == sorted(docker.CONTAINERS.glob("compose*.yaml"))


@pytest.mark.parametrize("command", ["stack-deploy", "stack-rm", "compose-down", "compose-pull"])
def test_without_docker_it_says_what_to_install(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    told = call(command)
    assert (told.exit_code, "Install Docker Engine" in told.output) == (2, True), told.output


def test_a_changed_env_file_makes_a_new_secret_of_the_swarm(an_env_file: Path) -> None:
    before = docker.deploy(an_env_file, {}).variables
    put("ADIT_LEASE_S=20", "ADIT_LEASE_S=30")
    after = docker.deploy(an_env_file, {}).variables
    assert before["STACK_ENVIRONMENT_DIGEST"] != after["STACK_ENVIRONMENT_DIGEST"]
    assert before["STACK_ENVIRONMENT_FILE"] == after["STACK_ENVIRONMENT_FILE"] == str(an_env_file)


def a_docker(directory: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A docker command that does as a script says."""
    program = directory / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_a_machine_outside_of_a_swarm_is_told_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_docker(tmp_path, "echo inactive", monkeypatch)
    told = call("stack-deploy")
    assert (told.exit_code, "docker swarm init" in told.output) == (2, True)


def test_docker_gets_what_the_files_leave_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_docker(tmp_path, 'echo active; echo "$@" "$STACK_WORKERS" "$STACK_KEY_FILE" >>calls', monkeypatch)
    monkeypatch.setattr(docker, "ROOT", tmp_path)
    told = call("stack-deploy")
    assert told.exit_code == 0, told.output
    _, build, _, deploy = (tmp_path / "calls").read_text().splitlines()
    assert build.startswith("build ")
    assert deploy.endswith(f" adit 2 {tmp_path}/certificates/adit.key")


def test_a_failed_build_deploys_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_docker(tmp_path, 'echo active; echo "$1" >>calls; test "$1" != build', monkeypatch)
    monkeypatch.setattr(docker, "ROOT", tmp_path)
    told = call("stack-deploy")
    assert (told.exit_code, "ended with status 1" in told.output) == (2, True)
    assert "stack" not in (tmp_path / "calls").read_text()
