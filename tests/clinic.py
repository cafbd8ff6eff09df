"""A small clinic for stories in a browser: PACS, research archive, mail server, PostgreSQL, `adit up`, Chromium."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from deployments.demo.studies import StudyFiles, write_ct, write_mr
from models.db.groups import GroupStore
from models.db.people import UserStore
from models.domain.jobs import Job, JobKind, State
from models.domain.nodes import Folder, Server
from models.domain.people import Group, NodeRight, Permission, Profile, User, operator
from models.domain.project import App, AppState
from models.domain.requests import StudyWish, TransferRequest
from services import jobs, project
from services.people import passwords
from tests.databases import cluster
from tests.installation import TESTER
from tests.mail_server import MailServer, mail_server
from tests.peers import Peer, free_port, orthanc
from tests.stack import Stack, stack

PASSWORD = "violet-harbour-71"
ROOT = "root"
CHROMIUM = "/usr/bin/chromium"
PATIENCE_MS = 120_000
expect.set_options(timeout=PATIENCE_MS)
_ROW_PIXELS = 35
_PAINTED_WITHIN_MS = 1_000
RESEARCHER = frozenset({Permission.ADD_SELECTIVE_TRANSFER, Permission.SELECTIVE_URGENT, Permission.ADD_BATCH_TRANSFER})


@dataclass
class Window:
    """A browser window of one person, and the words in which a story speaks of it."""

    page: Page
    url: str

    def open(self, path: str) -> None:
        """Go to a page and wait until it is drawn."""
        self.page.goto(self.url + path)
        self.settle()

    def another_tab(self, path: str) -> "Window":
        """A second tab of the same browser."""
        tab = Window(self.page.context.new_page(), self.url)
        tab.open(path)
        return tab

    def settle(self) -> None:
        """Wait until the page has nothing left to draw, where it is one of Streamlit's."""
        if self.page.locator("#root").count():
            idle = self.page.locator("[data-testid=stApp][data-test-script-state=notRunning]")
            expect(idle).to_be_visible()

    def sign_in(self, name: str, password: str = PASSWORD) -> None:
        self.page.goto(f"{self.url}/login")
        self.page.get_by_label("Username or mail address").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in", exact=True).click()

    def keyed(self, key: str) -> Locator:
        """The widget or container with a key."""
        return self.page.locator(f".st-key-{key}")

    def press(self, key: str) -> None:
        """Click the button with a key."""
        self.keyed(key).get_by_role("button").or_(self.keyed(key).get_by_role("link")).first.click()

    def enter(self, key: str, text: str) -> None:
        """Write into the field with a key, and leave it."""
        entry = self.keyed(key).locator("input, textarea").first
        entry.fill(text)
        entry.press("Tab")

    def tick(self, key: str) -> None:
        """Tick the box, or turn the switch, with a key."""
        self.keyed(key).locator("label").first.click()

    def pick(self, key: str, *options: str) -> None:
        """Choose options of the select box with a key, by typing them."""
        for option in options:
            entry = self.keyed(key).locator("input").first
            entry.click()
            entry.fill(option)
            self.page.get_by_role("option", name=option).first.click()
        self.page.keyboard.press("Tab")  # Escape would take the choice back

    def unfold(self, key: str) -> None:
        """Open the expander with a key, if it is closed."""
        box = self.keyed(key).locator("details").first
        if box.get_attribute("open") is None:
            box.locator("summary").click()

    def sees(self, text: str) -> None:
        """Wait until a text is on the page."""
        expect(self.page.get_by_text(text).first).to_be_visible()

    def sees_not(self, text: str) -> None:
        """Wait until a text is not on the page."""
        expect(self.page.get_by_text(text)).to_have_count(0)

    def table(self, alt: str) -> "Table":
        """The table with this name for screen readers."""
        return Table(self.page, alt)

    def is_at(self, path: str) -> None:
        """Wait until the address has this path."""
        expect(self.page).to_have_url(re.compile(re.escape(self.url + path)))


@dataclass
class Table:
    """A table, which the browser paints: texts stand in a hidden copy for screen readers, clicks go to places."""

    page: Page
    alt: str

    @property
    def place(self) -> Locator:
        """What is painted, with the hidden copy in it."""
        return self.page.get_by_role("region", name=self.alt, exact=True).locator("canvas").first

    def column(self, number: int) -> Locator:
        """The cells of a column, counted from 0; ticks and buttons are columns, too."""
        return self.place.locator(f"[data-testid^=glide-cell-{number}-]")

    def shows(self, column: int, text: str) -> None:
        """Wait until a cell of a column has exactly this text."""
        expect(self.column(column).filter(has_text=re.compile(rf"^\s*{re.escape(text)}\s*$")).first).to_be_attached()

    def click_row(self, row: int) -> None:
        """Click into the first column of a row: on its tick or its button."""
        expect(self.place).to_be_visible()
        self.page.wait_for_timeout(_PAINTED_WITHIN_MS)  # another table may just be taking this one's place
        self.place.scroll_into_view_if_needed()
        box = self.place.bounding_box()
        assert box is not None
        self.page.mouse.click(box["x"] + 16, box["y"] + _ROW_PIXELS * (row + 1) + _ROW_PIXELS / 2)


