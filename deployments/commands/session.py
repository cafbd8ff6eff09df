"""What the commands that talk to a database share: the data directory, the person at the shell, Prefect's page."""

import getpass
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from deployments import installation
from dicom.quiet import silence_libraries
from models.db.engine import Database, open_database
from models.domain.errors import WrongVersion
from models.domain.jobs import Job
from models.domain.people import Actor, operator
from models.settings import Settings
from services import jobs

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", envvar="ADIT_DATA_DIR", help="Where this installation keeps everything.")
]


@dataclass(frozen=True, slots=True)
class Session:
    """One call of the command: the installation, and who calls."""

    settings: Settings
    db: Database
    actor: Actor

    @property
    def is_up(self) -> bool:
        """Whether an `adit up` works on this data directory."""
        return installation.running(self.settings) is not None

    def flow_run_url(self, job: Job) -> str:
        """The page of the job's flow run; empty before it has one."""
        return jobs.flow_run_url(self.settings, job)


def open_session(data_dir: Path | None, makes_key: bool = False) -> Session:
    """Open the installation in the name of the user of this shell.

    The ports are those of the running `adit up`, if there is one. Raises BadRequest when there is no installation,
    WrongVersion when the database is of a newer version, or in use by an earlier one.
    """
    silence_libraries()
    settings = installation.open_settings(data_dir, makes_key)
    if note := installation.running(settings):
        settings = installation.open_settings(prefect_port=note.prefect_port, receiver_port=note.receiver_port)
    db = open_database(settings)
    if note and not db.is_current():
        raise WrongVersion("adit up is of an earlier version than this command. Stop it, then start this version's.")
    db.migrate()
    return Session(settings, db, caller())


def caller() -> Actor:
    """The user of this shell, by a name that no account can have: jobs belong to whoever has the name of their owner.

    Accounts have no colon in their names, see ``services.people.account_rules``.
    """
    return operator(f"shell:{getpass.getuser()}")
