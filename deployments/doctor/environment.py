"""Looks at the settings: variables that are none, files that others can read, values that are for trying things out."""

import os
from collections.abc import Iterator
from difflib import get_close_matches
from urllib.parse import urlsplit

from pydantic import ValidationError

from deployments import environment_file
from deployments.doctor.findings import Finding, ok, problem, warning
from deployments.environment_file import ENV_FILE
from deployments.stack import STACK_VARIABLE
from models.domain.errors import AditError
from models.settings import Settings

LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def variables() -> Iterator[Finding]:
    """Look for names that begin as ours and are no settings, in the environment and in ``.env``."""
    known = {f"ADIT_{name.upper()}" for name in Settings.model_fields}
    given = dict.fromkeys(os.environ, "the environment") | {name: str(ENV_FILE.absolute()) for name in _in_file()}
    strange = sorted(name for name in given if name.startswith("ADIT_") and name not in {*known, STACK_VARIABLE})
    for name in strange:
        close = get_close_matches(name, known, n=1)
        remedy = f"Did you mean {close[0]}? Rename it, or remove it." if close else "Remove it."
        yield warning("Variables", f"{name} in {given[name]} is no setting, and has no effect.", remedy)
    if not strange:
        yield ok("Variables", "All variables that begin with ADIT_ are settings.")


def unreadable(error: AditError) -> Finding:
    """What is wrong when the settings cannot be read at all; nothing else can be looked at then."""
    remedy = "Do so, or correct what is named in the environment or in .env; example.env explains every setting."
    return problem("Settings", error.message, remedy)


def file_is_private(_settings: Settings) -> Iterator[Finding]:
    """Look whether other users of the machine can read the secrets in ``.env``."""
    if not ENV_FILE.exists():
        return
    path = ENV_FILE.absolute()
    if environment_file.is_open(path):
        remedy = environment_file.closing(path)
        yield warning(".env", f"Other users of this machine can read or change {path}.", remedy)
    else:
        yield ok(".env", "Only you and its group can read it.")


def file_is_read_alike(_settings: Settings) -> Iterator[Finding]:
    """Look for values in ``.env`` that containers would read in another way than programs that run without any."""
    if not ENV_FILE.exists():
        return
    for name, why in environment_file.misread(ENV_FILE).items():
        yield warning(".env", f"{name}: {why}.", "Write it in another way: nothing but the value behind the =.")


def production(settings: Settings) -> Iterator[Finding]:
    """Look whether an installation that others reach has the values of one that is for trying things out."""
    if settings.is_production:
        yield ok("Environment", "production; unsafe values are refused.")
        return
    if not _is_reached(settings):
        yield ok("Environment", "development, on this machine only.")
        return
    unsafe = _refused_in_production(settings)
    told = f" It would refuse: {unsafe}" if unsafe else ""
    remedy = "Set ADIT_ENVIRONMENT=production, and correct what it refuses then."
    yield warning(
        "Environment", f"Others reach this installation, which does not say that it is production.{told}", remedy
    )


def patient_data(settings: Settings) -> Iterator[Finding]:
    """Look whether anybody has decided how long jobs keep what names patients, where these are real ones."""
    if settings.keep_jobs_days:
        yield ok("Patient data", f"Jobs lose it {settings.keep_jobs_days} days after their end.")
    elif settings.is_production or _is_reached(settings):
        remedy = (
            "Set ADIT_KEEP_JOBS_DAYS, such as 180 as in example.env; what goes cannot be had again, see Retention in "
            "docs/operations.md. 36525 says that a century is meant."
        )
        words = "Jobs that have ended keep patient IDs, answers and batch files for ever: ADIT_KEEP_JOBS_DAYS is 0."
        yield warning("Patient data", words, remedy)


def _is_reached(settings: Settings) -> bool:
    """Whether others than this machine may reach the installation."""
    return not {settings.web_host, urlsplit(settings.web_url).hostname} <= LOOPBACK


def _refused_in_production(settings: Settings) -> str:
    values = {name: getattr(settings, name) for name in settings.model_fields_set}
    try:
        Settings(**{**values, "environment": "production"}, _env_file=None)  # pyright: ignore[reportCallIssue]
    except ValidationError as error:
        return " ".join(found["msg"].removeprefix("Value error, ") for found in error.errors())
    return ""


def _in_file() -> list[str]:
    try:
        return list(environment_file.values_of(ENV_FILE))
    except AditError:
        return []
