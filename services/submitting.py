"""Accepting a request: whether the actor may ask for it, and whether it can be done, before anything is written."""

from collections.abc import Iterator
from dataclasses import replace

from dicom.files import nifti
from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.scopes import ScopeStore
from models.domain.audit import AuditAction
from models.domain.batch_requests import TRANSFER_LIMIT, check_size
from models.domain.errors import BadRequest, NotPermitted, ProfileInvalid
from models.domain.job_rights import MAY_ADD, MAY_HURRY, MAY_SHOW_IDENTITY
from models.domain.jobs import FINISHED, Job, JobKind, State
from models.domain.nodes import Folder, Node, Server
from models.domain.people import Actor
from models.domain.project import App
from models.domain.requests import SELECTIVE_LIMIT, JobHead, TransferRequest
from models.settings import Settings
from services import audit, idempotency, profiles, project, pseudonyms, quotas, trials
from services.nodes import NO_NODE


def submit(
    db: Database,
    settings: Settings,
    actor: Actor,
    request: TransferRequest,
    idempotency_key: str = "",
    flow_run_id: str = "",
) -> Job:
    """Accept a request as a job. Jobs of one trial share a linkage key; one without a trial gets its own.

    The job is pending, or unverified where the settings let those of users wait for staff. Patients that the request
    names get their pseudonyms at once. Where the same request was accepted before under ``idempotency_key``, that job
    is returned. ``flow_run_id`` is that of a run which has begun already and works on the job.

    Raises BadRequest naming what is wrong with the request, its nodes, its profile, its key, or its pseudonyms in view
    of earlier jobs of the trial; NotPermitted for a right the actor lacks, or a trial that others use; AppLocked;
    UnderMaintenance; OverQuota; WrongState when the trial was forgotten. Then nothing is left behind.
    """
    request.check()
    claim = idempotency.Claim(db, actor, idempotency_key, request)
    if (known := claim.earlier()) is not None:
        return known
    with audit.refusals_recorded(db, actor, AuditAction.SUBMIT_JOB, request.kind.value):
        check_rights(actor, request.head)
    project.check_open(db, actor, App.of(request.kind))
    _check_size(actor, request)
    source, destination = usable_nodes(db, actor, request.source_id, request.destination_id)
    check_may_convert(settings, request.convert_to_nifti, destination)
    profile, digest = chosen_profile(settings, request.profile, request.keep_identity)
    request, state = replace(request, profile=profile), first_state(actor, settings)
    trial = "" if request.keep_identity else request.trial_protocol_id
    trials.check_may_use(db, actor, trial, AuditAction.SUBMIT_JOB, request.kind.value)
    prepared = None if request.keep_identity else pseudonyms.prepare(db, settings, trial, request.studies)
    with trials.refusals_recorded(db, actor, trial, AuditAction.SUBMIT_JOB, request.kind.value), db.transaction():
        if request.checked_by_job_id and (made := JobStore(db).made_of(request.checked_by_job_id)):
            return made
        if request.checked_by_job_id:
            check_has_ended(JobStore(db).get(request.checked_by_job_id))  # nobody takes it up before this ends
        if (known := claim.earlier()) is not None:
            return known  # the same request has come twice at once, and the other one was faster
        scopes = ScopeStore(db)
        if prepared is None:
            scope_id = scopes.new()
        else:
            scope_id = trials.scope(db, actor, trial, prepared.key) if trial else scopes.new(prepared.key)
            request = replace(request, studies=pseudonyms.bind_request(db, settings, scope_id, prepared))
        job = JobStore(db).add(actor.name, request, scope_id, digest, state)
        claim.keep(job)
        if flow_run_id:
            JobStore(db).set_flow_run(job.id, flow_run_id)
        quotas.reserve(db, job, request)
        audit.record(db, actor, AuditAction.SUBMIT_JOB, _subject(job, source, destination, request))
        return job


def first_state(actor: Actor, settings: Settings) -> State:
    """Whether a new job of the actor begins at once, or waits until staff has verified it."""
    return State.PENDING if actor.is_staff or settings.start_unverified else State.UNVERIFIED


