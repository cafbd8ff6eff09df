"""Figures for Prometheus: what the database says at the moment, of nodes and machines, and of nobody."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from models.db.chores import ChoreStore
from models.db.engine import Database
from models.db.holding import HoldingStore
from models.db.jobs import JobStore
from models.db.mails import MailStore
from models.db.nodes import NodeStore
from models.db.receipts import ReceiptStore
from models.db.signs import SignStore
from models.db.slots import SlotStore
from models.domain.chores import ChoreOutcome
from models.domain.jobs import State
from models.domain.mails import Mail
from models.domain.nodes import Stop
from models.domain.receipts import Receipt
from models.settings import Settings
from services import metrics
from tests.databases import Clock
from tests.played_prefect import AUTH, PlayedPrefect, played_prefect
from tests.samples import add_job, add_nodes, some_settings

LEASE = timedelta(seconds=20)
Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def prefect() -> Iterator[PlayedPrefect]:
    with played_prefect() as played:
        yield played


@pytest.fixture
def settings(tmp_path: Path, prefect: PlayedPrefect) -> Settings:
    return some_settings(tmp_path, prefect_port=prefect.port, prefect_auth=AUTH)


def figures(database: Database, settings: Settings) -> Figures:
    told = metrics.exposition(database, settings).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(told)
        for sample in family.samples
    }


def figure(found: Figures, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


def test_counters_go_on_when_their_jobs_are_gone(database: Database, settings: Settings, clock: Clock) -> None:
    job = add_job(database)
    claim = JobStore(database).claim_next(job.id, LEASE)
    assert claim is not None
    clock.pass_by(4)
    ReceiptStore(database).save(claim[1], Receipt(expected={"1"}, received={"1"}, stored={"1"}, size_bytes=500))
    JobStore(database).end_attempt(claim[1], State.FAILURE, "it failed", "NoSpace")
    route = {"kind": "batch_transfer", "source": "PACS", "destination": "research"}

    def check() -> None:
        found = figures(database, settings)
        assert figure(found, "adit_attempts_total", **route, state="failure", error_code="NoSpace") == 1
        assert figure(found, "adit_attempt_seconds_count", **route) == 1
        assert figure(found, "adit_attempt_seconds_sum", **route) == 4
        assert figure(found, "adit_delivered_instances_total", **route) == 1
        assert figure(found, "adit_delivered_bytes_total", **route) == 500

    check()
    JobStore(database).restart(job.id)
    JobStore(database).delete(job.id)
    check()


def test_the_queue_is_told_by_kind_and_state_and_by_who_waits_longest(
    database: Database, settings: Settings, clock: Clock
) -> None:
    found = figures(database, settings)
    assert figure(found, "adit_items", kind="batch_transfer", state="pending") == 0
    assert figure(found, "adit_oldest_waiting_job_seconds") == 0
    first = add_job(database, studies=3)
    clock.pass_by(100)
    add_job(database)
    clock.pass_by(20)
    found = figures(database, settings)
    assert figure(found, "adit_oldest_waiting_job_seconds") == 120
    assert JobStore(database).claim_next(first.id, LEASE) is not None
    found = figures(database, settings)
    assert figure(found, "adit_items", kind="batch_transfer", state="pending") == 3
    assert figure(found, "adit_items", kind="batch_transfer", state="in_progress") == 1
    assert figure(found, "adit_jobs", kind="batch_transfer", state="in_progress") == 1
    assert figure(found, "adit_oldest_waiting_job_seconds") == 20, "the first job is worked on"
    clock.pass_by(60)
    found = figures(database, settings)
    assert figure(found, "adit_oldest_waiting_job_seconds") == 80, "its worker is gone, a minute ago"


def test_held_work_is_told_apart_from_work_that_nobody_does(database: Database, settings: Settings) -> None:
    add_job(database, studies=2)
    server = NodeStore(database).by_name("PACS")
    HoldingStore(database).stop(server.id, Stop("eve", database.clock(), "moving"))
    found = figures(database, settings)
    assert figure(found, "adit_items_held_back") == 2
    assert figure(found, "adit_server_open", node="PACS") == 0
    assert figure(found, "adit_oldest_waiting_job_seconds") == 0


def test_budgets_folders_and_held_instances_are_told_by_node(database: Database, settings: Settings) -> None:
    server_id, _ = add_nodes(database)
    assert SlotStore(database).try_acquire("worker", {server_id: 2}, {server_id: 8}, LEASE)
    claim = JobStore(database).claim_next(add_job(database).id, LEASE)
    assert claim is not None
    ReceiptStore(database).save(claim[1], Receipt(expected={"1"}, received={"1"}, held={"1": "why"}))
    found = figures(database, settings)
    assert figure(found, "adit_associations", node="PACS") == 2
    assert figure(found, "adit_association_budget", node="PACS") == 8
    assert figure(found, "adit_folder_used_bytes", node="research") == 0
    assert figure(found, "adit_folder_quota_bytes", node="research") is None
    assert figure(found, "adit_instances_held") == 1


def test_what_waits_to_go_out_is_counted_with_its_age(database: Database, settings: Settings, clock: Clock) -> None:
    MailStore(database).add(Mail("ada@example.org", "subject", "body"))
    clock.pass_by(30)
    found = figures(database, settings)
    assert figure(found, "adit_mails_waiting") == 1
    assert figure(found, "adit_oldest_mail_seconds") == 30
    assert figure(found, "adit_notices_waiting") == 0


def test_programs_workers_and_scheduled_work_are_told_by_their_last_sign(
    database: Database, settings: Settings, clock: Clock, prefect: PlayedPrefect
) -> None:
    SignStore(database).give("dispatcher", "host-a", "1.0", clock.now)
    chores, begun_at = ChoreStore(database), clock.now
    good = chores.begin("backup", LEASE)
    assert good is not None
    clock.pass_by(10)
    chores.end(good.id, ChoreOutcome.SUCCESS, "done")
    done_at = clock.now
    bad = chores.begin("backup", LEASE)
    assert bad is not None
    found = figures(database, settings)
    assert figure(found, "adit_chore_failed", chore="backup") == 0, "the second run has not ended"
    chores.end(bad.id, ChoreOutcome.FAILURE, "the disk is full")
    found = figures(database, settings)
    assert figure(found, "adit_chore_done_timestamp_seconds", chore="backup") == done_at.timestamp()
    assert figure(found, "adit_chore_begun_timestamp_seconds", chore="backup") == done_at.timestamp()
    assert figure(found, "adit_chore_failed", chore="backup") == 1
    sign = {"program": "dispatcher", "machine": "host-a", "version": "1.0"}
    assert figure(found, "adit_program_seen_timestamp_seconds", **sign) == begun_at.timestamp()
    assert figure(found, "adit_prefect_up") == 1
    heard = figure(found, "adit_worker_seen_timestamp_seconds", worker="host-a")
    assert heard == pytest.approx(prefect.workers["host-a"].timestamp())


def test_without_prefect_the_other_figures_are_still_told(database: Database, settings: Settings) -> None:
    alone = settings.model_copy(update={"prefect_port": 1})
    found = figures(database, alone)
    assert figure(found, "adit_prefect_up") == 0
    assert figure(found, "adit_maintenance") == 0


def test_no_figure_names_a_person_or_a_study(database: Database, settings: Settings) -> None:
    job = add_job(database, studies=2, owner="ada.lovelace")
    (item, _) = JobStore(database).items(job.id)
    claim = JobStore(database).claim_next(job.id, LEASE)
    assert claim is not None
    ReceiptStore(database).save(claim[1], Receipt(stored={"1.2.840.99999"}, size_bytes=1))
    JobStore(database).end_attempt(claim[1], State.FAILURE, "the message", "NoSpace")
    MailStore(database).add(Mail("ada@example.org", "subject", "body"))
    told = metrics.exposition(database, settings).decode()
    folder = str(getattr(NodeStore(database).by_name("research"), "path", "?"))
    for secret in ("ada", "1.2.840.99999", item.study_uid, item.patient_id, "the message", folder):
        assert secret and secret not in told
