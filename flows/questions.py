"""Works through the questions of a job, a bundle of them in each task run, as long as there are any that are due."""

from collections.abc import Callable

from prefect.client.schemas.objects import State as RunState

from dicom.quiet import silence_libraries
from flows import final_states
from models.db.engine import Database, open_database
from models.domain.errors import AditError
from models.domain.jobs import JobKind
from models.settings import Settings, settings
from services import work
from tasks.ask import ask
from tasks.bundle import Bundle


def run_questions(kind: JobKind, job_id: int) -> RunState[None]:
    """Ask the questions of a job until none of them is due, and say how the job stands as the flow run's final state.

    May run any number of times and at the same time elsewhere: each question is leased to one worker at a time.
    """
    silence_libraries()
    db = open_database(settings())
    try:
        db.check_is_current()
        work.job_of_kind(db, job_id, kind)
    except AditError as error:
        return final_states.refusal(error)
    ask_through(db, settings(), job_id)
    return final_states.of_job(db, job_id)


def ask_through(db: Database, options: Settings, job_id: int, run: Callable[[Bundle], object] = ask) -> None:
    """Ask bundle after bundle."""
    while work.due_sources(db, job_id):
        bundle = Bundle(db, options, work.job(db, job_id))
        run(bundle)
        if not bundle.asked:
            return
