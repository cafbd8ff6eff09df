"""prefect.yaml names flows that exist, and there is a deployment for every kind of job."""

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow

from flows.requests import RequestedTransfer
from models.domain.jobs import JobKind
from tests.house.source_tree import ROOT

PREFECT_YAML = ROOT / "prefect.yaml"


def deployments() -> list[dict[str, Any]]:
    assert PREFECT_YAML.exists(), "prefect.yaml is missing: it says which flow runs where."
    document = yaml.safe_load(PREFECT_YAML.read_text(encoding="utf-8"))
    return list(document["deployments"])


def flow_of(deployment: dict[str, Any]) -> Flow[..., Any]:
    """The flow of an entry point in dotted form.

    A file path would be loaded by Prefect even where the imports of the file cannot be resolved.
    """
    entry_point = str(deployment["entrypoint"])
    assert ":" not in entry_point and "/" not in entry_point, f"{entry_point}: write it as package.module.flow"
    module, _, name = entry_point.rpartition(".")
    return getattr(import_module(module), name)


@pytest.fixture(autouse=True)
def a_prefect_home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))


def test_every_entry_point_is_a_flow() -> None:
    assert deployments()
    for deployment in deployments():
        assert isinstance(flow_of(deployment), Flow), deployment["entrypoint"]


def test_a_request_in_prefect_has_no_place_for_a_patient() -> None:
    words = ("patient", "name", "pseudonym", "birth")
    told = {name for name in RequestedTransfer.model_fields if any(word in name for word in words)}
    assert told == {"trial_protocol_name"}


def test_every_kind_of_job_has_a_deployment() -> None:
    names = {f"{flow_of(deployment).name}/{deployment['name']}" for deployment in deployments()}
    assert {kind.deployment for kind in JobKind} <= names


def test_flows_of_jobs_take_ids_and_nothing_else() -> None:
    """Prefect stores parameters, so nothing of a patient may be among them."""
    kinds = {kind.deployment: kind for kind in JobKind}
    for deployment in deployments():
        flow = flow_of(deployment)
        kind = kinds.get(f"{flow.name}/{deployment['name']}")
        if kind is not None:
            expected = ["job_id"] if kind.only_asks else ["job_id", "request"]
            assert list(inspect.signature(flow.fn).parameters) == expected
            assert flow.persist_result is False
            assert flow.log_prints is False