def check_has_ended(check: Job) -> None:
    """Raise BadRequest for a check that has not ended, or that was taken up again."""
    if check.state not in FINISHED:
        raise BadRequest.of({"check": "it has not ended yet. Wait for it, or cancel it."})


def chosen_profile(settings: Settings, name: str, keep_identity: bool) -> tuple[str, str]:
    """The name of a request's profile, and the digest of that profile's rules; both empty when the identity is kept.

    Raises BadRequest for a profile that is not valid, or that there is not.
    """
    if keep_identity:
        return name, ""
    name = name or settings.profile
    try:
        return name, profiles.policy_now(settings, name).digest
    except ProfileInvalid as error:
        raise BadRequest.of({"profile": error.message}) from error


def check_rights(actor: Actor, head: JobHead) -> None:
    """Raise NotPermitted, naming all that the actor may not, unless they may submit such a job."""
    kind, rights = head.kind, actor.permissions
    problems: tuple[str, ...] = ()
    if MAY_ADD[kind] not in rights:
        problems += (f"You may not submit a {kind.value.replace('_', ' ')}.",)
    if head.urgent and MAY_HURRY[kind] not in rights:
        problems += ("You may not submit urgent jobs.",)
    if head.keep_identity and MAY_SHOW_IDENTITY[kind] not in rights:
        problems += ("You may not transfer studies with their patients' identity.",)
    if problems:
        raise NotPermitted(" ".join(problems))


def _check_size(actor: Actor, request: TransferRequest) -> None:
    count = len(request.studies)
    if request.kind is JobKind.SELECTIVE_TRANSFER and count > SELECTIVE_LIMIT and not actor.is_staff:
        raise BadRequest.of({"studies": f"at most {SELECTIVE_LIMIT} in a selective transfer, these are {count}."})
    if request.kind is JobKind.BATCH_TRANSFER:
        check_size("studies", count, TRANSFER_LIMIT, actor.is_staff)


def usable_nodes(db: Database, actor: Actor, source_id: int, destination_id: int) -> tuple[Node, Node]:
    """Source and destination of a transfer; raises BadRequest naming each that cannot be one.

    One that the actor may not use is refused as if there were none: names are not told.
    """
    source = NodeStore(db).find(source_id) if actor.access.may_read(source_id) else None
    destination = NodeStore(db).find(destination_id) if actor.access.may_write(destination_id) else None
    problems = {
        "source": NO_NODE if source is None else _source_problem(source),
        "destination": NO_NODE if destination is None else _destination_problem(destination),
    }
    if found := {field: problem for field, problem in problems.items() if problem}:
        raise BadRequest.of(found)
    assert source is not None and destination is not None
    return source, destination


def check_may_convert(settings: Settings, is_wished: bool, destination: Node) -> None:
    """Raise BadRequest for a conversion to NIfTI that cannot be, as far as is known before a worker has the job.

    Only where one machine does everything is it known what the worker's machine has.
    """
    if is_wished and not isinstance(destination, Folder):
        raise BadRequest.of({"convert_to_nifti": "only for a folder as destination."})
    if is_wished and not settings.database_url and not nifti.is_installed():
        raise BadRequest.of({"convert_to_nifti": nifti.MISSING})


def _source_problem(node: Node) -> str:
    if not isinstance(node, Server):
        return "a folder cannot be a source."
    if not (node.can_be_queried and node.can_be_read):
        return "the server's settings do not allow to query and retrieve."
    return ""


def _destination_problem(node: Node) -> str:
    if isinstance(node, Server) and not node.can_be_written:
        return "the server's settings do not allow to store."
    return ""


def _subject(job: Job, source: Node, destination: Node, request: TransferRequest) -> str:
    return " ".join(_words(job, source, destination, request))


def _words(job: Job, source: Node, destination: Node, request: TransferRequest) -> Iterator[str]:
    studies = len(request.studies)
    yield f"job {job.id}: {job.kind.value} from {source.name} to {destination.name},"
    yield "1 study" if studies == 1 else f"{studies} studies"
    if series := sum(len(wish.series_uids) for wish in request.studies):
        yield f"({series} chosen series)"
    if job.keep_identity:
        yield "with identity"
    if job.convert_to_nifti:
        yield "as NIfTI"
