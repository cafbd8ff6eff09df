"""`adit stack-deploy`, `stack-rm`, `compose-...`: ADIT in containers, in production and in development."""

import re
from pathlib import Path
from typing import Annotated

import typer

from deployments import docker, environment_file
from deployments.commands.workspace import EnvFile, problems_of, stack_problems, values_with_defaults
from deployments.screen import errors_shown, say
from models.domain.errors import BadRequest, NotPermitted

Simulate = Annotated[bool, typer.Option("--simulate", help="Print the calls of Docker instead of running them.")]
Extra = Annotated[list[str] | None, typer.Argument(help="More for docker compose, behind --.")]


def stack_deploy(
    build: Annotated[bool, typer.Option(help="Build the image first.")] = True,
    simulate: Simulate = False,
    env_file: EnvFile = Path(".env"),
) -> None:
    """Build and start the containers for production, in a swarm; again, to bring them to a new version or .env."""
    with errors_shown():
        values = _values_for_production(env_file)
        if not simulate:
            docker.check_swarm()
        run = _run(simulate)
        if build:
            run(docker.build(values))
        is_new = {} if simulate else {"STACK_IMAGE_ID": docker.image_id(values)}
        run(docker.deploy(env_file, {**values, **is_new}))
        _say_done(
            simulate, f"{docker.name_of(values)} is deployed. See: docker stack services {docker.name_of(values)}"
        )


def stack_rm(simulate: Simulate = False, env_file: EnvFile = Path(".env")) -> None:
    """Remove the containers for production; the data stays."""
    with errors_shown():
        _run(simulate)(docker.remove(environment_file.values_of(env_file)))


def compose_up(extra: Extra = None, simulate: Simulate = False, env_file: EnvFile = Path(".env")) -> None:
    """Start containers for development, in which the code of this clone runs; refuses a production environment."""
    with errors_shown():
        values = environment_file.values_of(env_file)
        if values.get("ADIT_ENVIRONMENT") == "production":
            raise NotPermitted(f"{env_file} is of production: use adit stack-deploy.")
        if not values.get("ADIT_DATABASE_PASSWORD"):
            raise BadRequest(f"{env_file}: ADIT_DATABASE_PASSWORD is empty. Run adit randomize-env-secrets.")
        environment_file.check_is_read_alike(env_file, by_compose=True)
        _compose(env_file, simulate, "up", "--detach", extra=extra)


def compose_down(extra: Extra = None, simulate: Simulate = False, env_file: EnvFile = Path(".env")) -> None:
    """Stop and remove containers of development; the data stays."""
    with errors_shown():
        _compose(env_file, simulate, "down", extra=extra)


def compose_build(extra: Extra = None, simulate: Simulate = False, env_file: EnvFile = Path(".env")) -> None:
    """Build the image for development."""
    with errors_shown():
        _compose(env_file, simulate, "build", extra=extra)


def compose_pull(extra: Extra = None, simulate: Simulate = False, env_file: EnvFile = Path(".env")) -> None:
    """Download the images that are not built here, of development and production: PostgreSQL's, the proxy's."""
    with errors_shown():
        _run_compose(simulate, docker.pull(env_file, environment_file.values_of(env_file), extra or ()))


def _compose(env_file: Path, simulate: bool, *words: str, extra: list[str] | None) -> None:
    _run_compose(simulate, docker.compose(env_file, environment_file.values_of(env_file), *words, extra=extra or ()))


def _run_compose(simulate: bool, call: docker.Call) -> None:
    if not simulate:
        docker.check_compose()
    _run(simulate)(call)


def _values_for_production(env_file: Path) -> dict[str, str]:
    """The values of a file with which a stack may be deployed; raises BadRequest or NotPermitted, saying why not."""
    values = values_with_defaults(env_file)
    if values["ADIT_ENVIRONMENT"] != "production":
        raise NotPermitted(f"{env_file} is of development: set ADIT_ENVIRONMENT=production, or use adit compose-up.")
    environment_file.check_is_read_alike(env_file)
    empty = [name for name in _NEEDED if not values[name]]
    shown = [name for name in _ADDRESSES if _WITH_PASSWORD.match(values[name])]
    missing = [name for name in _FILES if not (env_file.parent / values[name]).exists()]
    gone = [name for name in _DIRECTORIES if not Path(values[name]).is_dir()]
    problems = problems_of(env_file) + stack_problems(values) + [f"{name}: needed in containers." for name in empty]
    problems += [
        f"{name}: docker inspect would show its password. Put it, as PostgreSQL knows it, into ADIT_DATABASE_PASSWORD."
        for name in shown
    ]
    problems += [f"{name}: there is no such file; see adit generate-certificate-files." for name in missing]
    problems += [
        f"{name}: there is no such directory. Make it for user 10001, who runs in containers." for name in gone
    ]
    if problems:
        raise BadRequest(f"{env_file}: {' '.join(problems)}")
    return values


_FILES = ("STACK_CERTIFICATE_FILE", "STACK_KEY_FILE")
_DIRECTORIES = ("STACK_FOLDERS_DIR", "STACK_BACKUP_DIR")
_NEEDED = ("ADIT_DATABASE_PASSWORD", "ADIT_PREFECT_AUTH", "ADIT_PREFECT_PAGE_URL")
_ADDRESSES = ("ADIT_DATABASE_URL", "ADIT_PREFECT_DATABASE_URL")
"""They go to the containers as variables, which Docker shows."""
_WITH_PASSWORD = re.compile(r"[^/]*//[^/@:]*:.*@")
"""Also where the password has signs that should be percent-encoded."""


def _run(simulate: bool) -> docker.Run:
    return _print if simulate else docker.run


def _print(call: docker.Call) -> None:
    say(str(call))


def _say_done(simulate: bool, line: str) -> None:
    if not simulate:
        say(line)
