"""The web process: FastAPI outside, the gate in front of everything, the plain pages, the API, and Streamlit last.

One process with one worker, always: uploads, downloads and sockets that reconnect find their state in its memory.
"""

import gc
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path

import streamlit as st
import uvicorn
from fastapi import FastAPI
from starlette.responses import JSONResponse, Response
from streamlit import config

from models.db.engine import Database
from models.settings import Settings
from services.people import accounts
from ui import addresses, context
from ui.account.routes import Account
from ui.files import Files
from ui.gate import Gate
from ui.headers import allowed_hosts
from ui.parts import script_errors
from ui.watching import Watching

log = logging.getLogger(__name__)

_SCRIPT = Path(__file__).with_name("app.py")
_SOCKET_BYTES = 200 * 2**20
_PING_S = 30.0
_GRACE_S = 3
_NEEDED_SOON = ("pandas", "pyarrow", "altair")
_OTHERS_LOGGERS = ("uvicorn", "uvicorn.error", "uvicorn.asgi", "websockets")
_QUOTING_LOGGERS = (
    "streamlit.error_util",
    "streamlit.runtime.app_session",
    "streamlit.runtime.fragment",
    "streamlit.runtime.scriptrunner.exec_code",
    "streamlit.runtime.scriptrunner.script_runner",
)
"""They write down the text of whatever a page has raised, which may quote a patient.

``services.faults`` writes the rest.
"""


def serve(api: FastAPI) -> None:
    """Serve pages and API until SIGTERM or Ctrl-C.

    Brings the tables to this version, and makes the first administrator.
    """
    settings, db = context.settings(), context.database()
    db.migrate()
    accounts.ensure_admin(db, settings)
    uvicorn.run(
        application(settings, db, api),
        host=settings.web_host,
        port=settings.web_port,
        workers=1,
        access_log=False,  # query strings would be in it
        log_config=None,
        server_header=False,
        ws_per_message_deflate=False,
        ws_max_size=_SOCKET_BYTES,
        ws_ping_interval=_PING_S,
        ws_ping_timeout=_PING_S,
        forwarded_allow_ips=settings.web_proxies,
        timeout_graceful_shutdown=_GRACE_S,
    )


def application(settings: Settings, db: Database, api: FastAPI | None = None) -> FastAPI:
    """Everything that one web process answers, behind the gate; with the API below ``/api`` where there is one."""
    ui = st.App(_SCRIPT, on_script_error=script_errors.show)
    config.set_option("server.allowedHosts", allowed_hosts(settings))
    config.set_option("logger.enableRich", False)
    run_streamlit = ui.lifespan()
    _log_once()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with run_streamlit(app), _running(api):
            _log_once()
            _settle()
            log.info("pages at %s", settings.web_url)
            yield

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Gate, settings=settings, db=db)
    app.include_router(Watching(settings, db).router())
    app.include_router(Account(settings, db).router())
    app.include_router(Files(db).router())
    if api is not None:
        app.mount(addresses.API.rstrip("/"), api)
    for area in (addresses.API, "/account/", "/files/"):
        app.add_api_route(area + "{rest:path}", _nothing, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
    app.mount("/", ui)
    return app


@asynccontextmanager
async def _running(api: FastAPI | None) -> AsyncGenerator[None]:
    """Begin and end the API with the rest: what is mounted gets no lifespan of its own."""
    if api is None:
        yield
        return
    async with api.router.lifespan_context(api):
        yield


async def _nothing() -> Response:
    """What no route above answers; Streamlit would send its page."""
    return JSONResponse({"detail": "Not found."}, 404)


def _log_once() -> None:
    """Streamlit has given a handler of its own to the loggers of the server: every line would appear twice."""
    for name in _OTHERS_LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
    for name in ("uvicorn.access", *_QUOTING_LOGGERS):
        logging.getLogger(name).disabled = True


def _settle() -> None:
    """Import what the first visitor would wait for, and keep all that is there now out of garbage collection."""
    for name in _NEEDED_SOON:
        import_module(name)
    gc.collect()
    gc.freeze()
