"""Dashboard, rules and documentation for Prometheus speak of figures that there are, in a way that Prometheus takes."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from models.db.chores import ChoreStore
from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.quotas import QuotaStore
from models.db.receipts import ReceiptStore
from models.db.signs import SignStore
from models.domain.chores import ChoreOutcome
from models.domain.jobs import State
from models.domain.receipts import Receipt
from services import metrics
from tests.databases import Clock, sqlite_database
from tests.house.source_tree import ROOT
from tests.played_prefect import AUTH, played_prefect
from tests.samples import a_folder, a_server, add_job, some_settings

RULES = ROOT / "deployments" / "prometheus" / "adit-rules.yml"
SCRAPE = ROOT / "deployments" / "prometheus" / "prometheus.yml"
DASHBOARD = ROOT / "deployments" / "grafana" / "adit.json"
NAME = re.compile(r"\badit_[a-z_]+\b")
LEASE = timedelta(seconds=20)


@pytest.fixture(scope="module")
def exposition(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What an installation tells in which everything has happened once."""
    directory = tmp_path_factory.mktemp("installation")
    db = sqlite_database(directory, Clock())
    fill(db)
    with played_prefect() as prefect:
        told = metrics.exposition(db, some_settings(directory, prefect_port=prefect.port, prefect_auth=AUTH))
    db.close()
    return told.decode()


def fill(db: Database) -> None:
    NodeStore(db).add(a_server())
    NodeStore(db).add(replace(a_folder(), quota_gb=1.0, warn_at_gb=0.5))
    folder = next(node for node in NodeStore(db).list() if node.name == "research")
    assert QuotaStore(db).end_walk(QuotaStore(db).begin_walk(folder.id), 1000)
    claim = JobStore(db).claim_next(add_job(db).id, LEASE)
    assert claim is not None
    ReceiptStore(db).save(claim[1], Receipt(stored={"1.2"}, size_bytes=100))
    JobStore(db).end_attempt(claim[1], State.FAILURE, "it failed", "NoSpace")
    SignStore(db).give("dispatcher", "host-a", "1.0", db.clock())
    run = ChoreStore(db).begin("backup", LEASE)
    assert run is not None
    ChoreStore(db).end(run.id, ChoreOutcome.SUCCESS, "done")


def samples(exposition: str) -> set[str]:
    found = text_string_to_metric_families(exposition)
    return {sample.name for family in found for sample in family.samples}


def labels(exposition: str) -> dict[str, set[str]]:
    found = text_string_to_metric_families(exposition)
    return {sample.name: set(sample.labels) for family in found for sample in family.samples}


def expressions(value: Any) -> Iterator[str]:
    """Every ``expr`` in a document."""
    if isinstance(value, dict):
        yield from (text for key, text in value.items() if key == "expr")
        for inner in value.values():
            yield from expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from expressions(inner)


def all_expressions() -> list[str]:
    of_rules = expressions(yaml.safe_load(RULES.read_text()))
    of_panels = expressions(json.loads(DASHBOARD.read_text()))
    return [*of_rules, *(text.replace("$__rate_interval", "5m") for text in of_panels)]


def test_every_figure_that_is_shown_or_watched_exists(exposition: str) -> None:
    named = {name for expression in all_expressions() for name in NAME.findall(expression)}
    assert len(named) > 15
    assert named - samples(exposition) == set()


def test_figures_are_grouped_by_labels_that_they_have(exposition: str) -> None:
    known = labels(exposition)
    for expression in all_expressions():
        named = set(NAME.findall(expression))
        for words in re.findall(r"by \(([^)]+)\)", expression):
            wanted = {word.strip() for word in words.split(",")}
            assert any(wanted <= known[name] for name in named), expression


def test_every_figure_is_explained_to_operators(exposition: str) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    families = {family.name for family in text_string_to_metric_families(exposition)}
    told = set(NAME.findall(page)) | {name.removesuffix("_total") for name in NAME.findall(page)}
    assert families - told == set()


def test_the_dashboard_is_one_that_grafana_can_import() -> None:
    document = json.loads(DASHBOARD.read_text())
    assert document["title"] == "ADIT" and document["schemaVersion"] >= 39 and "id" not in document
    panels = document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        if panel["type"] != "row":
            assert panel["title"] and panel["description"] and panel["targets"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    taken = [cell for panel in panels for cell in cells(panel["gridPos"])]
    assert len(taken) == len(set(taken)), "panels lie over one another"


def cells(place: dict[str, int]) -> list[tuple[int, int]]:
    return [(place["x"] + across, place["y"] + down) for across in range(place["w"]) for down in range(place["h"])]


def test_the_example_asks_where_the_figures_are() -> None:
    (job,) = yaml.safe_load(SCRAPE.read_text())["scrape_configs"]
    assert job["metrics_path"] == "/metrics" and job["authorization"]["type"] == "Bearer"
    assert all(f'job="{job["job_name"]}"' in text for text in all_expressions() if text.startswith("up"))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_takes_rules_example_expressions_and_figures(tmp_path: Path, exposition: str) -> None:
    rules = [{"record": f"panel_{number}", "expr": text} for number, text in enumerate(all_expressions())]
    panels = tmp_path / "panels.yml"
    panels.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    for call in (["rules", RULES, panels], ["config", "--syntax-only", SCRAPE]):
        done = subprocess.run(["promtool", "check", *map(str, call)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    linted = subprocess.run(
        ["promtool", "check", "metrics"], input=exposition, capture_output=True, text=True, check=False
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr
