"""Tells people by mail what they asked to be told: that a job of theirs has ended, that a folder is nearly full."""

import logging

from models.db.endings import EndingStore
from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.people import UserStore
from models.db.quotas import QuotaStore
from models.domain.errors import BadRequest
from models.domain.jobs import JobProgress
from models.domain.people import Standing
from models.settings import Settings
from services.post import mails

log = logging.getLogger(__name__)


def send_finished(db: Database, settings: Settings, limit: int = 100) -> int:
    """Write a mail down for each job that has ended since its owner was last told; how many mails there are.

    Once for each end: a job that is retried and ends again is told about again. Owners without an active account, such
    as those at the shell, get none. The mail holds nothing of the job's patients.
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
            for recipient in administrators(db, settings):
                link = f"{settings.web_url}/folders?id={usage.folder_id}"
                try:
                    mails.queue(db, mails.render("folder_nearly_full", recipient, usage=usage, link=link))
                except BadRequest as error:
                    log.warning("nobody could be told about folder %s: %s", usage.folder_id, error.code)
    return len(crossed)


def administrators(db: Database, settings: Settings) -> list[str]:
    """Mail addresses of those who look after the installation: the one of the settings, or all superusers."""
    return [settings.admin_email] if settings.admin_email else [u.profile.email for u in UserStore(db).superusers()]


def _tell(db: Database, settings: Settings, job_id: int) -> bool:
    """Queue the mail about one job in the transaction that marks its end as told."""
    with db.transaction():
        if not EndingStore(db).mark_told(job_id):
            return False
        progress = JobStore(db).progress(job_id)
        address = _address_of(db, progress.job.owner)
        if not address:
            return False
        try:
            mails.queue(db, mails.render("job_finished", address, **_values(settings, progress)))
        except BadRequest as error:
            log.warning("nobody could be told about the end of job %s: %s", job_id, error.code)
            return False
        return True


def _address_of(db: Database, owner: str) -> str:
    """Where the owner of a job gets mail, empty for one without an active account."""
    found = UserStore(db).credentials(owner)
    return found.user.profile.email if found and found.user.standing is Standing.ACTIVE else ""


def _values(settings: Settings, progress: JobProgress) -> dict[str, object]:
    job = progress.job
    return {
        "job_id": job.id,
        "kind": job.kind.value.replace("_", " "),
        "state": job.state.value,
        "counts": {state.value: count for state, count in progress.counts.items() if count},
        "link": f"{settings.web_url}/job?id={job.id}",
    }
