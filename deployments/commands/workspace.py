"""`adit init-workspace`, `env-check`, `randomize-env-secrets`, `generate-...`: settings, secrets and certificates."""

import re
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from deployments import certificates, environment_file, secret_values
from deployments.root import ROOT
from deployments.screen import FAILURE, SUCCESS, WARNING, errors_shown, say
from models.domain.errors import BadRequest
from models.settings import EXAMPLE_MASTER_KEY, Settings
from services.people.secret_tokens import new_api_token

EXAMPLE = ROOT / "example.env"
_VALID_DAYS = 825
"""Longer than that, Apple's systems trust no certificate of a server (their article 103769)."""

_MOST_DAYS = 36_500

EnvFile = Annotated[
    Path, typer.Option("--env-file", dir_okay=False, help="The file with the settings of this installation.")
]
_LENGTHS: dict[str, Any] = {"min": secret_values.SHORTEST, "max": secret_values.LONGEST}
Length = Annotated[int, typer.Argument(**_LENGTHS, help="How many characters.")]


def init_workspace(env_file: EnvFile = Path(".env")) -> None:
    """Make .env from example.env; one that is there already stays as it is."""
    with errors_shown():
        environment_file.begin(env_file, EXAMPLE, _settled(env_file))
        say(f"{env_file} is made. Next: adit randomize-env-secrets, then read through it.")


def randomize_env_secrets(
    force: Annotated[
        bool, typer.Option("--force", help="Renew also secrets that are set, whatever depends on them.")
    ] = False,
    env_file: EnvFile = Path(".env"),
) -> None:
    """Make every secret in .env that is empty or the example's; those in use stay."""
    with errors_shown():
        renewal = secret_values.renew(environment_file.values_of(env_file), force)
        environment_file.change(env_file, renewal.made)
        for name in renewal.made:
            say(f"{name}: made")
        for name in renewal.kept:
            say(f"{name}: kept")
        for name, why in {**renewal.refused, **renewal.broken}.items():
            say(f"Look out: {name}: {why}.")
        if renewal.refused:
            raise BadRequest("Not every secret was made. See above, or renew all of them with --force.")


def env_check(
    settle: Annotated[
        bool, typer.Option("--settle", help="All is looked at: changed defaults are not listed again.")
    ] = False,
    env_file: EnvFile = Path(".env"),
) -> None:
    """Compare .env with example.env. Exit status: 0 nothing to do, 1 something to look at, 2 something is wrong."""
    with errors_shown():
        wrong = _wrong(env_file)
        notes = _notes(env_file)
        if settle and not wrong:
            environment_file.settle(EXAMPLE, _settled(env_file))
        for line in [*wrong, *notes]:
            say(line)
        say(f"{env_file}: {len(wrong)} wrong, {len(notes)} to look at.")
    raise typer.Exit(FAILURE if wrong else WARNING if notes else SUCCESS)


def generate_auth_token(length: Annotated[int | None, typer.Argument(**_LENGTHS)] = None) -> None:
    """Print a random token: as ADIT_ADMIN_TOKEN wants it, or of so many letters and digits."""
    print(secret_values.letters(length) if length else new_api_token())


def generate_secure_password(length: Length = secret_values.LENGTH) -> None:
    """Print a random password."""
    print(secret_values.password(length))


