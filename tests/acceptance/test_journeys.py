"""Stories in a browser: people move studies, watch them, mend what failed, and are kept out of what is not theirs."""

from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from deployments.demo.studies import identifying_values, write_ct
from models.db.nodes import NodeStore
from models.domain.jobs import State
from models.domain.nodes import Folder
from models.domain.people import Group, NodeRight, Permission
from services import jobs
from tests.accessibility import lasting_problems
from tests.clinic import PASSWORD, ROOT, Clinic, Window
from tests.installation import TESTER
from tests.planted import planted_in
from tests.web import Browser

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1200)]

USER_PAGES = ("/", "/selective-transfer", "/batch-query", "/batch-transfer", "/jobs", "/profile", "/tokens")
ADMIN_PAGES = (
    "/administration",
    "/job-overview",
    "/users",
    "/users?id=new",
    "/groups",
    "/groups?id=new",
    "/trials",
    "/admin-tokens",
    "/servers",
    "/servers?id=new",
    "/folders",
    "/folders?id=new",
    "/project-settings",
    "/broadcast",
    "/broadcast?id=new",
    "/webhooks",
    "/webhooks?id=new",
    "/audit",
    "/reviews",
)


def find(window: Window, patient_id: str) -> None:
    window.open("/selective-transfer")
    window.pick("source", "PACS")
    window.enter("query-patient-id", patient_id)
    window.press("search")
    expect(window.table("Studies found").place).to_be_visible()


def job_at(window: Window) -> int:
    window.page.wait_for_url("**/job?id=*")
    return int(window.page.url.rpartition("=")[2])


def test_a_user_searches_picks_series_transfers_and_opens_the_receipt(a_clinic: Clinic) -> None:
    a_clinic.researcher("hedy")
    with a_clinic.window("hedy") as hedy:
        find(hedy, a_clinic.ct.patient_id)
        hedy.table("Studies found").click_row(0)
        hedy.sees("whole study")
        hedy.page.locator("[class*=st-key-study-] summary").click()
        hedy.page.get_by_text("Only some series").click()
        hedy.table("Series of the study").click_row(1)
        hedy.sees("1 series")
        hedy.pick("destination", "RESEARCH")
        hedy.page.get_by_label("Pseudonym", exact=True).fill("SUBJ-7")
        hedy.page.get_by_label("Pseudonym", exact=True).press("Tab")
        hedy.press("check")
        hedy.press("transfer")
        job_id = job_at(hedy)
        a_clinic.wait_for_end(job_id)
        hedy.sees("Success")
        hedy.table("Items of the job").click_row(0)
        hedy.page.wait_for_url("**/item?id=*")
        hedy.sees("Complete")
        expect(hedy.keyed("receipt-counts")).to_contain_text("Confirmed")
        with hedy.page.expect_download() as download:
            hedy.press("download-json")
        receipt = Path(download.value.path()).read_text(encoding="utf-8")
    (item,) = jobs.items(a_clinic.stack.installation.db, TESTER, job_id)
    assert item.pseudonym == "SUBJ-7" and len(item.series_uids) == 1
    proof = a_clinic.stack.installation.receipt(item)
    assert 0 < len(proof.confirmed) < len(a_clinic.ct.files)
    assert all(uid in receipt for uid in proof.confirmed)
    moved = a_clinic.research.files()
    assert len(moved) >= len(proof.confirmed)
    planted = identifying_values([a_clinic.ct], with_devices=False)
    assert not planted_in(moved.values(), planted)


def test_a_job_is_canceled_and_resumed_in_the_browser(a_clinic: Clinic) -> None:
    a_clinic.researcher("rosalind")
    a_clinic.suspend("selective_transfer", True)
    try:
        job = a_clinic.submit("rosalind", a_clinic.mr[0])
        with a_clinic.window("rosalind") as rosalind:
            rosalind.open(f"/job?id={job.id}")
            rosalind.press("job-cancel")
            rosalind.press("confirm-yes")
            rosalind.sees("The job is being canceled.")
            a_clinic.wait_for_end(job.id, State.CANCELED)
            rosalind.open(f"/job?id={job.id}")
            rosalind.press("job-resume")
            rosalind.sees("The canceled items wait again.")
            a_clinic.suspend("selective_transfer", False)
            a_clinic.wait_for_end(job.id, State.SUCCESS)
    finally:
        a_clinic.suspend("selective_transfer", False)


