"""Serves the web pages: one process with one worker, beside the others."""

from deployments.daemon import write_logs
from ui.server import serve


def main() -> None:
    """Serve until SIGTERM."""
    write_logs()
    serve()


if __name__ == "__main__":
    main()
