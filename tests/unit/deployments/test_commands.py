"""What the commands say and how they end, against a real database; nothing runs behind it."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from deployments.cli import app
from deployments.ports import free_port
from models.db.engine import open_database
from models.db.jobs import JobStore
from models.db.receipts import ReceiptStore
from models.domain import windows
from models.domain.jobs import State
from models.domain.nodes import Server
from models.domain.people import operator
from models.domain.receipts import Receipt
from models.settings import settings
from services import jobs, nodes

Adit = Callable[..., Result]
SERVER = ("--ae-title", "PACS", "--host", "127.0.0.1", "--study-root-find-support", "--study-root-get-support")


@pytest.fixture
def adit(a_data_dir: Path) -> Adit:
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def an_installation(adit: Adit, tmp_path: Path) -> Adit:
    """A server `pacs` on which nobody listens, and a folder `research`."""
    (tmp_path / "research").mkdir()
    assert adit("node", "add-server", "pacs", *SERVER, "--port", free_port()).exit_code == 0
    assert adit("node", "add-folder", "research", tmp_path / "research").exit_code == 0
    return adit


def test_added_nodes_are_listed_without_their_credentials(an_installation: Adit) -> None:
    web = ("--dicomweb-root-url", "https://pacs/dicom-web", "--dicomweb-qido-support")
    secret = ("--dicomweb-authorization-header", "Bearer abc123")
    assert (
        an_installation(
            "node", "add-server", "web", *SERVER, "--ae-title", "WEB", "--port", 104, *web, *secret
        ).exit_code
        == 0
    )
    listed = an_installation("node", "list").output
    assert "pacs" in listed
    assert "research" in listed
    assert "find, get, QIDO-RS" in listed
    assert "abc123" not in listed
    stored = nodes.by_name(open_database(settings()), "web")
    assert getattr(stored, "dicomweb_authorization_header", "") == "Bearer abc123"


def test_what_is_refused_is_one_red_line_and_status_2(an_installation: Adit) -> None:
    result = an_installation("node", "add-server", "other", "--ae-title", "", "--host", "h", "--port", 0)
    assert result.exit_code == 2
    assert result.output.startswith("BadRequest: ae_title")
    assert "Traceback" not in result.output


def test_a_server_that_is_down_is_unreachable(an_installation: Adit) -> None:
    result = an_installation("node", "test", "pacs")
    assert result.exit_code == 2
    assert result.output.startswith("not ok  Connection ")
    assert "nothing listens there" in result.output


def test_windows_and_limits_of_a_server_are_kept(adit: Adit) -> None:
    times = ("--window", "Mon-Tue 20:00-06:00", "--window", "Sun 00:00-00:00", "--max-search-results", 50)
    assert adit("node", "add-server", "night", *SERVER, "--port", 104, *times).exit_code == 0
    stored = nodes.by_name(open_database(settings()), "night")
    assert isinstance(stored, Server)
    assert [windows.words(each) for each in stored.windows] == ["Mon 20:00-06:00", "Tue 20:00-06:00", "Sun 00:00-00:00"]
    assert stored.max_search_results == 50
    refused = adit("node", "add-server", "day", *SERVER, "--port", 104, "--window", "sometimes")
    assert refused.exit_code == 2
    assert refused.output.startswith("BadRequest: windows: ")


def test_budgets_by_the_hour_are_kept_and_a_server_is_stopped_and_goes_on(adit: Adit) -> None:
    budgets = ("--budget-at", "Mon-Tue 20:00-06:00 = 12")
    assert adit("node", "add-server", "night", *SERVER, "--port", 104, *budgets).exit_code == 0
    assert adit("node", "stop", "night", "--reason", "It swaps its disks.").exit_code == 0
    stored = nodes.by_name(open_database(settings()), "night")
    assert isinstance(stored, Server)
    assert [windows.rule_words(rule) for rule in stored.budget_rules] == [
        "Mon 20:00-06:00 = 12",
        "Tue 20:00-06:00 = 12",
    ]
    assert stored.stop is not None and stored.stop.reason == "It swaps its disks."
    assert "stopped" in adit("node", "list").output
    assert "night is open." in adit("node", "go-on", "night").output
    assert adit("node", "stop", "nowhere").exit_code == 2
    assert adit("node", "add-server", "x", *SERVER, "--port", 104, "--budget-at", "8").exit_code == 2


def test_the_status_of_a_job_says_what_holds_it_back(an_installation: Adit) -> None:
    an_installation("transfer", "--from", "pacs", "--to", "research", "--no-wait", "--study", "1.2.3")
    an_installation("node", "stop", "pacs", "--reason", "It swaps its disks.")
    shown = an_installation("status", 1).output
    assert "#1 study 1.2.3: ServerStopped: An administrator has stopped pacs" in shown
    assert "It swaps its disks." in shown


def test_a_folder_may_be_added_before_its_share_is_mounted_and_is_not_made(
    an_installation: Adit, tmp_path: Path
) -> None:
    added = an_installation("node", "add-folder", "share", tmp_path / "share")
    assert added.exit_code == 0 and "adit node test 'share' tries it" in added.output
    assert an_installation("node", "test", "share").exit_code == 2
    assert not (tmp_path / "share").exists()
    helped = " ".join(an_installation("node", "add-folder", "--help").output.replace("│", " ").split())
    assert "may be missing as yet" in helped and "has to be there when studies are sent" in helped


def test_a_folder_that_is_not_there_is_not_called_good(an_installation: Adit, tmp_path: Path) -> None:
    assert an_installation("node", "test", "research").exit_code == 0
    (tmp_path / "research").rmdir()
    assert an_installation("node", "test", "research").exit_code == 2


def test_a_job_is_accepted_shown_canceled_and_resumed(an_installation: Adit) -> None:
    words = ("--from", "pacs", "--to", "research", "--no-wait", "--trial-id", "T1", "--urgent")
    result = an_installation("transfer", *words, "--study", "1.2.3", "--pseudonym", "SUBJ-1", "--patient", "P1")
    assert result.exit_code == 0
    assert "Job 1 is accepted." in result.output
    assert "start adit up" in result.output
    assert "pending" in an_installation("status", 1).output
    assert "Job 1 is canceled." in an_installation("cancel", 1).output
    assert an_installation("cancel", 1).exit_code == 2
    assert "Job 1 is pending." in an_installation("resume", 1).output
    assert an_installation("retry", 1).exit_code == 2
    (job,) = jobs.list(open_database(settings()), operator("test"), everybody=True)
    assert (job.state, job.urgent, job.trial_protocol_id) == (State.PENDING, True, "T1")


def test_one_item_of_a_job_is_canceled(an_installation: Adit) -> None:
    an_installation(
        "transfer", "--from", "pacs", "--to", "research", "--no-wait", "--study", "1.2.3", "--study", "1.2.4"
    )
    assert "Item 2 of job 1 is canceled." in an_installation("cancel", 1, "--item", 2).output
    assert an_installation("cancel", 1, "--item", 2).exit_code == 2, "it waits no more"
    assert "Job 1 has no item 3." in an_installation("cancel", 1, "--item", 3).output
    db = open_database(settings())
    (job,) = jobs.list(db, operator("test"), everybody=True)
    states = [item.state for item in jobs.items(db, operator("test"), job.id)]
    assert (job.state, states) == (State.PENDING, [State.PENDING, State.CANCELED])


def test_a_job_is_made_urgent_restarted_and_deleted(an_installation: Adit) -> None:
    an_installation("transfer", "--from", "pacs", "--to", "research", "--no-wait", "--study", "1.2.3")
    assert "Job 1 is urgent." in an_installation("hurry", 1).output
    assert "Job 1 is not urgent." in an_installation("hurry", 1, "--not-urgent").output
    assert an_installation("verify", 1).exit_code == 2, "it waits for nobody"
    an_installation("cancel", 1)
    assert "Job 1 is pending." in an_installation("restart", 1).output
    assert "Job 1 is deleted." in an_installation("delete", 1).output
    assert an_installation("status", 1).exit_code == 2


def test_maintenance_is_begun_and_ended(an_installation: Adit) -> None:
    assert "Maintenance is off." in an_installation("maintenance").output
    begun = an_installation("maintenance", "on")
    assert "Maintenance is on." in begun.output
    assert "Items at work: 0." in begun.output
    assert "Maintenance is on." in an_installation("maintenance").output
    assert an_installation("maintenance", "perhaps").exit_code == 2
    assert "Maintenance is off." in an_installation("maintenance", "off").output


def test_waiting_for_maintenance_says_how_many_items_are_still_at_work(
    an_installation: Adit, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter([2, 2, 1, 1, 0])
    monkeypatch.setattr(jobs, "at_work", lambda *_: next(left))
    monkeypatch.setattr("deployments.commands.project._LOOK_EVERY_S", 0.0)
    refused = an_installation("maintenance", "--wait")
    assert (refused.exit_code, "Say adit maintenance on --wait." in refused.output) == (2, True)
    waited = an_installation("maintenance", "on", "--wait")
    assert waited.exit_code == 0, waited.output
    said = [line for line in waited.output.splitlines() if "at work" in line]
    assert said == ["Items at work: 2.", "Items at work: 1.", "Items at work: 0.", "Nothing is at work."]


def test_waiting_for_maintenance_ends_with_a_status_when_it_takes_too_long(
    an_installation: Adit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "at_work", lambda *_: 3)
    gave_up = an_installation("maintenance", "on", "--wait", "--timeout", "0")
    assert gave_up.exit_code == 2
    assert "TimedOut: 3 items are still at work." in gave_up.output
    assert "Maintenance is on." in an_installation("maintenance").output


def test_options_are_paired_with_studies_in_their_order(an_installation: Adit) -> None:
    studies = ("--study", "1.2", "--study", "1.3", "--pseudonym", "A", "--pseudonym", "B", "--trial-id", "T")
    result = an_installation("transfer", "--from", "pacs", "--to", "research", "--no-wait", *studies)
    assert result.exit_code == 0, result.output
    items = jobs.items(open_database(settings()), operator("test"), 1)
    assert [(item.study_uid, item.pseudonym) for item in items] == [("1.2", "A"), ("1.3", "B")]


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--study", "1.2", "--study", "1.3", "--study", "1.4", "--pseudonym", "A", "--pseudonym", "B"),
        ("--study", "1.2", "--study", "1.3", "--series", "1.2.1"),
        ("--study", "1.2", "--batch", "batch.csv"),
        ("--batch", "missing.csv"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(an_installation: Adit, words: tuple[str, ...]) -> None:
    result = an_installation("transfer", "--from", "pacs", "--to", "research", "--no-wait", *words)
    assert result.exit_code == 2
    assert result.output.startswith("BadRequest: ")


def test_a_batch_comes_from_a_file(an_installation: Adit, tmp_path: Path) -> None:
    file = tmp_path / "batch.csv"
    file.write_text("patient_id,study_uid,pseudonym\nP1,1.2.3,A\nP2,1.2.4,B\n")
    result = an_installation("transfer", "--from", "pacs", "--to", "research", "--no-wait", "--batch", file)
    assert result.exit_code == 0, result.output
    items = jobs.items(open_database(settings()), operator("test"), 1)
    assert [(item.patient_id, item.study_uid, item.pseudonym) for item in items] == [
        ("P1", "1.2.3", "A"),
        ("P2", "1.2.4", "B"),
    ]


def test_a_batch_without_a_column_is_refused_by_name(an_installation: Adit, tmp_path: Path) -> None:
    file = tmp_path / "batch.csv"
    file.write_text("patient_id,study_uid\nP1,1.2.3\n")
    result = an_installation("transfer", "--from", "pacs", "--to", "research", "--batch", file)
    assert result.exit_code == 2
    assert "pseudonym" in result.output


def test_a_transfer_that_keeps_the_identity_says_so(an_installation: Adit) -> None:
    words = ("transfer", "--from", "pacs", "--to", "research", "--no-wait", "--study", "1.2.3", "--keep-identity")
    assert "keep their patients' identity" in an_installation(*words).output
    assert "identity kept" in an_installation("status", 1).output
    assert an_installation(*words, "--pseudonym", "SUBJ-1").exit_code == 2


def test_without_a_pseudonym_one_is_generated_and_shown(an_installation: Adit) -> None:
    words = ("--from", "pacs", "--to", "research", "--no-wait", "--study", "1.2.3", "--patient", "P1")
    result = an_installation("transfer", *words, "--pseudonym", "")
    assert "are generated" in result.output
    assert "Profile research, rules " in result.output
    (item,) = jobs.items(open_database(settings()), operator("test"), 1)
    assert item.pseudonym in an_installation("status", 1).output
    assert len(item.pseudonym) == 12


def test_a_profile_is_chosen_and_a_wrong_one_refused(an_installation: Adit) -> None:
    words = ("transfer", "--from", "pacs", "--to", "research", "--no-wait", "--study", "1.2.3")
    assert "Profile basic, rules " in an_installation(*words, "--profile", "basic").output
    result = an_installation(*words, "--profile", "no-such")
    assert (result.exit_code, result.output.split(":")[0]) == (2, "BadRequest")
    assert "no-such" in result.output


@pytest.fixture
def a_held_item(an_installation: Adit) -> Adit:
    """Job 1 of the installation has one item, with two held instances."""
    an_installation(
        "transfer", "--from", "pacs", "--to", "research", "--no-wait", "--study", "1.2.3", "--patient", "P-007"
    )
    db = open_database(settings())
    _, lease = JobStore(db).claim_next(1, timedelta(seconds=20)) or pytest.fail("nothing was due")
    uids = {"1.2.3.1", "1.2.3.2", "1.2.3.3"}
    held = dict.fromkeys(["1.2.3.1", "1.2.3.2"], "It may show a name.")
    receipt = Receipt(expected=uids, received=uids, stored={"1.2.3.3"}, confirmed={"1.2.3.3"}, held=held)
    ReceiptStore(db).save(lease, receipt)
    JobStore(db).end_attempt(lease, State.WARNING, "two are held")
    db.close()
    return an_installation


def test_held_instances_are_listed_released_and_rejected(a_held_item: Adit) -> None:
    adit = a_held_item
    assert "│ 1   │ 2    │" in adit("review").output
    for listed in (adit("review", 1), adit("review", "list", 1)):
        assert "1.2.3.1" in listed.output and "It may show a name." in listed.output
    refused = adit("review", "release", 1, "--item", 1, "--reason", "fine")
    assert (refused.exit_code, refused.output.split(":")[0]) == (2, "BadRequest")
    assert adit("review", "release", 1, "--item", 2, "--reason", "looked at it all").exit_code == 2
    released = adit("review", "release", 1, "--item", 1, "--reason", "looked at it all", "--uid", "1.2.3.1")
    assert "Item 1 of job 1 is pending." in released.output
    assert adit("review", "reject", 1, "--item", 1, "--reason", "there is a name in it").exit_code == 0
    assert "none" in adit("review").output
    trail = adit("audit").output
    for words in ("release_held", "reject_held", "BadRequest"):
        assert words in trail
    assert "looked at it all" not in trail, "reasons are among the details, which are encrypted"


def test_an_identity_is_found_with_a_reason_and_can_be_forgotten(
    a_held_item: Adit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADIT_ESCROW", "true")
    adit, why = a_held_item, ("--reason", "incidental finding in the lung")
    adit("transfer", "--from", "pacs", "--to", "research", "--no-wait", "--study", "1.9", "--patient", "P-008",
         "--pseudonym", "SUBJ-8", "--trial-id", "T1")  # fmt: skip
    found = adit("escrow", "find", "SUBJ-8", "--trial", "T1", *why)
    assert found.output.strip() == "P-008"
    assert adit("escrow", "find", "SUBJ-8", *why).exit_code == 2
    assert adit("escrow", "forget", "--trial", "T1", *why, "--yes").exit_code == 2, "its job has not ended"
    adit("cancel", 2)
    declined = CliRunner().invoke(app, ["escrow", "forget", "--trial", "T1", *why], input="n\n")
    assert declined.exit_code == 1
    assert adit("escrow", "find", "SUBJ-8", "--trial", "T1", *why).exit_code == 0
    assert "Forgotten." in adit("escrow", "forget", "--trial", "T1", *why, "--yes").output
    gone = adit("escrow", "find", "SUBJ-8", "--trial", "T1", *why)
    assert gone.exit_code == 2 and "forgotten" in gone.output
    assert adit("resume", 2).exit_code == 2
    assert "P-008" not in adit("audit").output


def test_the_status_shows_held_counts_and_error_codes(a_held_item: Adit) -> None:
    status = a_held_item("status", 1).output
    assert "held" in status and "Held" not in status
    db = open_database(settings())
    JobStore(db).restart(1)
    _, lease = JobStore(db).claim_next(1, timedelta(seconds=20)) or pytest.fail("nothing was due")
    JobStore(db).end_attempt(lease, State.FAILURE, "it was gone", "NotFound")
    db.close()
    assert "NotFound" in a_held_item("status", 1).output
