"""The examination: every check in its turn, as far as what it needs is there; one that fails is itself a finding."""

import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

from deployments import installation
from deployments.doctor import database, environment, nodes, post, prefect, programs, storage, work
from deployments.doctor.findings import Check, Finding, Installation, Level, problem
from models.db.engine import Database
from models.domain.errors import AditError
from models.settings import Settings

OF_SETTINGS: tuple[Callable[[Settings], Iterable[Finding]], ...] = (
    environment.file_is_private,
    environment.file_is_read_alike,
    environment.production,
    environment.patient_data,
    storage.directory,
    storage.disk,
    storage.file_system,
    storage.secrets,
    storage.spool,
    storage.converter,
    prefect.plan,
    prefect.server,
    nodes.profiles,
)
"""Checks that need no database."""

OF_DATABASE: tuple[Check, ...] = (
    database.clock,
    database.trail,
    database.accounts,
    database.programs,
    programs.dispatcher,
    programs.receiver,
    programs.web,
    programs.address,
    programs.versions,
    post.mail_server,
    post.notices,
    work.maintenance,
    work.stalled,
    work.refusals,
    work.failures,
    work.chores,
    work.backup,
    nodes.folders,
    nodes.quotas,
    nodes.certificates,
    nodes.servers,
)
"""Checks that need the database."""


def examine(data_dir: Path | None = None, asks_nodes: bool = False) -> Iterator[Finding]:
    """Yield what is found, one thing after the other; changes nothing but what a test of a folder or server leaves.

    Those leave a line in the audit trail, and a file that is made in a folder is removed again.
    """
    yield from environment.variables()
    try:
        settings = _settings(data_dir)
    except AditError as error:
        yield environment.unreadable(error)
        return
    for check in OF_SETTINGS:
        yield from _made(check.__name__, lambda check=check: check(settings))
    yield from _with_database(settings, asks_nodes)


def _with_database(settings: Settings, asks_nodes: bool) -> Iterator[Finding]:
    if database.is_missing(settings):  # opening an SQLite file makes it
        yield database.missing(settings)
        return
    db = Database(settings.url, settings.master_key.get_secret_value(), zone=ZoneInfo(settings.time_zone))
    try:
        found = [*database.opened(settings, db)]
        yield from found
        here = Installation(settings, db, asks_nodes)
        for check in OF_DATABASE if all(one.level is Level.OK for one in found) else ():
            yield from _made(check.__name__, lambda check=check: check(here))
    finally:
        db.close()


def _made(name: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of a check; one that could not be made is a problem by itself."""
    try:
        yield from check()
    except AditError as error:
        yield problem(_words(name), error.message, "Mend that first, then call adit doctor again.")
    except Exception as error:
        words = f"It could not be looked at: {type(error).__name__} in {_place(error)}."
        yield problem(_words(name), words, "That is a mistake in ADIT: tell its developers this line.")


def _settings(data_dir: Path | None) -> Settings:
    """The settings; the ports are those of the `adit up` that runs here, if one does."""
    settings = installation.open_settings(data_dir)
    if note := installation.running(settings):
        settings = installation.open_settings(
            prefect_port=note.prefect_port, receiver_port=note.receiver_port, web_port=note.web_port
        )
    return installation.with_web_url(settings)


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _place(error: BaseException) -> str:
    """File and line where an exception was raised, which names no value."""
    frames = traceback.extract_tb(error.__traceback__)
    return ", ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-3:])
