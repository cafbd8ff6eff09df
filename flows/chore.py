"""The flow of a chore: work that an installation does by itself at set times.

Requires: a chore with this name (services.chores.roster).
"""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from dicom.quiet import silence_libraries
from flows.final_states import refusal
from models.db.engine import open_database
from models.domain.chores import ChoreOutcome
from models.domain.errors import AditError
from models.settings import settings
from services.chores.performing import perform


@flow(name="chore", flow_run_name="chore-{name}", persist_result=False, log_prints=False)
def chore(name: str) -> State[None]:
    """Do a chore, unless it is at work somewhere or was done since it was due, and say what it did."""
    silence_libraries()
    db = open_database(settings())
    try:
        db.check_is_current()
        done = perform(db, settings(), name, str(flow_run.get_id()), flow_run.get_scheduled_start_time())
    except AditError as error:
        return refusal(error)
    if done.outcome is ChoreOutcome.SUCCESS:
        return Completed(message=done.message)
    return Failed(message=done.message)
