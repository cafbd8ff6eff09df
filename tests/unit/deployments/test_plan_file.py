"""Every mistake in prefect.yaml ends in one line that names the file and the entry, before anything is done."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from deployments.cli import app
from deployments.doctor import prefect, work
from deployments.doctor.findings import Installation
from deployments.prefect_setup import check_flows
from models.db.engine import utc_now
from models.domain.errors import BadRequest
from models.settings import Settings
from services import deployment_plan, plan_file
from services.deployment_plan import PREFECT_YAML, planned
from services.plan_file import PlanFile
from tests.databases import sqlite_database
from tests.samples import some_settings

Change = Callable[[Any], Any]


@pytest.fixture
def a_file(tmp_path: Path) -> Path:
    return tmp_path / "prefect.yaml"


def backup(**changes: Any) -> Change:
    """The deployment of this name with other keys; one whose value is ... is left out."""

    def change(document: Any) -> None:
        found = next(one for one in document["deployments"] if one["name"] == "backup")
        for key, value in changes.items():
            found[key] = value
            if value is ...:
                del found[key]

    return change


def times(**changes: Any) -> Change:
    return backup(schedules=[{"cron": "30 1 * * *", **changes}])


def pool(**changes: Any) -> Change:
    return lambda document: document["work_pools"][0].update(changes)


def top(**changes: Any) -> Change:
    return lambda document: document.update(changes)


def queue(number: int, **changes: Any) -> Change:
    return lambda document: document["work_pools"][0]["queues"][number].update(changes)


def text(content: str) -> Change:
    return lambda _document: content


def without_queue(name: str) -> Change:
    def change(document: Any) -> None:
        found = document["work_pools"][0]
        found["queues"] = [one for one in found["queues"] if one["name"] != name]

    return change


MISTAKES: list[tuple[Change, str]] = [
    # no YAML, or another document
    (text("deployments: ["), "this is no YAML in line 1"),
    (text("name: adit\ncron: {{ backup_cron }}\n"), "this is no YAML in line 2"),
    (text("\tname: adit"), "this is no YAML in line 1"),
    (text("name: *nobody"), "this is no YAML in line 1"),
    (text("name: 2026-13-45"), "this is no YAML"),
    (text("name: \x01"), "this is no YAML"),
    (text("name: adit\nname: tida\n"), "the key name of line 1 stands there again in line 2"),
    (text("a:\n  - b: {c: 1, d: 2, c: 3}\n"), "the key c of line 2 stands there again in line 2"),
    (text("a: &a {b: 1}\nc:\n  <<: *a\n  <<: *a\n"), "the key << of line 3 stands there again in line 4"),
    (text(""), "these are no keys with values"),
    (text("- name: adit"), "these are no keys with values"),
    (text("name: adit"), "work_pools is missing. prefect.yaml: deployments is missing."),
    # the whole
    (top(jobs=[]), "jobs is not understood"),
    (top(pull=[{"git_clone": {}}]), "pull: "),
    (top(deployments=None), "deployments: input should be a valid list"),
    (top(deployments=[]), "deployments: one is needed"),
    (top(deployments=["backup"]), "deployment 1: these are no keys with values"),
    (top(work_pools=[]), "work_pools: one is needed"),
    (lambda document: document["work_pools"].append(document["work_pools"][0]), "work_pools: one is enough"),
    # the pool
    (pool(name="other"), "the work pool is called other, and the programs ask for transfers"),
    (pool(type="process"), "work pool transfers: type is not understood"),
    (pool(queues={}), "work pool transfers: queues: input should be a valid list"),
    (queue(3, name="recovered"), "the queue recovered stands there twice"),
    (queue(3, name=7), "work pool transfers: queue 4: name: input should be a valid string"),
    (queue(8, concurrency_limit="two"), "queue mass-transfer: concurrency_limit: input should be a valid integer"),
    (queue(8, concurrency_limit=-1), "queue mass-transfer: concurrency_limit: input should be greater than or equal"),
    (queue(8, concurrency_limit=True), "queue mass-transfer: concurrency_limit: input should be a valid integer"),
    (queue(8, priority=3), "queue mass-transfer: priority is not understood"),
    (without_queue("urgent-batch-query"), "work pool transfers: the queue urgent-batch-query is missing"),
    (without_queue("recovered"), "work pool transfers: the queue recovered is missing"),
    # a deployment
    (backup(retries=3), "deployment backup: retries is not understood"),
    (backup(name=...), ": name is missing"),
    (backup(name=2026), ": name: input should be a valid string"),
    (backup(name="a/b"), ": name: string should match pattern"),
    (backup(name="recovery"), "the deployment recovery stands there twice"),
    (backup(name="nightly"), "deployment nightly: there is no such chore. There are: "),
    (backup(description=None), "deployment backup: description: input should be a valid string"),
    (backup(tags="chore"), "deployment backup: tags: input should be a valid list"),
    (backup(tags=[1]), "deployment backup: tags: number 1: input should be a valid string"),
    (backup(concurrency_limit="one"), "deployment backup: concurrency_limit: input should be a valid integer"),
    (backup(work_pool=...), "deployment backup: work_pool is missing"),
    (backup(work_pool="transfers"), "deployment backup: work_pool: these are no keys with values"),
    (backup(work_pool={"name": "transfers"}), "deployment backup: work_pool: work_queue_name is missing"),
    (backup(work_pool={"name": "transfers", "work_queue_name": "express"}), "backup: there is no queue express"),
    (backup(work_pool={"name": "other", "work_queue_name": "maintenance"}), "backup: there is no work pool other"),
    (backup(entrypoint=...), "deployment backup: entrypoint is missing"),
    (backup(entrypoint="flows/chore.py:chore"), "deployment backup: entrypoint: not of the form"),
    (backup(entrypoint="chore"), "deployment backup: entrypoint: not of the form"),
    (backup(entrypoint=".chore"), "deployment backup: entrypoint: not of the form"),
    (backup(entrypoint="flows.nowhere.chore"), "deployment backup: entrypoint: there is no flows.nowhere.chore"),
    (backup(entrypoint="flows.chore.nothing"), "deployment backup: entrypoint: there is no flows.chore.nothing"),
    (backup(entrypoint="flows.chore.refusal"), "deployment backup: entrypoint: flows.chore.refusal is no flow"),
    (backup(parameters=["backup"]), "deployment backup: parameters: input should be a valid dictionary"),
    (backup(parameters={}), "deployment backup: parameters: 'name' is a required property"),
    (backup(parameters={"name": ["{{ nothing }}"]}), "deployment backup: parameters: there is no setting nothing"),
    (backup(parameters={"name": 5}), "deployment backup: parameters: name is not what chore takes"),
    (backup(parameters={"name": "backup", "keep": 3}), "deployment backup: parameters: chore has no keep"),
    (backup(parameters={"name": "recovery"}), "deployment backup: parameters: name: backup is needed"),
    (
        lambda document: document["deployments"][0].update(entrypoint="flows.batch_query.batch_query"),
        "deployment selective-transfer: entrypoint: the flow there is batch-query, not selective-transfer",
    ),
    (lambda document: document["deployments"].pop(0) and None, "the deployment selective-transfer is missing"),
    # its times
    (backup(schedules={"cron": "* * * * *"}), "deployment backup: schedules: input should be a valid list"),
    (backup(schedules=["* * * * *"]), "deployment backup: schedules: number 1: these are no keys with values"),
    (backup(schedules=[{"cron": "* * * * *"}] * 2), "deployment backup: schedules: one is enough"),
    (backup(schedules=[{"interval": 0}]), "deployment backup: schedules: number 1: interval is not understood"),
    (times(cron=None), "deployment backup: schedules: number 1: cron: input should be a valid string"),
    (times(cron=5), "deployment backup: schedules: number 1: cron: input should be a valid string"),
    (times(cron=""), "deployment backup: schedules: number 1: cron: not of the form"),
    (times(cron="@daily"), "deployment backup: schedules: number 1: cron: not of the form"),
    (times(cron="0 30 1 * * *"), "deployment backup: schedules: number 1: cron: not of the form"),
    (times(cron="61 * * * *"), "backup: schedules: number 1: cron: '61 * * * *' are no times of a crontab"),
    (times(cron="0 0 31 2 *"), "backup: schedules: number 1: cron: '0 0 31 2 *' are no times of a crontab"),
    (times(cron="0 0 LW * *"), "deployment backup: schedules: '0 0 LW * *' is no crontab for Prefect"),
    (times(cron="{{ nothing }}"), "deployment backup: schedules: number 1: cron: there is no setting nothing"),
    (times(cron="{{ backup_keep }}"), "deployment backup: schedules: number 1: cron: input should be a valid string"),
    (times(timezone="Mars/Base"), "deployment backup: schedules: number 1: timezone: no time zone"),
    (times(timezone="Europe"), "deployment backup: schedules: number 1: timezone: no time zone"),
    (times(timezone=""), "deployment backup: schedules: number 1: timezone: no time zone"),
    (times(active="yes"), "deployment backup: schedules: number 1: active: input should be a valid boolean"),
    (times(active="{{ backup_cron }}"), "deployment backup: schedules: number 1: active: input should be a valid"),
    (times(every=3), "deployment backup: schedules: number 1: every is not understood"),
]


def write(path: Path, change: Change) -> Path:
    document = yaml.safe_load(PREFECT_YAML.read_text())
    told = change(document)
    path.write_text(told if isinstance(told, str) else yaml.safe_dump(document))
    return path


@pytest.mark.parametrize(("change", "told"), MISTAKES, ids=[told for _, told in MISTAKES])
def test_a_mistake_is_told_in_one_line_with_its_file_and_entry(a_file: Path, change: Change, told: str) -> None:
    settings = some_settings(a_file.parent)
    with pytest.raises(BadRequest) as raised:
        check_flows(planned(settings, write(a_file, change)))
    assert raised.value.message.startswith("prefect.yaml: ")
    assert told in raised.value.message and "\n" not in raised.value.message


@pytest.mark.parametrize("content", [b"\xff\xfe", None], ids=["no text", "missing"])
def test_a_file_that_cannot_be_read_is_named(a_file: Path, content: bytes | None) -> None:
    if content is not None:
        a_file.write_bytes(content)
    with pytest.raises(BadRequest, match=r"prefect\.yaml"):
        planned(some_settings(a_file.parent), a_file)


def test_flows_take_what_the_file_says(tmp_path: Path) -> None:
    check_flows(planned(some_settings(tmp_path)))


def test_keys_that_come_from_an_anchor_may_be_said_again(a_file: Path) -> None:
    yaml_text = PREFECT_YAML.read_text()
    merged = yaml_text.replace("work_pool: *queries", "work_pool: {<<: *queries, work_queue_name: urgent-batch-query}")
    assert merged != yaml_text
    a_file.write_text(merged)
    check = planned(some_settings(a_file.parent), a_file).deployment("batch-check")
    assert check and check.queue == "urgent-batch-query"


def test_settings_stand_in_parameters_and_in_lists(a_file: Path) -> None:
    settings = some_settings(a_file.parent, backup_keep=9)
    change = backup(parameters={"name": "backup", "keep": ["{{ backup_keep }}"]}, tags=["{{ time_zone }}"])
    found = planned(settings, write(a_file, change)).deployment("backup")
    assert found and found.parameters["keep"] == [9] and found.tags == ("Europe/Berlin",)


def test_a_file_is_read_again_only_when_it_or_the_settings_have_changed(
    a_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, read = some_settings(a_file.parent), counted(monkeypatch)
    write(a_file, backup(retries=3))
    assert [deployment_plan.complaint(settings, a_file) for _ in range(3)] == [
        "prefect.yaml: deployment backup: retries is not understood."
    ] * 3
    assert len(read) == 1
    write(a_file, backup(description="Mended."))
    assert deployment_plan.complaint(settings, a_file) == "" and len(read) == 2
    assert planned(settings, a_file) is planned(settings, a_file) and len(read) == 2
    planned(some_settings(a_file.parent, backup_cron="1 1 * * *"), a_file)
    assert len(read) == 3


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The file each time that it is read."""
    found: list[Path] = []
    read = plan_file.read

    def counting(path: Path, settings: Settings) -> PlanFile:
        found.append(path)
        return read(path, settings)

    monkeypatch.setattr(plan_file, "read", counting)
    return found


