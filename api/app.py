"""The API as one application, which the web process serves below ``/api``."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from api import description, problems
from api.context import Context
from api.gateway import retrieving, searching, storing
from api.routes import batches, jobs, me, reviews, search
from api.routes.admin import operation, people, places, webhooks
from api.threads import in_thread
from api.traffic import Traffic
from models.db.engine import Database
from models.settings import Settings
from services.gateway import converting

_REST: tuple[APIRouter, ...] = (
    me.router,
    search.router,
    jobs.router,
    jobs.slow_router,
    batches.router,
    batches.slow_router,
    batches.form_router,
    reviews.router,
    people.router,
    places.router,
    places.slow_router,
    operation.router,
    webhooks.router,
)


def application(settings: Settings, db: Database) -> FastAPI:
    """REST below ``/v1`` and DICOMweb below ``/dicom-web``. Its lifespan sweeps first, and writes counts down last."""
    context = Context.of(settings, db)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        await in_thread(app.openapi)
        await in_thread(converting.sweep, settings)
        try:
            yield
        finally:
            await in_thread(context.usage.flush)

    app = FastAPI(
        title="ADIT",
        version="1",
        lifespan=lifespan,
        openapi_url=description.ADDRESS,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # the address of a redirect would repeat the query, which may name a patient
    )
    app.state.context = context
    app.add_middleware(Traffic)
    problems.install(app)
    description.install(app)
    for router in _REST:
        app.include_router(router)
    app.include_router(searching.router)
    app.include_router(storing.router)
    app.include_router(retrieving.router())
    return app