def test_what_failed_is_explained_and_tried_again(a_clinic: Clinic, tmp_path: Path) -> None:
    a_clinic.researcher("dorothy")
    late = write_ct(tmp_path, 301, 301, (1,), 16, 16)
    job = a_clinic.submit("dorothy", late)
    a_clinic.wait_for_end(job.id, State.FAILURE)
    with a_clinic.window("dorothy") as dorothy:
        dorothy.open(f"/job?id={job.id}")
        dorothy.sees("Failure")
        dorothy.table("Items of the job").click_row(0)
        dorothy.page.wait_for_url("**/item?id=*")
        dorothy.sees("The source has no study with this Study Instance UID")
        a_clinic.pacs.upload(late.files)
        dorothy.open(f"/job?id={job.id}")
        dorothy.press("job-retry")
        dorothy.sees("The failed items wait for another attempt.")
        a_clinic.wait_for_end(job.id, State.SUCCESS)
        dorothy.sees("Success")


def test_a_folder_that_is_missing_is_waited_for_until_an_administrator_has_it_tried(
    a_clinic: Clinic, tmp_path: Path
) -> None:
    eleanor = a_clinic.researcher("eleanor")
    a_clinic.person("caretaker", is_staff=True)
    share = tmp_path / "share"
    folder = NodeStore(a_clinic.stack.installation.db).add(Folder("Share", share))
    a_clinic.give(eleanor, NodeRight(folder.id, destination=True))
    job = a_clinic.submit("eleanor", a_clinic.mr[1], destination_id=folder.id)
    with a_clinic.window("eleanor") as researcher, a_clinic.window("caretaker") as caretaker:
        researcher.open(f"/job?id={job.id}")
        researcher.sees("The folder Share cannot be written")
        researcher.sees_not(str(share))
        share.mkdir()
        caretaker.open(f"/folders?id={folder.id}")
        caretaker.sees("The folder Share cannot be written")
        caretaker.press("folder-try")
        a_clinic.wait_for_end(job.id, State.SUCCESS)
        researcher.sees("Success")
    assert list(share.rglob("*.dcm"))


def test_a_transfer_beyond_the_quota_is_refused(a_clinic: Clinic, tmp_path: Path) -> None:
    user = a_clinic.researcher("barbara")
    tiny = NodeStore(a_clinic.stack.installation.db).add(Folder("Tiny", tmp_path, quota_gb=0.001))
    a_clinic.give(user, NodeRight(tiny.id, destination=True))
    with a_clinic.window("barbara") as barbara:
        find(barbara, a_clinic.ct.patient_id)
        barbara.table("Studies found").click_row(0)
        barbara.sees("whole study")
        barbara.pick("destination", "Tiny (folder)")
        barbara.press("check")
        barbara.sees("has not enough room within its quota")
        expect(barbara.keyed("transfer").get_by_role("button")).to_be_disabled()
    assert jobs.count(a_clinic.stack.installation.db, TESTER, everybody=True, owner="barbara") == 0
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_maintenance_keeps_users_out_and_lets_staff_in(a_clinic: Clinic) -> None:
    a_clinic.researcher("joan")
    a_clinic.person("keeper", is_staff=True)
    with a_clinic.window("joan") as joan, a_clinic.window("keeper") as keeper:
        keeper.open("/project-settings")
        keeper.tick("project-maintenance")
        keeper.press("project-save")
        keeper.sees("Maintenance mode is on")
        try:
            joan.sees("maintenance")
            assert joan.page.goto(f"{a_clinic.url}/jobs").status == 503  # type: ignore[union-attr]
            assert httpx.get(f"{a_clinic.url}/api/v1/me", timeout=120).status_code == 503
            assert httpx.get(f"{a_clinic.url}/health", timeout=120).status_code == 200
            keeper.open("/job-overview")
            keeper.sees("Job Overview")
        finally:
            keeper.open("/project-settings")
            keeper.tick("project-maintenance")
            keeper.press("project-save")
            keeper.sees("The settings were saved.")
        joan.open("/jobs")
        joan.sees("My jobs")


