"""The flow of a broadcast.

Requires: a broadcast in the database; the mail server of the settings reachable from the worker.
"""

from typing import cast
from uuid import UUID

from prefect import flow
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from dicom.quiet import silence_libraries
from flows.final_states import refusal
from models.db.engine import Database, open_database
from models.domain.errors import AditError
from models.domain.mails import Broadcast
from models.settings import Settings, settings
from services.post import broadcasts, mails

_AT_A_TIME = 20


@flow(name="broadcast", flow_run_name="broadcast-{broadcast_id}", persist_result=False, log_prints=False)
def broadcast(broadcast_id: int) -> State[None]:
    """Send the mails of one broadcast that are due. Those the mail server puts off go out in a later run."""
    silence_libraries()
    db = open_database(settings())
    try:
        db.check_is_current()
    except AditError as error:
        return refusal(error)
    begun = broadcasts.progress(db, broadcast_id)
    shown = create_progress_artifact(_percent(begun), key=f"broadcast-{broadcast_id}", description=_words(begun))
    try:
        _send_all(db, settings(), broadcast_id, cast(UUID, shown))
    except AditError as error:
        return refusal(error)
    return _final_state(broadcasts.progress(db, broadcast_id))


def _send_all(db: Database, options: Settings, broadcast_id: int, artifact_id: UUID) -> None:
    """Send some, show on Prefect's page how far it is, and go on as long as any are due. The counts name nobody."""
    while True:
        has_more = mails.send_broadcast(db, options, broadcast_id, _AT_A_TIME)
        now = broadcasts.progress(db, broadcast_id)
        update_progress_artifact(artifact_id, _percent(now), _words(now))
        if not has_more:
            return


def _percent(progress: Broadcast) -> float:
    done = progress.sent + progress.failed
    return 100 * done / (done + progress.waiting) if done or progress.waiting else 100.0


def _words(progress: Broadcast) -> str:
    return f"{progress.sent} sent, {progress.failed} failed, {progress.waiting} waiting"


def _final_state(progress: Broadcast) -> State[None]:
    if progress.failed:
        return Failed(message=_words(progress))
    return Completed(message=_words(progress))
