"""Mails leave a running `adit up`: broadcasts by a worker, even a killed one, and word that a job has ended.

Word of the same job reaches a webhook, too.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from models.domain.jobs import JobKind
from models.domain.nodes import Folder, Server
from models.domain.people import operator
from models.domain.requests import StudyWish, TransferRequest
from models.domain.webhooks import WebhookWish
from services import jobs, nodes
from services.post import broadcasts
from services.webhooks import administration as webhooks
from tests.installation import TESTER
from tests.listener import listener
from tests.mail_server import MailServer, mail_server
from tests.peers import free_port
from tests.people import a_user
from tests.stack import Stack, stack

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1800)]
PEOPLE = tuple(f"user{number}" for number in range(12))
ADDRESSES = {f"{name}@example.org" for name in PEOPLE}


@pytest.fixture(scope="module")
def a_mail_server() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture(scope="module")
def a_stack(tmp_path_factory: pytest.TempPathFactory, a_mail_server: MailServer) -> Iterator[Stack]:
    smtp_url = f"smtp://127.0.0.1:{a_mail_server.port}"
    with stack(tmp_path_factory.mktemp("mails"), smtp_url=smtp_url, max_attempts=1) as running:
        for name in PEOPLE:
            a_user(running.installation.db, name)
        yield running


def test_a_broadcast_reaches_everybody_although_its_worker_is_killed(a_stack: Stack, a_mail_server: MailServer) -> None:
    db = a_stack.installation.db
    with a_mail_server.hesitates_at(3):
        sent = broadcasts.send(db, TESTER, "Pause", "Tomorrow from two to four.", None)
        a_stack.wait_until(lambda: len(a_mail_server.letters) == 3, "the third mail, which is not answered")
        a_stack.kill_workers()
    a_stack.wait_until(lambda: set(a_mail_server.recipients) == ADDRESSES, "a mail for everybody", 700)
    times = Counter(a_mail_server.recipients)
    assert sum(times.values()) <= len(PEOPLE) + 1
    a_stack.wait_until(lambda: broadcasts.get(db, TESTER, sent.id).waiting <= 1, "the last entries")
    assert broadcasts.get(db, TESTER, sent.id).failed == 0


def test_the_owner_hears_that_a_job_has_ended_and_a_webhook_from_its_beginning(
    a_stack: Stack, a_mail_server: MailServer, tmp_path: Path
) -> None:
    with listener() as board:
        wish = WebhookWish(board.url)
        webhooks.add(a_stack.installation.db, a_stack.installation.settings, TESTER, wish)
        check_job_is_told_of(a_stack, a_mail_server, tmp_path)
        found = [told.content for told in board.wait_for(3)]
    assert [each["type"] for each in found] == ["job.accepted", "job.started", "job.finished"]
    assert found[2]["job"]["items"] == {"failure": 1} and found[2]["job"]["owner"] == PEOPLE[0]
    assert all("webhook-signature" in told.headers for told in board.told)
    assert "1.2.3" not in str(found) and "ANON" not in str(found)


def check_job_is_told_of(a_stack: Stack, a_mail_server: MailServer, tmp_path: Path) -> None:
    """That the owner of a job that fails gets a mail."""
    place = a_stack.installation
    source = nodes.add_server(
        place.db,
        TESTER,
        Server("gone", "GONE", "127.0.0.1", free_port(), study_root_find_support=True, study_root_get_support=True),
    )
    target = nodes.add_folder(place.db, place.settings, TESTER, Folder("out", tmp_path))
    owner = replace(operator(PEOPLE[0]), name=PEOPLE[0])
    wish = StudyWish("1.2.3", "P1", (), "ANON")
    request = TransferRequest(JobKind.SELECTIVE_TRANSFER, source.id, target.id, (wish,), send_finished_mail=True)
    job = jobs.submit(place.db, place.settings, owner, request)
    letter = a_mail_server.wait_for(f"{PEOPLE[0]}@example.org", f"Job {job.id}")
    assert letter.message["Subject"] == f"Job {job.id} has failed"
    assert f"/job?id={job.id}" in letter.text
    assert "1.2.3" not in letter.text and "ANON" not in letter.text
