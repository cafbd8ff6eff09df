"""Who one is by one's token, what one may choose from, and one's tokens."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from api.access import Caller, needs
from api.context import Here
from api.routing import Route
from api.schemas.me import MailsChosen, Me, ProfileShown
from api.schemas.nodes import Nodes, NodeShown
from api.schemas.shapes import Listed, Number
from api.schemas.tokens import TokenMade, TokenShown, TokenWished
from models.domain.tokens import Operation
from services import nodes, profiles
from services.people import accounts, tokens
from services.post import notifications

router = APIRouter(prefix="/v1", tags=["me"], route_class=Route)

Reader = Annotated[Caller, Depends(needs(Operation.READ))]
Mover = Annotated[Caller, Depends(needs(Operation.TRANSFER))]


@router.get("/me")
def me(here: Here, caller: Reader) -> Me:
    """Whose token this is, and what it may do."""
    return Me.of(accounts.me(here.db, caller.actor), caller)


@router.get("/me/mails")
def show_mails(here: Here, caller: Reader) -> MailsChosen:
    """About which of their jobs the caller gets mails."""
    return MailsChosen(jobs=notifications.chosen(here.db, caller.actor))


@router.put("/me/mails")
def choose_mails(here: Here, caller: Mover, chosen: MailsChosen) -> MailsChosen:
    """Choose about which jobs the caller gets mails, from the next end of one on."""
    notifications.choose(here.db, caller.actor, chosen.jobs)
    return MailsChosen(jobs=notifications.chosen(here.db, caller.actor))


@router.get("/nodes")
def list_nodes(here: Here, caller: Reader) -> Nodes:
    """The nodes from and to which the caller may transfer."""
    return Nodes(
        sources=[NodeShown.model_validate(node) for node in nodes.sources(here.db, caller.actor)],
        destinations=[NodeShown.model_validate(node) for node in nodes.destinations(here.db, caller.actor)],
    )


@router.get("/profiles")
def list_profiles(here: Here, caller: Reader) -> Listed[ProfileShown]:
    """The de-identification profiles that a job can name; the first is that of jobs that name none."""
    return Listed(results=[ProfileShown.model_validate(choice) for choice in profiles.choices(here.settings)])


@router.get("/tokens")
def list_tokens(here: Here, caller: Reader) -> Listed[TokenShown]:
    """The caller's own tokens, newest first."""
    return Listed(results=[TokenShown.of(token) for token in tokens.list(here.db, caller.actor)])


@router.post("/tokens", status_code=201)
def make_token(here: Here, caller: Reader, wished: TokenWished) -> TokenMade:
    """Make another token of the caller. Its secret is in this answer and nowhere else."""
    made = tokens.add(here.db, caller.actor, wished.wish())
    return TokenMade(token=TokenShown.of(made.token), secret=made.secret)


@router.delete("/tokens/{token_id}", status_code=204)
def revoke_token(here: Here, caller: Reader, token_id: Annotated[Number, Path()]) -> None:
    """End one of the caller's tokens at once, this one too."""
    tokens.revoke(here.db, caller.actor, token_id)
