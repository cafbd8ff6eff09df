"""What every route needs: the installation, what is counted for each token, and the places for what takes long."""

from dataclasses import dataclass
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends, Request

from api.rates import RateLimit
from api.threads import SEARCHES_AT_ONCE, SEARCHES_OF_ONE, UPLOADS_AT_ONCE
from api.usage import Usage
from models.db.engine import Database
from models.settings import Settings
from services.gateway.places import Places


@dataclass(frozen=True, slots=True)
class Context:
    """One installation as the API sees it, for as long as the process runs."""

    settings: Settings
    db: Database
    usage: Usage
    limiter: RateLimit
    searches: Places
    """For searches and plans, of REST and of the gateway: they wait for archives in threads that all people share."""
    uploads: Places
    retrievals: Places
    retrieving: CapacityLimiter
    """The threads of retrievals."""

    @classmethod
    def of(cls, settings: Settings, db: Database) -> "Context":
        """The context of an installation, with nothing counted yet."""
        limiter = RateLimit(settings.api_requests_per_minute)
        return cls(
            settings,
            db,
            Usage(db),
            limiter,
            searches=Places(SEARCHES_AT_ONCE, "searches", SEARCHES_OF_ONE),
            uploads=Places(UPLOADS_AT_ONCE, "uploads"),
            retrievals=Places(settings.api_retrievals),
            retrieving=CapacityLimiter(2 * settings.api_retrievals + 2),
        )


def context(request: Request) -> Context:
    """The context of the application that answers this request."""
    found: Context = request.app.state.context
    return found


Here = Annotated[Context, Depends(context)]
"""A parameter of a route that gets the context."""
