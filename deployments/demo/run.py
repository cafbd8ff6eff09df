"""`adit demo`: two archives, invented studies, the whole stack, two jobs through Prefect, and a look at the outcome."""

import os
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deployments import installation, ports, prefect_server, progress, stack
from deployments.demo import findings, studies
from deployments.demo.archives import DemoArchive, archive
from deployments.demo.studies import StudyFiles
from deployments.screen import say
from deployments.supervisor import Program, Supervisor
from dicom.network.store import DimseSender
from dicom.part10 import split_part10
from dicom.quiet import silence_libraries
from models.db.engine import Database, open_database
from models.domain.errors import BadRequest, Incomplete, NotConfirmed, TimedOut
from models.domain.instances import Verdict
from models.domain.jobs import Job, JobKind, State
from models.domain.nodes import Folder, Server
from models.domain.people import Actor, operator
from models.domain.receipts import Completeness
from models.domain.requests import StudyWish, TransferRequest
from models.settings import Settings
from services import jobs, nodes

_TRIAL = "DEMO"
_READY_WITHIN_S = 180.0
_JOB_WITHIN_S = 120.0
_OF_STACK_ONLY = {stack.STACK_VARIABLE, "TMPDIR"}
_GRACE_S = 40.0
"""More than `adit up` needs to end its own programs."""


@dataclass(frozen=True, slots=True)
class _Scene:
    """What there is before the first job."""

    directory: Path
    settings: Settings
    studies: Sequence[StudyFiles]
    hospital: DemoArchive
    research: DemoArchive

    @property
    def folder(self) -> Path:
        return self.directory / "research-folder"


def run(data_dir: Path | None, keep: bool) -> None:
    """Show the demonstration and stop everything, or leave it running until Ctrl-C.

    Raises an error of the tree when anything is not as claimed. Without a data directory a temporary one is used and
    removed.
    """
    silence_libraries()
    with _directory(data_dir) as directory:
        settings = _settings(directory)
        with Supervisor(say, directory, _GRACE_S) as supervisor:
            _play(supervisor, _scene(directory, settings))
            if keep:
                say("Everything stays up. Ctrl-C stops it.")
                supervisor.run()
            say("Stopping ...")
        say(f"What was made is in {directory}." if data_dir else "The temporary directory is removed.")


def _play(supervisor: Supervisor, scene: _Scene) -> None:
    _start(supervisor, scene)
    db, actor = open_database(scene.settings), operator("shell:demo")
    source = nodes.add_server(db, actor, scene.hospital.server)
    target = nodes.add_server(db, actor, scene.research.server)
    scene.folder.mkdir()
    folder = nodes.add_folder(db, scene.settings, actor, Folder("research folder", scene.folder))
    first, *others = scene.studies
    say(f"\n1. A selective transfer of one study, pseudonymized: {source.name} -> {target.name}")
    selective = _request(JobKind.SELECTIVE_TRANSFER, source, target, [first], first_number=1)
    _transfer(supervisor, db, actor, scene.settings, selective)
    findings.show_at_archives(source, target, first.study_uid, "DEMO-1", scene.settings.calling_ae_title)
    say(f"\n2. A batch transfer of {len(others)} studies, pseudonymized: {source.name} -> {folder.name}")
    batch = _request(JobKind.BATCH_TRANSFER, source, folder, others, first_number=2)
    _transfer(supervisor, db, actor, scene.settings, batch)
    _show_folder(scene, others[0])
    _check_no_identity(scene)
    db.close()


def _start(supervisor: Supervisor, scene: _Scene) -> None:
    """Start the archives and the stack, and fill the first archive while the stack starts."""
    begun_at = datetime.now(UTC)
    say(f"Starting two archives and ADIT in {scene.directory} ...")
    for place in (scene.hospital, scene.research):
        supervisor.start(place.program)
    supervisor.start(_up(scene))
    listening = [port for place in (scene.hospital, scene.research) for port in place.ports]
    supervisor.wait_until(lambda: all(map(ports.is_listening, listening)), _READY_WITHIN_S, "The start of the archives")
    _fill(scene.hospital.server, scene.studies, scene.settings.calling_ae_title)
    instances = sum(len(study.files) for study in scene.studies)
    say(f"{scene.hospital.server.name} holds {instances} instances of {len(scene.studies)} patients, all invented.")
    supervisor.wait_until(lambda: stack.is_ready(scene.settings, begun_at), _READY_WITHIN_S, "The start of ADIT")
    say(f"ADIT is ready. Prefect's page: {prefect_server.ui_url(scene.settings)}")
    say(f"It asks for a password, for this demonstration only: {scene.settings.prefect_auth.get_secret_value()}")


def _fill(server: Server, invented: Sequence[StudyFiles], ae_title: str) -> None:
    """Store the studies; raises Incomplete when the archive does not take all."""
    with DimseSender(server, ae_title) as sender:
        for file in (file for study in invented for file in study.files):
            if sender.send(split_part10(file.read_bytes())).verdict is not Verdict.STORED:
                raise Incomplete(f"{server.name} did not take every instance.")