def test_a_deactivated_user_is_out_in_all_tabs(a_clinic: Clinic) -> None:
    user = a_clinic.researcher("katherine")
    with a_clinic.window("katherine") as first, a_clinic.window(ROOT) as root:
        second = first.another_tab("/jobs")
        root.open(f"/users?id={user.id}")
        root.press("user-deactivate")
        root.sees("was deactivated and signed out")
        for tab in (first, second):
            tab.page.wait_for_url("**/login**")
        first.sign_in("katherine")
        first.sees("deactivated")


def test_who_is_signed_out_in_one_tab_is_out_in_the_other(a_clinic: Clinic) -> None:
    a_clinic.researcher("edith")
    with a_clinic.window("edith") as first:
        second = first.another_tab("/jobs")
        first.press("sign_out")
        second.page.wait_for_url("**/login**")


def test_jobs_of_others_do_not_exist(a_clinic: Clinic) -> None:
    a_clinic.researcher("vera")
    job = a_clinic.submit("somebody-else", a_clinic.mr[0])
    with a_clinic.window("vera") as vera:
        vera.open(f"/job?id={job.id}")
        vera.sees("There is no such job.")
        for path in ("/users", "/audit", "/servers"):
            vera.open(path)
            vera.sees_not("Add user")
            vera.sees("Page not found")
    (item,) = jobs.items(a_clinic.stack.installation.db, TESTER, job.id)
    with Browser(a_clinic.url) as browser:
        browser.sign_in("vera", PASSWORD)
        for path in (f"/files/receipts/{item.id}.json", "/files/audit.csv"):
            assert browser.get(path).status_code in {403, 404}, path


def test_the_window_of_a_laptop_has_room_for_all_columns_of_jobs(a_clinic: Clinic) -> None:
    wu, lise = a_clinic.researcher("wu"), a_clinic.person("lise")
    shows = frozenset({Permission.VIEW_SELECTIVE_TRANSFER})
    a_clinic.groups.add(Group("Physics", shows, frozenset({wu.id, lise.id})))
    job = a_clinic.submit("wu", a_clinic.mr[0], trial_protocol_id="BETA-1")
    for name, path, alt, text in (
        ("lise", "/jobs?groups=true", "Jobs", "wu"),
        (ROOT, "/job-overview?overview-owner=wu", "Jobs", "wu"),
        ("wu", f"/job?id={job.id}", "Items of the job", a_clinic.mr[0].patient_id),
    ):
        with a_clinic.window(name) as window:
            window.page.set_viewport_size({"width": 1280, "height": 800})
            window.open(path)
            expect(window.table(alt).place.get_by_text(text, exact=True).first).to_be_attached()
            table = window.page.locator(".dvn-scroller").first
            expect(table).to_be_visible()
            assert table.evaluate("table => table.scrollWidth - table.clientWidth") == 0, path


def test_every_page_is_accessible(a_clinic: Clinic) -> None:
    a_clinic.researcher("louise", Permission.REVIEW_HELD, Permission.ADD_BATCH_QUERY)
    found: dict[str, list[str]] = {}
    for name, pages in (("louise", USER_PAGES), (ROOT, ADMIN_PAGES)):
        with a_clinic.window(name) as window:
            for path in pages:
                window.open(path)
                if "id=new" in path:
                    expect(window.page.get_by_role("dialog").get_by_role("textbox").first).to_be_visible()
                found |= {path: problems} if (problems := lasting_problems(window)) else {}
    for path in ("/login", "/register", "/forgot"):
        with a_clinic.window() as window:
            window.open(path)
            found |= {path: problems} if (problems := lasting_problems(window)) else {}
    assert found == {}
