"""How containers are built, started and removed: the calls of Docker, which are run or, simulated, printed.

The files that say what runs are in `deployments/containers/`; which of them go together is said here only.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deployments.root import ROOT
from models.domain.errors import BadRequest, NotFound, Unreachable

CONTAINERS = ROOT / "deployments" / "containers"
BASE = CONTAINERS / "compose.yaml"
DEVELOPMENT = CONTAINERS / "compose.development.yaml"
PRODUCTION = CONTAINERS / "compose.production.yaml"
_CONFIGS = {
    "STACK_PROXY_FILE": CONTAINERS / "Caddyfile",
    "STACK_DATABASE_FILE": CONTAINERS / "create-prefect-database.sh",
}
DEFAULT_IMAGE = "adit:local"
DEFAULT_STACK = "adit"
_DIGEST_LENGTH = 12

_NO_DOCKER = (
    "There is no docker command here. Install Docker Engine with the compose plugin (docs.docker.com/engine/install), "
    "or run ADIT without containers: adit up, or the units in deployments/systemd."
)
_NO_SWARM = "This machine is in no swarm. Make it one with: docker swarm init"
_NO_COMPOSE = "Docker has no compose plugin here. Install it: docs.docker.com/compose/install"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of Docker. ``variables`` are for the placeholders in our files, and may be secret."""

    words: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def __str__(self) -> str:
        return shlex.join(self.words)


Run = Callable[[Call], None]
"""Something that takes a call: runs it, or prints it."""


def run(call: Call) -> None:
    """Run a call in the terminal of the caller. Raises NotFound without Docker, Unreachable when the call fails."""
    if shutil.which(call.words[0]) is None:
        raise NotFound(_NO_DOCKER)
    status = subprocess.run(call.words, cwd=ROOT, env={**os.environ, **call.variables}, check=False).returncode
    if status:
        raise Unreachable(f"{shlex.join(call.words[:3])} ... ended with status {status}; see what it says above.")


def check_swarm() -> None:
    """Raise NotFound when this machine has no Docker, or BadRequest when it is in no swarm."""
    if _asked("docker", "info", "--format", "{{.Swarm.LocalNodeState}}") != "active":
        raise BadRequest(_NO_SWARM)


def check_compose() -> None:
    """Raise NotFound when this machine has no Docker, or no compose plugin."""
    if not _asked("docker", "compose", "version"):
        raise NotFound(_NO_COMPOSE)


def build(values: Mapping[str, str]) -> Call:
    """Build the image; its base is looked up anew, for the sake of its security updates."""
    file = str(CONTAINERS / "Dockerfile")
    return Call(("docker", "build", "--pull", "--tag", _image_of(values), "--file", file, str(ROOT)))


def image_id(values: Mapping[str, str]) -> str:
    """What tells this image from an earlier one under the same name; empty when there is none here."""
    return _asked("docker", "image", "inspect", "--format", "{{.Id}}", _image_of(values))


def deploy(env: Path, values: Mapping[str, str]) -> Call:
    """Start the stack in the swarm, or bring it to what the files say; services that are gone from them are removed."""
    files = ("--compose-file", str(BASE), "--compose-file", str(PRODUCTION))
    words = ("docker", "stack", "deploy", "--prune", *files, name_of(values))
    return Call(words, _variables(env, values))


def remove(values: Mapping[str, str]) -> Call:
    """Remove the stack's services; volumes, and with them all data, stay."""
    return Call(("docker", "stack", "rm", name_of(values)))


def compose(env: Path, values: Mapping[str, str], *words: str, extra: Sequence[str] = ()) -> Call:
    """A call of the compose plugin for the containers of development."""
    return _compose((BASE, DEVELOPMENT), env, values, *words, *extra)


def pull(env: Path, values: Mapping[str, str], extra: Sequence[str] = ()) -> Call:
    """Download the images of development and production, but for our own, which is built here."""
    return _compose((BASE, DEVELOPMENT, PRODUCTION), env, values, "pull", "--ignore-buildable", *extra)


def name_of(values: Mapping[str, str]) -> str:
    """What the stack is called in the swarm."""
    return values.get("STACK_NAME") or DEFAULT_STACK


def _compose(files: Sequence[Path], env: Path, values: Mapping[str, str], *words: str) -> Call:
    place = ("--project-name", f"{name_of(values)}-development", "--env-file", str(env))
    named = (word for file in files for word in ("--file", str(file)))
    return Call(("docker", "compose", *place, *named, *words), _variables(env, values))


def _variables(env: Path, values: Mapping[str, str]) -> Mapping[str, str]:
    """What the files leave open. A swarm changes no secret and no config, so each state of one has an own name."""
    files = {name: env.parent / value for name, value in values.items() if _is_file(name, value)}
    files["STACK_ENVIRONMENT_FILE"] = env
    places = {name: str(path.absolute()) for name, path in files.items()}
    files |= _CONFIGS
    digests = {name.replace("_FILE", "_DIGEST"): _digest(path) for name, path in files.items() if path.exists()}
    return {**values, **places, **digests}


def _image_of(values: Mapping[str, str]) -> str:
    return values.get("STACK_IMAGE") or DEFAULT_IMAGE


def _is_file(name: str, value: str) -> bool:
    return name.startswith("STACK_") and name.endswith("_FILE") and bool(value)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:_DIGEST_LENGTH]


def _asked(*words: str) -> str:
    """What Docker answers; empty when it cannot."""
    if shutil.which(words[0]) is None:
        raise NotFound(_NO_DOCKER)
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
