"""The Prefect server that the lock file installs can be started."""

import os
import subprocess
import sys
from pathlib import Path


def test_prefects_server_imports_with_the_locked_versions(tmp_path: Path) -> None:
    """Prefect 3.8's server fails at import with FastAPI 0.155 and later, which its own requirements allow."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    command = [sys.executable, "-c", "import prefect.server.api.server"]
    result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
