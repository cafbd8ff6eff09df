"""What we use of Streamlit beyond its promises is in the installed version; an update has to look at each of it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import streamlit
from streamlit import config, error_util
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.web.server.starlette import starlette_websocket

from models.db.engine import Database
from tests.databases import MASTER_KEY
from tests.house.source_tree import ROOT
from tests.samples import some_settings
from ui import server

PACKAGE = Path(streamlit.__file__).parent
OPTIONS = {"server.trustedUserHeaders", "runner.postScriptGC", "server.allowedHosts", "server.enableAgentApi"}
MARKS = (
    "data-test-connection-state",
    "data-test-script-state",
    "stPageLink",
    "stSidebarCollapseButton",
    "glide-cell-",
    "st-key-",
)
"""What our scripts and tests look for in the page."""

KNOWN_PATHS = {"/_stcore/", "/media/", "/component/", "/static/", "/app/static/", "/auth/", "/oauth2callback"}
"""Where Streamlit answers; the gate leaves only ``/static/``, ``/app/static/`` and ``/_stcore/health`` open."""


def frontend() -> str:
    """All of Streamlit's program for the browser."""
    return "".join(path.read_text(encoding="utf-8") for path in sorted((PACKAGE / "static").rglob("*.js")))


def test_what_a_page_raises_is_not_written_down_by_streamlit(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It may quote a patient; ``services.faults`` writes the place and a reference."""
    db = Database(f"sqlite:///{tmp_path}/adit.db", MASTER_KEY)
    server.application(some_settings(tmp_path), db)
    error_util.handle_user_script_exception(ValueError("Doe^John"), lambda error: True)
    db.close()
    assert "Doe" not in "".join(capfd.readouterr()) + caplog.text


def test_the_options_that_are_not_promised_exist() -> None:
    assert OPTIONS - set(config.get_config_options()) == set()


def test_every_option_in_our_file_is_known() -> None:
    import tomllib

    ours = tomllib.loads((ROOT / "ui" / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    names = {f"{section}.{name}" for section, options in ours.items() for name in options}
    known = set(config.get_config_options())
    assert {name for name in names if name not in known and not any(o.startswith(f"{name}.") for o in known)} == set()


def test_identities_are_read_from_the_headers_that_the_gate_sets() -> None:
    assert "trustedUserHeaders" in Path(starlette_websocket.__file__).read_text(encoding="utf-8")
    from ui import identity

    toml = (ROOT / "ui" / ".streamlit" / "config.toml").read_text(encoding="utf-8")
    named = {name.lower() for name in re.findall(r'"(X-App-\w+)"', toml)}
    assert named == {identity.USER_HEADER, identity.SESSION_HEADER}


def test_messages_tell_whether_a_person_sent_them() -> None:
    message = BackMsg()
    message.rerun_script.is_auto_rerun = True
    assert BackMsg.FromString(message.SerializeToString()).rerun_script.is_auto_rerun
    assert "app_heartbeat" in BackMsg.DESCRIPTOR.fields_by_name


def test_uploads_can_be_freed() -> None:
    assert callable(MemoryUploadedFileManager.remove_file)


def test_the_page_has_the_marks_that_we_look_for() -> None:
    program = frontend()
    assert [mark for mark in MARKS if mark not in program] == []


def test_streamlit_answers_nowhere_that_the_gate_does_not_know() -> None:
    """Asked in another process, since an app changes Streamlit's settings for good."""
    code = (
        "import streamlit as st\n"
        "from starlette.routing import Mount\n"
        "from streamlit.web.server.starlette.starlette_app import create_streamlit_routes\n"
        f"app = st.App({str(ROOT / 'ui' / 'app.py')!r}); app.lifespan()\n"
        "for route in create_streamlit_routes(app._runtime): print(route.path or '/')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    paths = {path for path in done.stdout.split() if path not in {"/", "/{path:path}"}}
    assert paths, done.stdout
    assert {path for path in paths if not any(f"{path}/".startswith(known) for known in KNOWN_PATHS)} == set()


def test_the_web_process_does_not_import_prefect() -> None:
    """With it every visitor would wait for a second longer, and the process would be twice as large."""
    code = "import sys, ui.server, deployments.web; print([m for m in sys.modules if m.split('.')[0] == 'prefect'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stdout[-500:] + done.stderr[-2000:]
