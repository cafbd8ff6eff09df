"""How a flow run ends, as Prefect shows it: counts, codes and sentences that name no patient."""

from prefect.client.schemas.objects import State as RunState
from prefect.states import Completed, Failed

from models.db.engine import Database
from models.domain.errors import AditError
from models.domain.jobs import State, summary
from services import holding, work


def refusal(error: AditError) -> RunState[None]:
    """The final state of a run that an error of ours has ended."""
    return Failed(message=f"{error.code}: {error.own_words}")


def of_job(db: Database, job_id: int) -> RunState[None]:
    """How the job stands, as the final state of a run that worked on it; and what holds the rest of it back."""
    progress = work.progress(db, job_id)
    counted = summary(state for state, count in progress.counts.items() for _ in range(count))
    message = f"{counted} {holding.of_job_in_own_words(db, job_id)}".strip()
    if progress.counts.get(State.FAILURE):
        return Failed(message=message)
    return Completed(message=message)
