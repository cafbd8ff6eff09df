"""Tells people by mail what they asked to be told: that a job of theirs has ended, that a folder is nearly full."""

import logging

from models.db.endings import EndingStore
from models.db.engine import Database
from models.db.failures import FailureStore
from models.db.jobs import JobStore
from models.db.people import UserStore
from models.db.quotas import QuotaStore
from models.domain.advice import advice
from models.domain.errors import BadRequest, NotPermitted
from models.domain.jobs import JobProgress, State
from models.domain.mails import JobMails
from models.domain.people import Actor, Standing
from models.settings import Settings
from services.post import mails

log = logging.getLogger(__name__)

_CHOICE = "job_mails"
_MOST_CODES = 5
_SUBJECTS = {
    State.SUCCESS: "has ended: success",
    State.WARNING: "has ended with warnings",
    State.FAILURE: "has failed",
    State.CANCELED: "was canceled",
}


def chosen(db: Database, actor: Actor) -> JobMails:
    """About which of their jobs the actor wants mails."""
    return JobMails.AS_ASKED if actor.user_id is None else _choice(UserStore(db).preferences(actor.user_id))


def choose(db: Database, actor: Actor, choice: JobMails) -> None:
    """Keep about which of their jobs the actor wants mails, from the next end on; raises NotPermitted for the shell."""
    if actor.user_id is None:
        raise NotPermitted("The shell has no account.")
    UserStore(db).remember(actor.user_id, {_CHOICE: choice.value})


def send_finished(db: Database, settings: Settings, limit: int = 100) -> int:
    """Write a mail down for each job that has ended and whose owner wants one; how many mails there are.

    Each end is looked at once: a job that is retried and ends again is told about again. Owners without an active
    account, such as those at the shell, get none. The mail holds nothing of the job's patients.
    """
    return sum(_tell(db, settings, job_id) for job_id in EndingStore(db).untold(limit))


def warn_of_full_folders(db: Database, settings: Settings) -> int:
    """Write mails to administrators down about folders that have reached their threshold; how many folders there are.

    Once for each crossing: a folder has to be well below its threshold before anybody hears of it again.
    """
    with db.transaction():
        crossed = QuotaStore(db).newly_full()
        for usage in crossed:
            log.warning("folder %s has reached its threshold", usage.folder_id)
            link = f"{settings.web_url}/folders?id={usage.folder_id}"
            tell_administrators(db, settings, "folder_nearly_full", usage=usage, link=link)
    return len(crossed)


def tell_administrators(db: Database, settings: Settings, template: str, **values: object) -> None:
    """Write a mail down for each administrator; one whose address takes none is left out, and logged."""
    for recipient in administrators(db, settings):
        try:
            mails.queue(db, mails.render(template, recipient, **values))
        except BadRequest as error:
            log.warning("an administrator could not be told (%s): %s", template, error.code)


def administrators(db: Database, settings: Settings) -> list[str]:
    """Mail addresses of those who look after the installation: the one of the settings, or all superusers."""
    return [settings.admin_email] if settings.admin_email else [u.profile.email for u in UserStore(db).superusers()]


def _tell(db: Database, settings: Settings, job_id: int) -> bool:
    """Queue the mail about one job, if its owner wants it, in the transaction that marks its end as looked at."""
    with db.transaction():
        if not EndingStore(db).mark_told(job_id):
            return False
        progress = JobStore(db).progress(job_id)
        address = _address_of(db, progress)
        if not address:
            return False
        try:
            mails.queue(db, mails.render("job_finished", address, **_values(db, settings, progress)))
        except BadRequest as error:
            log.warning("nobody could be told about the end of job %s: %s", job_id, error.code)
            return False
        return True


def _address_of(db: Database, progress: JobProgress) -> str:
    """Where the owner of a job gets mail about its end; empty for one who wants none or has no active account."""
    job = progress.job
    found = UserStore(db).credentials(job.owner)
    if found is None or found.user.standing is not Standing.ACTIVE:
        return ""
    wants = _choice(UserStore(db).preferences(found.user.id)).wants(job.state, job.send_finished_mail)
    return found.user.profile.email if wants else ""


def _choice(preferences: dict[str, object]) -> JobMails:
    """What somebody has chosen; pages of another version may have left a word that this one does not know."""
    try:
        return JobMails(preferences.get(_CHOICE, JobMails.AS_ASKED))
    except ValueError:
        return JobMails.AS_ASKED


def _values(db: Database, settings: Settings, progress: JobProgress) -> dict[str, object]:
    job = progress.job
    failures = FailureStore(db).of_job(job.id)
    codes = [(code or "AditError", count) for code, count in failures.most_common(_MOST_CODES)]
    return {
        "job_id": job.id,
        "kind": job.kind.value.replace("_", " "),
        "what": _SUBJECTS.get(job.state, "has ended"),
        "state": job.state.value,
        "counts": {state.value: count for state, count in progress.counts.items() if count},
        "troubles": [(count, code, advice(code).for_user) for code, count in codes],
        "link": f"{settings.web_url}/job?id={job.id}",
        "profile_link": f"{settings.web_url}/profile",
    }