def test_a_secret_of_the_settings_is_in_no_complaint(a_file: Path) -> None:
    address = "postgresql+psycopg://adit:hidden@db.example.org/adit"
    settings = some_settings(a_file.parent, database_url=address)
    change = times(cron="{{ master_key }}", timezone="{{ database_url }}")
    with pytest.raises(BadRequest) as raised:
        planned(settings, write(a_file, change))
    assert settings.master_key.get_secret_value() not in raised.value.message
    assert "hidden" not in raised.value.message


@pytest.fixture
def a_broken_file(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    deployment_plan._understood.cache_clear()
    monkeypatch.setattr(plan_file, "_document", lambda _path: {"work_pools": []})
    yield
    deployment_plan._understood.cache_clear()


@pytest.mark.usefixtures("a_broken_file")
@pytest.mark.parametrize("words", [["up"], ["init"], ["deploy"], ["chores"]], ids=" ".join)
def test_no_command_begins_with_a_broken_file(a_data_dir: Path, words: list[str]) -> None:
    key = some_settings(a_data_dir).master_key.get_secret_value()
    environment = {"ADIT_MASTER_KEY": key, "ADIT_PREFECT_PORT": "1"}
    ended = CliRunner().invoke(app, words, env=environment)
    assert ended.exit_code == 2, ended.output
    assert "BadRequest: prefect.yaml: work_pools: one is needed." in ended.output
    assert not list(a_data_dir.glob("prefect/*"))
    assert words == ["chores"] or not (a_data_dir / "adit.db").exists()


@pytest.mark.usefixtures("a_broken_file")
def test_the_doctor_names_a_broken_file_once(tmp_path: Path) -> None:
    db = sqlite_database(tmp_path, utc_now)  # type: ignore[arg-type]
    settings = some_settings(tmp_path)
    here = Installation(settings, db)
    (found,) = [*prefect.plan(settings), *work.chores(here), *work.backup(here)]
    assert found.text.startswith("prefect.yaml: work_pools: one is needed.")
    assert "adit deploy" in found.remedy
    db.close()
