"""`adit db-backup`, `adit db-restore`: copies of the database, and the way back."""

from typing import Annotated

import typer

from deployments import installation
from deployments.commands.session import DataDir, caller
from deployments.screen import errors_shown, say, show_table
from models.domain.backups import Backup, Restored
from models.domain.errors import AditError, NotFound, WrongState
from models.settings import Settings
from services import backups

_COLUMNS = ("file", "made at (UTC)", "tables", "ADIT", "MB")


def db_backup(
    lists: Annotated[bool, typer.Option("--list", help="Make none; list those that are there.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Back up the database while everything works. Neither the master key nor Prefect's database are in it."""
    with errors_shown():
        settings = installation.open_settings(data_dir)
        if lists:
            rows = [_row(backup) for backup in backups.listed(settings)]
            show_table(f"Backups in {settings.backups_dir}", _COLUMNS, rows)
            return
        say(f"Backed up to {backups.make(settings)}.")


def db_restore(
    file: Annotated[str, typer.Argument(help="A backup: its path, or its name in the directory. Empty: newest.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    backs_up: Annotated[bool, typer.Option("--backup/--no-backup", help="Back up first what is there now.")] = True,
    data_dir: DataDir = None,
) -> None:
    """Replace everything in the database by a backup, brought to this version. Stop all programs of ADIT before."""
    with errors_shown():
        settings = installation.open_settings(data_dir)
        backup = backups.chosen(settings, file)
        backups.check(settings, backup)
        if installation.running(settings) is not None:
            raise WrongState(f"adit up works on {settings.data_dir}. Stop it first.")
        if not yes:
            _ask(settings, backup)
        with installation.locked(settings):
            if backs_up:
                _back_up_first(settings)
            _tell(backups.restore(settings, backup.path, caller()))


def _ask(settings: Settings, backup: Backup) -> None:
    say(f"Backup    {backup.path}, made at {backup.made_at:%Y-%m-%d %H:%M:%S} UTC")
    say(f"Database  {backups.database(settings)}")
    typer.confirm("All that was done since the backup will be gone, and everybody is signed out. Go on?", abort=True)


def _back_up_first(settings: Settings) -> None:
    try:
        say(f"What is there now is kept in {backups.make(settings)}.")
    except NotFound:
        return  # nothing is there
    except AditError as error:
        raise type(error)(
            f"{error.message} What is there now cannot be backed up; with --no-backup it is replaced all the same."
        ) from error


def _tell(restored: Restored) -> None:
    backup, withdrawn = restored.backup, restored.withdrawn
    migrated = (
        f", migrated from tables {backup.revision} to {restored.revision}"
        if backup.revision != restored.revision
        else ""
    )
    say(f"Restored the backup of {backup.made_at:%Y-%m-%d %H:%M:%S} UTC{migrated}.")
    say(f"Sessions ended: {restored.sessions}. Links in mails are void.")
    if withdrawn is None:
        say("Look at tokens, accounts and trials: what was taken away since the backup is back.")
    else:
        taken = f"{withdrawn.tokens} tokens, {withdrawn.accounts} accounts, {withdrawn.trials} trials"
        say(f"Taken away since the backup, and again now: {taken}, {withdrawn.trial_users} users of trials.")


def _row(backup: Backup) -> tuple[object, ...]:
    made_at = f"{backup.made_at:%Y-%m-%d %H:%M:%S}"
    return backup.path.name, made_at, backup.revision, backup.version, f"{backup.size_bytes / 1e6:,.1f}"
