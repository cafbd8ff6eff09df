"""The API as one application, which the web process serves below ``/api``."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api import problems
from api.context import Context
from api.gateway import retrieving
from api.routes import me
from api.threads import in_thread
from api.traffic import Traffic
from models.db.engine import Database
from models.settings import Settings


def application(settings: Settings, db: Database) -> FastAPI:
    """REST below ``/v1`` and DICOMweb below ``/dicom-web``. Its lifespan writes down at its end what was counted."""
    context = Context.of(settings, db)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await in_thread(context.usage.flush)

    app = FastAPI(title="ADIT", version="1", lifespan=lifespan, openapi_url="/v1/openapi.json", docs_url=None)
    app.state.context = context
    app.add_middleware(Traffic, context=context)
    problems.install(app)
    for router in (me.router,):
        app.include_router(router)
    app.include_router(retrieving.router(context))
    # The gateway adds its lines here: app.include_router(searching.router(context)) ...
    return app
