"""Reviews of instances that are held: seeing them, releasing them, rejecting them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from api.access import Caller, needs
from api.context import Here
from api.routing import Route
from api.schemas.jobs import HeldCount, HeldShown, ItemShown, Review
from api.schemas.shapes import Listed, Number
from models.domain.tokens import Operation
from services import review

router = APIRouter(prefix="/v1/reviews", tags=["reviews"], route_class=Route)

Reader = Annotated[Caller, Depends(needs(Operation.READ))]
Reviewer = Annotated[Caller, Depends(needs(Operation.TRANSFER))]


@router.get("")
def list_waiting(here: Here, caller: Reader) -> Listed[HeldCount]:
    """The jobs that have held instances, and how many; for reviewers."""
    waiting = review.waiting(here.db, caller.actor)
    return Listed(results=[HeldCount(job_id=job_id, count=count) for job_id, count in sorted(waiting.items())])


@router.get("/{job_id}")
def list_held(here: Here, caller: Reader, job_id: Annotated[Number, Path()]) -> Listed[HeldShown]:
    """The held instances of a job."""
    return Listed(results=[HeldShown.model_validate(held) for held in review.held(here.db, caller.actor, job_id)])


@router.post("/release")
def release(here: Here, caller: Reviewer, decision: Review) -> ItemShown:
    """Let held instances of an item pass; the next attempt fetches them again."""
    item = review.release(here.db, caller.actor, decision.item_id, decision.sop_uids, decision.reason)
    return _without_patient(ItemShown.model_validate(item))


@router.post("/reject")
def reject(here: Here, caller: Reviewer, decision: Review) -> ItemShown:
    """Leave held instances of an item out for good."""
    item = review.reject(here.db, caller.actor, decision.item_id, decision.sop_uids, decision.reason)
    return _without_patient(ItemShown.model_validate(item))


def _without_patient(item: ItemShown) -> ItemShown:
    """Beside the pseudonym the patient ID would be an escrow without its rules; who may know it asks for the item."""
    return item.model_copy(update={"patient_id": ""})
