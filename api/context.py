"""What every route needs: the installation, and what is counted for each token."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from api.rates import RateLimit
from api.usage import Usage
from models.db.engine import Database
from models.settings import Settings


@dataclass(frozen=True, slots=True)
class Context:
    """One installation as the API sees it, for as long as the process runs."""

    settings: Settings
    db: Database
    usage: Usage
    limiter: RateLimit

    @classmethod
    def of(cls, settings: Settings, db: Database) -> "Context":
        """The context of an installation, with nothing counted yet."""
        return cls(settings, db, Usage(db), RateLimit(settings.api_requests_per_minute))


def context(request: Request) -> Context:
    """The context of the application that answers this request."""
    found: Context = request.app.state.context
    return found


Here = Annotated[Context, Depends(context)]
"""A parameter of a route that gets the context."""
