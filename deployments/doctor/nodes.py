"""Looks at what transfers need: folders, certificates for servers, profiles; and servers, where that is asked for."""

from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from deployments.doctor import programs
from deployments.doctor.findings import Finding, Installation, ok, problem, warning
from dicom.deid import policy, profile
from models.db.quotas import QuotaStore
from models.domain.errors import ProfileInvalid, reason_of
from models.domain.nodes import Server
from models.domain.people import operator
from models.settings import Settings
from services import folder_holds
from services.checks import connections, folder_checks

_DOCTOR = operator("(doctor)")


def folders(here: Installation) -> Iterator[Finding]:
    """Look whether each folder can be written to, and has room left in its quota."""
    for folder in here.folders:
        what = f"Folder {folder.name}"
        bad = [found for found in folder_checks.findings(here.db, here.settings, folder) if not found.is_ok]
        for found in bad:
            words = f"{found.what}: {found.text}"
            yield problem(what, words, f"Mend it, or change the folder; adit node test {folder.name} looks again.")
        if not bad:
            yield ok(what, "It can be written to.")
        if (hold := folder_holds.of_folder(here.db, folder.id)) is not None:
            words = f"Items wait for it. On {hold.machine}, at {folder.path}: {hold.said}"
            yield problem(what, words, f"Mend that; adit node go-on {folder.name!r} has one item try it at once.")


def quotas(here: Installation) -> Iterator[Finding]:
    """Look which folders are full, or nearly."""
    for usage in QuotaStore(here.db).usages():
        what = f"Folder {usage.folder_name}"
        remedy = "Remove what nobody needs there, or raise its quota in the browser."
        if usage.left_bytes == 0:
            yield problem(what, f"Its quota is used up: {usage.sentence}", remedy)
        elif usage.warns:
            yield warning(what, f"It has reached its threshold: {usage.sentence}", remedy)


def certificates(here: Installation) -> Iterator[Finding]:
    """Look whether the files for TLS are there, and their certificates last."""
    trusted = [("Prefect's authority", here.settings.prefect_ca_file)] if here.settings.prefect_ca_file else []
    for server in here.servers:
        if server.tls is not None:
            trusted += [
                (f"Server {server.name}", Path(file))
                for file in (server.tls.ca_file, server.tls.certificate_file)
                if file
            ]
            yield from _key(server)
    for what, file in trusted:
        yield from _lasting(what, Path(file))


def profiles(settings: Settings) -> Iterator[Finding]:
    """Look whether the profiles of this site are valid, and the one that requests get by default is there."""
    directory = settings.profiles_dir
    if directory is not None and not directory.is_dir():
        remedy = "Make it, or correct ADIT_PROFILES_DIR. Every machine with workers needs the same profiles."
        yield problem("Profiles", f"There is no directory {directory}.", remedy)
        return
    names = {*profile.available(directory), settings.profile}
    bad = [found for name in sorted(names) if (found := _invalid(name, directory)) is not None]
    yield from bad
    if not bad:
        yield ok("Profiles", f"All {len(names)} are valid.")


def servers(here: Installation) -> Iterator[Finding]:
    """Connect to each server and try what is switched on, where that is asked for; nothing of a patient is read."""
    for server in here.servers if here.asks_nodes else ():
        what = f"Server {server.name}"
        bad = [found for found in connections.test(here.db, here.settings, _DOCTOR, server.id) if not found.is_ok]
        for found in bad:
            remedy = f"Mend it on either side, or change the server; adit node test {server.name} looks again."
            yield problem(what, f"{found.what}: {found.text}", remedy)
        if not bad:
            yield ok(what, "All that is switched on works.")


def _invalid(name: str, directory: Path | None) -> Finding | None:
    remedy = "Correct the file, or take it away; adit profile show NAME tells what is wrong with it."
    try:
        policy.compiled(profile.load(name, directory))
    except ProfileInvalid as error:
        return problem("Profiles", error.message, remedy)
    return None


def _key(server: Server) -> Iterator[Finding]:
    if server.tls is None or not server.tls.key_file:
        return
    try:
        with Path(server.tls.key_file).open("rb"):
            pass
    except OSError as error:
        words = f"Its key {server.tls.key_file} cannot be read: {reason_of(error)}."
        yield problem(f"Server {server.name}", words, "Put it there, readable for the user who runs ADIT.")


def _lasting(what: str, file: Path) -> Iterator[Finding]:
    remedy = f"Get a new certificate and put it to {file}."
    try:
        found = x509.load_pem_x509_certificates(file.read_bytes())
    except OSError as error:
        words = f"{file} cannot be read: {reason_of(error)}."
        yield problem(what, words, "Put it there, readable for the user who runs ADIT.")
    except ValueError:
        yield problem(what, f"There is no certificate in {file}, or it is not in PEM form.", remedy)
    else:
        yield programs.expiry(what, min(found, key=lambda one: one.not_valid_after_utc), remedy)
