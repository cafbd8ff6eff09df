"""Who one is by one's token, and what that token may do."""

from typing import Annotated

from fastapi import APIRouter, Depends

from api.access import Caller, needs
from api.context import Here
from api.routing import Route
from api.schemas.me import Me
from models.domain.tokens import Operation
from services.people import accounts

router = APIRouter(prefix="/v1", tags=["me"], route_class=Route)


@router.get("/me")
def me(here: Here, caller: Annotated[Caller, Depends(needs(Operation.READ))]) -> Me:
    """Whose token this is, and what it may do."""
    return Me.of(accounts.me(here.db, caller.actor), caller)
