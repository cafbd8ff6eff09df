"""The web process as a user starts it, `adit web`, and what speaks to it: a browser's requests, a page's socket."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html import unescape
from pathlib import Path

import httpx
from cryptography.fernet import Fernet
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from models.db.engine import Database, open_database
from models.db.people import UserStore
from models.domain.people import Profile, User
from models.settings import Settings
from services.people import accounts, passwords
from tests.peers import free_port
from tests.waiting import wait_until

PASSWORD = "correct-horse-7"
PATIENCE_S = 120.0


class Browser(httpx.Client):
    """A browser as far as cookies and headers go; it follows no redirects."""

    def __init__(self, url: str, **headers: str) -> None:
        super().__init__(base_url=url, headers={"accept": "text/html", "origin": url, **headers}, timeout=PATIENCE_S)

    def plant(self, name: str, value: str) -> None:
        """Set a cookie in the place of the one that the server would set."""
        self.cookies.set(name, value, domain="localhost.local")

    def send_form(self, path: str, **values: str) -> httpx.Response:
        """Open a form, fill it in and send it."""
        page = self.get(path)
        assert page.status_code == 200, page.text
        return self.post(path.partition("?")[0], data={**hidden_values(page.text), **values})

    def sign_in(self, name: str, password: str = PASSWORD, following: str = "/") -> httpx.Response:
        return self.send_form(f"/login?{httpx.QueryParams(next=following)}", identity=name, password=password)


def hidden_values(html: str) -> dict[str, str]:
    """The hidden inputs of the form on a page."""
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', html)
    return {name: unescape(value) for name, value in found}


@dataclass
class Page:
    """A page's socket: what Streamlit's own program in the browser sends and gets."""

    connection: ClientConnection
    session: str = ""
    shown: str = ""
    """All text of the last run."""

    def run(self, path: str = "", query: str = "", is_automatic: bool = False) -> str:
        """Ask for a run of a page, and return all its text."""
        said = BackMsg()
        said.rerun_script.query_string = query
        said.rerun_script.page_name = path
        said.rerun_script.is_auto_rerun = is_automatic
        self.connection.send(said.SerializeToString())
        return self.read()

    def read(self, timeout_s: float = PATIENCE_S) -> str:
        """Read until the script has ended; raises ConnectionClosed."""
        self.shown = ""
        while True:
            data = self.connection.recv(timeout=timeout_s)
            assert isinstance(data, bytes)
            message = ForwardMsg.FromString(data)
            kind = message.WhichOneof("type")
            if kind == "new_session":
                self.session = message.new_session.initialize.session_id
            elif kind == "delta":
                self.shown += str(message.delta)
            elif kind == "script_finished":
                return self.shown

    def close_code(self, within_s: float = PATIENCE_S) -> int:
        """The code by which the server closes the socket, whatever it still says before."""
        limit = time.monotonic() + within_s
        with contextlib.suppress(TimeoutError):
            while True:
                try:
                    self.connection.recv(timeout=max(0.0, limit - time.monotonic()))
                except ConnectionClosed as closed:
                    return closed.rcvd.code if closed.rcvd else 0
        raise AssertionError(f"the socket was not closed within {within_s} s")


@dataclass
class Web:
    """A running `adit web` and its database, which the test changes as another process would."""

    settings: Settings
    db: Database
    process: "subprocess.Popen[bytes]"
    log: Path
    browsers: list[Browser] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.settings.web_url

    def browser(self, **headers: str) -> Browser:
        opened = Browser(self.url, **headers)
        self.browsers.append(opened)
        return opened

    def signed_in(self, name: str) -> Browser:
        """A browser in which somebody has signed in."""
        browser = self.browser()
        answer = browser.sign_in(name)
        assert answer.status_code == 303, answer.text
        return browser

    def user(self, name: str, is_staff: bool = False) -> User:
        """An account that can sign in."""
        store = UserStore(self.db)
        user = store.add(name, Profile(f"{name}@example.org", name.title(), "Tester"), passwords.hashed(PASSWORD))
        store.confirm_email(user.id)
        user = store.approve(user.id, "test")
        if is_staff:
            user = store.update(_staff(user))
        return user

    @contextlib.contextmanager
    def page(self, browser: Browser, session: str = "", **headers: str) -> Iterator[Page]:
        """The socket of a page in a browser; ``session`` is an earlier one that it asks to have back."""
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        said = {"Cookie": cookies, "Origin": self.url, **headers}
        address = self.url.replace("http", "ws", 1) + "/_stcore/stream"
        protocols = ["streamlit", "no-token", *([session] if session else [])]
        opened = connect(
            address,
            subprotocols=protocols,  # type: ignore[arg-type]
            additional_headers=said,
            compression=None,
            max_size=None,
            open_timeout=PATIENCE_S,
            close_timeout=1,
            proxy=None,
        )
        try:
            yield Page(opened)
        finally:
            with contextlib.suppress(Exception):
                opened.close()


def _staff(user: User) -> User:
    return replace(user, is_staff=True)


WITHOUT_LOOKS = """
from deployments import daemon, web
from ui import gate
gate._LOOK_EVERY_S = 1e6
daemon.run(web.main)
"""
"""The web process whose idle sockets do not look by themselves: only who is told closes them."""


@contextlib.contextmanager
def web(directory: Path, program: str = "", **options: object) -> Iterator[Web]:
    """Start `adit web`, or a program in its place, and end it with SIGTERM. Alice is a superuser, bob is nobody."""
    port = free_port()
    chosen = {
        "data_dir": directory,
        "master_key": Fernet.generate_key().decode(),
        "web_port": port,
        "web_url": f"http://localhost:{port}",
        **options,
    }
    settings = Settings(**chosen)  # type: ignore[arg-type]
    db = open_database(settings)
    db.migrate()
    accounts.create_admin(db, "alice", "alice@example.org", PASSWORD)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ADIT_", "PREFECT_"))}
    environment = inherited | {f"ADIT_{name.upper()}": str(value) for name, value in chosen.items()}
    log = directory / "web.log"
    with log.open("wb") as output:
        command = ["-c", program] if program else ["-m", "deployments.cli", "web"]
        process = subprocess.Popen([sys.executable, *command], env=environment, stdout=output, stderr=output)
    running = Web(settings, db, process, log)
    running.user("bob")
    try:
        _wait(running)
        yield running
    finally:
        for browser in running.browsers:
            browser.close()
        db.close()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(running: Web) -> None:
    def is_healthy() -> bool:
        assert running.process.poll() is None, running.log.read_text()
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{running.url}/health", trust_env=False).is_success
        return False

    wait_until(is_healthy, "the web process", told=running.log.read_text)
