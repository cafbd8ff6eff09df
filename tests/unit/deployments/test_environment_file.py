"""What stands in .env is read alike by our programs, calls of Docker and PostgreSQL's container, or refused."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from dotenv import dotenv_values
from typer.testing import CliRunner

from deployments import docker, environment_file
from deployments.cli import app

NAME = "ADIT_DATABASE_PASSWORD"


def read_by_postgresql(env: Path) -> str:
    """By the line of the shell that stands in compose.yaml."""
    script = yaml.safe_load(docker.BASE.read_text())["services"]["postgres"]["entrypoint"][-1]
    line = next(line for line in script.splitlines() if "sed" in line).replace("$$", "$")
    line = line.replace("/run/secrets/environment", str(env))
    told = f'{line}\nprintf %s "$POSTGRES_PASSWORD"'
    return subprocess.run(["sh", "-c", told], capture_output=True, text=True, check=True).stdout


def read_by_compose(value: str) -> str:
    """As its manual says: a comment begins with a blank and #, and names behind $ are replaced."""
    plain = re.sub(r"(^|\s)#.*", "", value).strip().strip("'\"")
    return re.sub(r"\$\{?\w+\}?", "", plain)


@pytest.mark.parametrize(
    "line",
    [
        f"{NAME}={value}"
        for value in [
            "plain",
            "with=equals",
            "a#b",
            "it's",
            'say"so',
            "a\\nb",
            "%20;&|<>()*?!~",
            "a b",
            "ümläut",
            "a$b",
            "$",
            "a${HOME}b",
            "${HOME}",
            "${NOT_SET:-x}",
            "a #b",
            "a\t#b",
            "#b",
            " a",
            "a ",
            "a\r",
            "'a'",
            '"a"',
            "`a`",
            '"a',
            "a\x0bb",
            "a\u2028b",
        ]
    ]
    + [f" {NAME}=a", f"{NAME} =a", f"{NAME}= a", f"export {NAME}=a", f"{NAME.lower()}=a", f"\ufeff{NAME}=a", NAME],
    ids=ascii,
)
def test_a_value_is_read_alike_or_refused(tmp_path: Path, line: str) -> None:
    env = tmp_path / ".env"
    env.write_bytes(f"ADIT_LEASE_S=20\n{line}\n".encode())
    value = environment_file.values_of(env).get(NAME)
    if not environment_file.misread(env):
        assert value == dotenv_values(env).get(NAME) == read_by_postgresql(env)
    if not environment_file.misread(env, by_compose=True):
        assert value is not None and value == read_by_compose(value)


@pytest.mark.parametrize("value", ["plain", "with=equals", "a#b", "it's", "a b", "%20;&|", "a$b", ""])
def test_what_is_read_alike_in_production_is_taken(tmp_path: Path, value: str) -> None:
    env = tmp_path / ".env"
    env.write_text(f"# a comment\n\n{NAME}={value}\nhttp_proxy=http://proxy:3128\n  # another\n")
    assert environment_file.misread(env) == {}


def test_no_refusal_tells_the_value(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text(f"{NAME}='hidden'\nADIT_PREFECT_AUTH=adit:hidden ${{X}}\n hidden=hidden\n")
    found = environment_file.misread(env)
    assert list(found) == [NAME, "ADIT_PREFECT_AUTH", "line 3"]
    assert "hidden" not in str(found)


def test_compose_is_not_started_with_what_it_would_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text(f"{NAME}=a$b\n")
    told = CliRunner().invoke(app, ["compose-up", "--simulate"])
    assert (told.exit_code, "docker" in told.output) == (2, False)
    assert f"{NAME}: some programs would put something else" in told.output


@pytest.mark.parametrize("command", ["up", "init"])
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ADIT_LEASE_S=20 # seconds", "ADIT_LEASE_S: what is behind # would be left out"),
        (f"{NAME}='hidden'", f"{NAME}: quotes would be a part"),
        (f"{NAME}=hidden${{HOME}}", f"{NAME}: some programs would put something else"),
        (f"{NAME}=hidden\r", f"{NAME}: white space around the value"),
        (f"export {NAME}=hidden", "line 1: not of the form NAME=value"),
    ],
)
def test_nothing_is_begun_with_a_file_that_is_read_in_several_ways(
    a_data_dir: Path, command: str, line: str, told: str
) -> None:
    Path(".env").write_bytes(f"{line}\n".encode())
    ended = CliRunner().invoke(app, [command])
    assert ended.exit_code == 2 and told in ended.output.replace("\n", " ")
    assert "hidden" not in ended.output and not a_data_dir.exists()