@dataclass
class Clinic:
    """Everything that runs, and what a story finds there."""

    stack: Stack
    pacs: Peer
    research: Peer
    mails: MailServer
    url: str
    chromium: Browser
    ct: StudyFiles
    mr: list[StudyFiles]
    source: Server
    destination: Server
    folder: Folder
    users: UserStore = field(init=False)
    groups: GroupStore = field(init=False)

    def __post_init__(self) -> None:
        self.users, self.groups = UserStore(self.stack.installation.db), GroupStore(self.stack.installation.db)

    @contextlib.contextmanager
    def window(self, name: str = "", **options: Any) -> Iterator[Window]:
        """A window with cookies of its own; with a name, of somebody who has just signed in."""
        context = self.chromium.new_context(viewport={"width": 1400, "height": 1000}, **options)
        context.set_default_timeout(PATIENCE_MS)
        window = Window(context.new_page(), self.url)
        try:
            if name:
                window.sign_in(name)
                window.settle()
            yield window
        finally:
            context.close()

    def person(self, name: str, is_staff: bool = False, is_superuser: bool = False) -> User:
        """Somebody who can sign in."""
        profile = Profile(f"{name}@clinic.example", name.title(), "Example", "4711", "Radiology")
        user = self.users.add(name, profile, passwords.hashed(PASSWORD))
        self.users.confirm_email(user.id)
        user = self.users.approve(user.id, ROOT)
        return self.users.update(replace(user, is_staff=is_staff, is_superuser=is_superuser))

    def submit(self, owner: str, study: StudyFiles, **fields: Any) -> Job:
        """A job of somebody, past the pages; ``fields`` are those of the request."""
        where = {"destination_id": self.destination.id, "source_id": self.source.id}
        wish = StudyWish(study.study_uid, study.patient_id, expected_bytes=fields.pop("expected_bytes", 0))
        request = TransferRequest(JobKind.SELECTIVE_TRANSFER, studies=(wish,), **{**where, **fields})
        installation = self.stack.installation
        return jobs.submit(installation.db, installation.settings, operator(owner), request)

    def wait_for_end(self, job_id: int, state: State = State.SUCCESS) -> None:
        """Wait until a job has ended, in this state."""
        db = self.stack.installation.db
        self.stack.wait_for_end(jobs.get(db, TESTER, job_id))
        assert jobs.get(db, TESTER, job_id).state is state, [item.message for item in jobs.items(db, TESTER, job_id)]

    def suspend(self, app: str, is_suspended: bool) -> None:
        """Hold the jobs of an application, or let them go on."""
        project.set_app(self.stack.installation.db, TESTER, AppState(App(app), suspended=is_suspended))

    def give(self, user: User, right: NodeRight) -> None:
        """Let the group of somebody use one more node."""
        group = next(group for group in self.groups.list() if user.id in group.members)
        self.groups.update(replace(group, nodes=group.nodes | {right}))

    def researcher(self, name: str, *more: Permission) -> User:
        """Somebody in a group of their own that may move from the PACS to the archive and the folder."""
        user = self.person(name)
        nodes = {
            NodeRight(self.source.id, source=True),
            NodeRight(self.destination.id, destination=True),
            NodeRight(self.folder.id, destination=True),
        }
        self.groups.add(Group(f"Group of {name}", RESEARCHER | {*more}, frozenset({user.id}), frozenset(nodes)))
        return user


@contextlib.contextmanager
def clinic(directory: Path) -> Iterator[Clinic]:
    """Start everything; a CT and three MR studies of invented patients are in the PACS."""
    port = free_port()
    ct = write_ct(directory / "ct", patient=1, study=1, instances=(12, 8))
    mr = [write_mr(directory / f"mr{number}", patient=number, study=number, instances=(6,)) for number in (2, 3, 4)]
    with contextlib.ExitStack() as running:
        pacs = running.enter_context(orthanc(directory / "pacs", "PACS"))
        research = running.enter_context(orthanc(directory / "research", "RESEARCH"))
        for study in (ct, *mr):
            pacs.upload(study.files)
        mails = running.enter_context(mail_server())
        started = running.enter_context(
            stack(
                directory / "adit",
                database_url=cluster().new_database(),
                web_port=port,
                web_url=f"http://localhost:{port}",
                smtp_url=f"smtp://127.0.0.1:{mails.port}",
                support_email="help@clinic.example",
                retry_wait_s=1,
                admin_username=ROOT,
                admin_user_email="root@clinic.example",
                admin_password=PASSWORD,
            )
        )
        (directory / "folder").mkdir()
        installation = started.installation
        running.callback(installation.db.close)
        playwright = running.enter_context(sync_playwright())
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        running.callback(chromium.close)
        yield Clinic(
            started,
            pacs,
            research,
            mails,
            f"http://localhost:{port}",
            chromium,
            ct,
            mr,
            source=installation.server(pacs, study_root_find_support=True, study_root_get_support=True),
            destination=installation.server(research, study_root_find_support=True, store_scp_support=True),
            folder=installation.folder(directory / "folder"),
        )