def _request(
    kind: JobKind, source: Server, destination: Server | Folder, wanted: Sequence[StudyFiles], first_number: int
) -> TransferRequest:
    wishes = tuple(
        StudyWish(study.study_uid, study.patient_id, pseudonym=f"DEMO-{number}")
        for number, study in enumerate(wanted, start=first_number)
    )
    return TransferRequest(kind, source.id, destination.id, wishes, _TRIAL, "Demonstration")


def _transfer(supervisor: Supervisor, db: Database, actor: Actor, settings: Settings, request: TransferRequest) -> None:
    """Raises Incomplete unless every item is a success with a complete receipt."""
    job = progress.watch(db, actor, jobs.submit(db, settings, actor, request).id, _pause(supervisor))
    progress.show_items(db, actor, job.id)
    say(f"Prefect's flow run: {jobs.flow_run_url(settings, job)}")
    _check(db, actor, job)


def _pause(supervisor: Supervisor) -> Callable[[float], None]:
    """Wait while the programs are looked after; raises TimedOut when a job takes too long."""
    limit = time.monotonic() + _JOB_WITHIN_S

    def pause(seconds: float) -> None:
        if time.monotonic() > limit:
            raise TimedOut(f"A job of the demonstration has not ended after {_JOB_WITHIN_S:.0f} seconds.")
        supervisor.look_after(seconds)

    return pause


def _check(db: Database, actor: Actor, job: Job) -> None:
    verdicts = {receipt.verdict for _, receipt in jobs.receipts(db, actor, job.id)}
    if job.state is not State.SUCCESS or verdicts != {Completeness.COMPLETE}:
        raise Incomplete(f"Job {job.id} should be a success with complete receipts. {job.message}")


def _show_folder(scene: _Scene, study: StudyFiles) -> None:
    moved = findings.files_of(scene.folder)
    say(f"{len(moved)} files are in {scene.folder}, in these directories:")
    for directory in sorted({file.parent.relative_to(scene.folder) for file in moved}):
        say(f"  {directory}")
    same = next(file for file in moved if "DEMO-2" in file.parts)
    findings.show_in_files(study.files[0], same)


def _check_no_identity(scene: _Scene) -> None:
    """Raises NotConfirmed when something of the patients' identity has reached the destinations.

    The source holds all of it, so a search that finds nothing there would prove nothing.
    """
    if not findings.traces(scene.studies, (scene.hospital.directory,)):
        raise NotConfirmed("The search for identifying values does not find them where they are.")
    if count := findings.traces(scene.studies, (scene.research.directory, scene.folder)):
        raise NotConfirmed(f"{count} identifying values were found at the destinations.")
    say("No identifying value of the patients stands in any file of the two destinations.")


def _scene(directory: Path, settings: Settings) -> _Scene:
    environment = _environment(settings)
    receiver = (settings.receiver_ae_title, settings.receiver_port)
    return _Scene(
        directory,
        settings,
        studies.write_demo(directory / "studies"),
        archive("hospital archive", "HOSPITAL", directory / "archives" / "hospital", receiver, environment),
        archive("research archive", "RESEARCH", directory / "archives" / "research", receiver, environment),
    )


def _up(scene: _Scene) -> Program:
    command = (*stack.module("cli"), "up", "--data-dir", str(scene.settings.data_dir))
    return Program("adit up", command, _environment(scene.settings), scene.directory / "up.log", ends_its_own=True)


def _environment(settings: Settings) -> dict[str, str]:
    """That of the stack without its mark, since a starting stack ends what carries it, and without its TMPDIR."""
    of_stack = {name: value for name, value in stack.environment(settings).items() if name not in _OF_STACK_ONLY}
    return of_stack | {name: value for name, value in os.environ.items() if name == "TMPDIR"}


def _settings(directory: Path) -> Settings:
    """Settings of the demonstration's own: nothing of the user's installation counts, so nothing of it is touched."""
    for name in [name for name in os.environ if name.startswith("ADIT_")]:
        del os.environ[name]
    os.chdir(directory)
    return installation.open_settings(
        directory / "adit",
        makes_key=True,
        prefect_port=ports.free_port(),
        receiver_host=ports.LOOPBACK,
        receiver_port=ports.free_port(),
        web_port=(web_port := ports.free_port()),
        web_url=f"http://localhost:{web_port}",
        retry_wait_s=2,
    )


@contextmanager
def _directory(data_dir: Path | None) -> Generator[Path]:
    if data_dir is None:
        with tempfile.TemporaryDirectory(prefix="adit-demo-") as temporary:
            yield Path(temporary)
        return
    directory = data_dir.expanduser().absolute()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if any(directory.iterdir()):
        raise BadRequest(f"{directory} is not empty. The demonstration needs a directory of its own.")
    yield directory
