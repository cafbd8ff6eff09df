"""Serves the web pages and the API: one process with one worker, beside the others."""

from api.app import application
from deployments import signs
from deployments.daemon import run, write_logs
from ui import context
from ui.server import serve


def main() -> None:
    """Serve until SIGTERM."""
    write_logs("web")
    with signs.given(context.database(), "web"):
        serve(application(context.settings(), context.database()))


if __name__ == "__main__":
    run(main)
