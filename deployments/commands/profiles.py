"""`adit profile`: what de-identification profiles there are, what each does, and what it would do to a file."""

import secrets
import warnings
from pathlib import Path
from typing import Annotated

import typer
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import dcmread  # pyright: ignore[reportUnknownVariableType]

from deployments import installation
from deployments.screen import FAILURE, console, errors_shown, say, show_table
from dicom.deid import profile as profiles
from dicom.deid.difference import Difference, differences
from dicom.deid.engine import Deidentifier
from dicom.deid.keys import SECRET_BYTES, LinkageKey
from dicom.deid.policy import Policy, compiled
from dicom.deid.statement import statement, treated_rows
from dicom.part10 import part10_prefix, split_part10
from dicom.quiet import silence_libraries
from models.domain.errors import AditError, BadRequest
from models.domain.instances import EncodedInstance

app = typer.Typer(no_args_is_help=True, help="See what de-identification profiles do.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The profile's name.")]
_PSEUDONYM = "PSEUDONYM"


@app.command("list")
def list_profiles() -> None:
    """List the shipped profiles and those of this site, in the directory ADIT_PROFILES_DIR."""
    with errors_shown():
        directory = installation.profiles_dir()
        rows = [_row(name, directory) for name in profiles.available(directory)]
        show_table("Profiles", ("name", "title", "rules", "from"), rows)


@app.command()
def show(
    name: Name,
    rows: Annotated[bool, typer.Option("--rows", help="Each attribute of table E.1-1 with what is done.")] = False,
) -> None:
    """Print the conformance statement of a profile."""
    with errors_shown():
        policy = compiled(profiles.load(name, installation.profiles_dir()))
        if rows:
            table = [(row.tag, row.keyword, row.basic, row.action) for row in treated_rows(policy)]
            show_table(f"Profile {name}, rules {policy.digest}", ("tag", "attribute", "Basic Profile", "done"), table)
            return
        for line in statement(policy):
            say(line)


@app.command("try")
def try_on_files(
    name: Name,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="DICOM files; they stay as they are.")],
    unchanged: Annotated[bool, typer.Option("--unchanged", help="Show what stays as it is, too.")] = False,
) -> None:
    """Show what a profile would do to files, attribute by attribute, with their original values.

    UIDs, dates and invented values come from a new key each time. Exits with 2 when a file would not be delivered.
    """
    silence_libraries()
    with errors_shown():
        policy = compiled(profiles.load(name, installation.profiles_dir()))
        delivered = [_try(policy, file, unchanged) for file in files]
    if not all(delivered):
        raise typer.Exit(FAILURE)


def _row(name: str, directory: Path | None) -> tuple[str, ...]:
    """A profile that cannot be loaded is listed with the reason: somebody has to mend it."""
    is_own = directory is not None and (directory / f"{name}.yaml").is_file()
    place = str(directory) if is_own else "shipped"
    try:
        policy = compiled(profiles.load(name, directory))
    except AditError as error:
        return name, error.message, "none", place
    return name, policy.profile.title, policy.digest, place


def _try(policy: Policy, file: Path, shows_unchanged: bool) -> bool:
    """Show one file; returns whether it would be delivered."""
    console.rule(file.name)
    deidentifier = Deidentifier(policy, LinkageKey(secrets.token_bytes(SECRET_BYTES)), _PSEUDONYM)
    try:
        original = split_part10(file.read_bytes())
        treated = deidentifier.instance(original)
    except OSError as exc:
        raise BadRequest(f"{file} cannot be read ({exc.strerror}).") from exc
    except AditError as error:
        say(f"Not delivered. {error.code}: {error.message}")
        return False
    found = list(differences(_dataset(original), _dataset(treated)))
    rows = [_cells(each) for each in found if each.is_change or shows_unchanged]
    show_table(f"{len(found)} attributes", ("path", "attribute", "before", "after"), rows)
    return True


def _cells(difference: Difference) -> tuple[str, str, str, str]:
    before = "" if difference.before is None else difference.before
    after = "(removed)" if difference.after is None else difference.after
    return difference.path, difference.keyword, before, "(unchanged)" if not difference.is_change else after


def _dataset(instance: EncodedInstance) -> Dataset:
    head = part10_prefix(instance.sop_class_uid, instance.sop_uid, instance.transfer_syntax_uid)
    file = DicomBytesIO(b"".join((head, *instance.parts)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = dcmread(file)
        dataset.decode()
        return dataset