def generate_certificate_files(
    host: Annotated[list[str] | None, typer.Option(help="A name or address of the server; may be repeated.")] = None,
    days: Annotated[int, typer.Option(min=1, max=_MOST_DAYS, help="How long it is valid.")] = _VALID_DAYS,
    certificate: Annotated[Path | None, typer.Option(help="Where to; by default STACK_CERTIFICATE_FILE.")] = None,
    key: Annotated[Path | None, typer.Option(help="Where to; by default STACK_KEY_FILE.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    env_file: EnvFile = Path(".env"),
) -> None:
    """Make a certificate that is signed by its own key, for the reverse proxy, until your authority signs another."""
    with errors_shown():
        values = values_with_defaults(env_file if env_file.exists() else EXAMPLE)
        hosts = host or [urlsplit(values["ADIT_WEB_URL"]).hostname or "localhost"]
        files = [path or env_file.parent / values[name] for path, name in ((certificate, _CERTIFICATE), (key, _KEY))]
        certificates.write_self_signed(hosts, days, files[0], files[1], force)
        say(f"{files[0]} and {files[1]}: for {', '.join(hosts)}, valid for {days} days.")


def generate_certificate_chain(
    files: Annotated[list[Path], typer.Argument(help="The server's certificate, then those of its authorities.")],
    to: Annotated[Path, typer.Option(help="Where to.")] = Path("certificates/chain.crt"),
) -> None:
    """Put certificates together into the one file that the reverse proxy shows, checking who has signed whom."""
    with errors_shown():
        certificates.write_chain(files, to)
        say(f"{to}: made.")


_CERTIFICATE, _KEY = "STACK_CERTIFICATE_FILE", "STACK_KEY_FILE"


_PORTS = (1, 65_535)
_NUMBERS = {
    "STACK_HTTPS_PORT": _PORTS,
    "STACK_HTTP_PORT": _PORTS,
    "STACK_PREFECT_PORT": _PORTS,
    "STACK_RECEIVER_PORT": _PORTS,
    "STACK_WORKERS": (0, 1_000),
    "STACK_WORKER_LIMIT": (1, 1_000),
}
_STACK_NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}")


class _FileSettings(Settings):
    """The settings as a file has them, whatever the variables of this shell say."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (dotenv_settings, init_settings)


def values_with_defaults(env_file: Path) -> dict[str, str]:
    """The values of a file; where it says nothing, those of the example, which env-check calls the defaults."""
    given = {name: value for name, value in environment_file.values_of(env_file).items() if value}
    return {**environment_file.values_of(EXAMPLE), **given}


def problems_of(env_file: Path) -> list[str]:
    """Why ADIT would not start with a file of settings, by the names of the settings; values are not repeated."""
    is_production = environment_file.values_of(env_file).get("ADIT_ENVIRONMENT") == "production"
    own_key = {} if is_production else {"master_key": EXAMPLE_MASTER_KEY}  # adit up makes one
    try:
        _FileSettings(_env_file=env_file, **own_key)  # pyright: ignore[reportCallIssue, reportArgumentType]
    except ValidationError as exc:
        return [_sentence(error) for error in exc.errors()]
    return []


def stack_problems(values: Mapping[str, str]) -> list[str]:
    """Which variables of containers have values that Docker would not understand, or only after it has begun."""
    lines = [
        f"{name}: not a whole number from {least} to {most}."
        for name, (least, most) in _NUMBERS.items()
        if not (values[name].isascii() and values[name].isdecimal() and least <= int(values[name][:9]) <= most)
    ]
    if not _STACK_NAME.fullmatch(values["STACK_NAME"]):
        lines.append("STACK_NAME: not of small letters, digits, hyphens and underscores, with a letter first.")
    with suppress(ValueError):
        IPv4Network(values["STACK_SUBNET"])
        return lines
    return [*lines, "STACK_SUBNET: not a network such as 172.30.66.0/24."]


def _sentence(error: ErrorDetails) -> str:
    field = "_".join(map(str, error["loc"])).upper()
    return f"ADIT_{field}: {error['msg']}." if field else error["msg"].removeprefix("Value error, ")


def _wrong(env_file: Path) -> list[str]:
    found = environment_file.compare(env_file, EXAMPLE, _settled(env_file))
    lines = [f"wrong: {problem}" for problem in problems_of(env_file)]
    lines += [f"wrong: {problem}" for problem in stack_problems(values_with_defaults(env_file))]
    lines += [f"unsafe: {name}: {why}." for name, why in found.misread.items()]
    lines += [f"wrong: {name} stands there twice; the last one counts." for name in found.twice]
    if found.is_open:
        lines.append(f"unsafe: others may read or change {env_file}: {environment_file.closing(env_file)}")
    if environment_file.values_of(env_file).get("ADIT_MASTER_KEY") == EXAMPLE_MASTER_KEY:
        lines.append("unsafe: ADIT_MASTER_KEY is the example's, which everybody knows: adit randomize-env-secrets")
    return lines


def _notes(env_file: Path) -> list[str]:
    found = environment_file.compare(env_file, EXAMPLE, _settled(env_file))
    defaults = environment_file.values_of(EXAMPLE)
    lines = [f"new: {name}, by default {defaults[name] or 'empty'}" for name in found.new]
    lines += [
        f"changed default: {name}: {old or 'empty'} -> {now or 'empty'}" for name, (old, now) in found.changed.items()
    ]
    return lines + [f"unknown: {name} is no setting (any more)." for name in found.unknown]


def _settled(env_file: Path) -> Path:
    """The example as it was when the file was last brought up to date."""
    return env_file.with_name(f"{env_file.name}.settled")
