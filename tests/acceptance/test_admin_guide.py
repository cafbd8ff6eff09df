"""What the administrator's guide promises (docs/admin-guide.md), done in a browser as the guide tells it."""

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from models.db.nodes import NodeStore
from models.db.tokens import TokenStore
from models.domain.nodes import Folder, Server
from models.domain.people import Permission, Standing
from tests.clinic import PASSWORD, ROOT, Clinic, Window
from tests.mail_server import Letter

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1200)]
LINK = re.compile(r"http://localhost:\d+(/\S+)")


def link_in(letter: Letter) -> str:
    found = LINK.search(letter.text)
    assert found, letter.text
    return found[1]


def fill_form(window: Window, **values: str) -> None:
    for name, value in values.items():
        window.page.locator(f"[name={name}]").fill(value)
    window.page.locator("form button[type=submit]").click()


def test_somebody_registers_confirms_is_approved_and_signs_in(a_clinic: Clinic) -> None:
    with a_clinic.window() as grace, a_clinic.window(ROOT) as root:
        grace.page.goto(f"{a_clinic.url}/register")
        fill_form(
            grace,
            username="grace",
            email="Grace@clinic.example",
            first_name="Grace",
            last_name="Hopper",
            phone_number="4712",
            department="Radiology",
            password=PASSWORD,
            again=PASSWORD,
        )
        grace.sees("Check your mail")
        grace.page.goto(a_clinic.url + link_in(a_clinic.mails.wait_for("Grace@clinic.example", "onfirm")))
        grace.page.locator("form button[type=submit]").click()
        grace.sees("administrator")
        grace.sign_in("grace")
        grace.sees("awaits approval")
        root.open(link_in(a_clinic.mails.wait_for("root@clinic.example", "grace")))
        root.press("user-approve")
        root.sees("was approved")
        a_clinic.mails.wait_for("Grace@clinic.example", "approved")
        grace.sign_in("grace")
        grace.sees("Welcome, Grace Hopper")


def test_an_administrator_creates_a_user_who_chooses_a_password(a_clinic: Clinic) -> None:
    with a_clinic.window(ROOT) as root, a_clinic.window() as alan:
        root.open("/users")
        root.press("add")
        root.enter("new-user-username", "alan")
        root.enter("new-user-email", "alan@clinic.example")
        root.enter("new-user-first_name", "Alan")
        root.press("new-user-save")
        root.sees("was added")
        alan.page.goto(a_clinic.url + link_in(a_clinic.mails.wait_for("alan@clinic.example")))
        fill_form(alan, password=PASSWORD, again=PASSWORD)
        alan.sign_in("alan")
        alan.sees("Welcome, Alan")


def test_the_addresses_of_the_guide_lead_to_the_administration(a_clinic: Clinic) -> None:
    a_clinic.person("chief", is_staff=True)
    with a_clinic.window("chief") as chief:
        for address in ("/django-admin/", "/admin/", "/admin-section/"):
            chief.open(address)
            chief.is_at("/administration")
            chief.sees("Authentication and Authorization")
        for words in ("DICOM servers", "DICOM folders", "Project settings", "Job Overview", "Broadcast"):
            chief.sees(words)


def test_a_group_gives_its_members_rights_and_servers(a_clinic: Clinic) -> None:
    a_clinic.person("manager", is_staff=True)
    a_clinic.person("ida")
    with a_clinic.window("ida") as ida, a_clinic.window("manager") as manager:
        ida.sees("You are not a member of any group yet")
        manager.open("/groups")
        manager.press("add")
        manager.enter("group-name", "Radiologists")
        manager.pick(
            "group-permissions",
            "selective_transfer | selective transfer job | Can add selective transfer job",
            "selective_transfer | selective transfer job | Can process urgently",
        )
        manager.pick("group-members", "ida")
        manager.tick(f"group-nodes-{a_clinic.source.id}-source")
        manager.tick(f"group-nodes-{a_clinic.folder.id}-destination")
        manager.press("group-save")
        manager.sees("The group Radiologists was saved.")
        ida.open("/selective-transfer")
        ida.pick("source", "PACS")
    group = next(group for group in a_clinic.groups.list() if group.name == "Radiologists")
    assert group.permissions == {Permission.ADD_SELECTIVE_TRANSFER, Permission.SELECTIVE_URGENT}


def test_a_server_takes_every_field_of_the_guide(a_clinic: Clinic) -> None:
    a_clinic.person("engineer", is_staff=True)
    a_clinic.researcher("lise")
    capabilities = [name for name in Server.__dataclass_fields__ if name.endswith("_support")]
    with a_clinic.window("engineer") as engineer:
        engineer.open("/servers")
        engineer.press("add")
        engineer.enter("server-name", "Web archive")
        engineer.enter("server-ae_title", "PACS2")
        engineer.enter("server-host", "127.0.0.1")
        engineer.enter("server-port", str(a_clinic.pacs.port))
        engineer.unfold("server-web")
        engineer.enter("server-dicomweb_root_url", f"{a_clinic.pacs.url}/dicom-web")
        for prefix in ("qido", "wado", "stow"):
            engineer.enter(f"server-dicomweb_{prefix}_prefix", f"{prefix}-x")
        engineer.enter("server-dicomweb_authorization_header", "Bearer secret-of-the-archive")
        for name in capabilities:
            engineer.tick(f"server-{name}")
        group = next(group for group in a_clinic.groups.list() if group.name == "Group of lise")
        engineer.tick(f"server-nodes-{group.id}-source")
        engineer.press("server-test")
        expect(engineer.keyed("connection-findings")).to_contain_text("C-ECHO")
        engineer.press("server-save")
        engineer.sees("The server Web archive was saved.")
        kept = NodeStore(a_clinic.stack.installation.db).by_name("Web archive")
        assert isinstance(kept, Server)
        assert (kept.ae_title, kept.host, kept.port) == ("PACS2", "127.0.0.1", a_clinic.pacs.port)
        assert all(getattr(kept, name) for name in capabilities)
        assert kept.dicomweb_root_url == f"{a_clinic.pacs.url}/dicom-web"
        assert (kept.dicomweb_qido_prefix, kept.dicomweb_wado_prefix, kept.dicomweb_stow_prefix) == (
            "qido-x",
            "wado-x",
            "stow-x",
        )
        assert kept.dicomweb_authorization_header == "Bearer secret-of-the-archive"
        assert next(group for group in a_clinic.groups.list() if group.name == "Group of lise").nodes >= {
            right
            for right in a_clinic.groups.get(group.id).nodes
            if right.node_id == kept.id and right.source and not right.destination
        }
        engineer.open(f"/servers?id={kept.id}")
        engineer.sees("Edit DICOM server")
        assert "secret-of-the-archive" not in engineer.page.content()


def test_what_is_wrong_with_a_server_is_said_beside_its_fields(a_clinic: Clinic) -> None:
    a_clinic.person("beginner", is_staff=True)
    with a_clinic.window("beginner") as beginner:
        beginner.open("/servers")
        beginner.press("add")
        beginner.enter("server-name", "PACS")
        beginner.enter("server-ae_title", "WITH\\BACKSLASH")
        beginner.press("server-save")
        beginner.sees("Please correct:")
        beginner.sees("no backslash or control characters")
        beginner.sees("the server must support at least one of them")
        expect(beginner.keyed("server-name").locator("input")).to_have_value("PACS")


def test_a_folder_takes_every_field_of_the_guide(a_clinic: Clinic, tmp_path: Path) -> None:
    a_clinic.person("librarian", is_staff=True)
    a_clinic.researcher("marie")
    group = next(group for group in a_clinic.groups.list() if group.name == "Group of marie")
    with a_clinic.window("librarian") as librarian:
        librarian.open("/folders")
        librarian.press("add")
        librarian.enter("folder-name", "Research Uploads")
        librarian.enter("folder-path", str(tmp_path))
        librarian.enter("folder-quota_gb", "2")
        librarian.keyed("folder-warn").get_by_text("At a percentage of the quota").click()
        librarian.enter("folder-warn_at_percent", "75")
        librarian.tick(f"folder-nodes-{group.id}-destination")
        librarian.press("folder-test")
        expect(librarian.keyed("connection-findings")).to_contain_text("can make and remove files")
        librarian.press("folder-save")
        librarian.sees("The folder Research Uploads was saved.")
    kept = NodeStore(a_clinic.stack.installation.db).by_name("Research Uploads")
    assert isinstance(kept, Folder)
    assert (kept.path, kept.quota_gb, kept.warn_at_percent, kept.warn_at_gb) == (tmp_path, 2, 75, None)
    assert any(right.node_id == kept.id and right.destination for right in a_clinic.groups.get(group.id).nodes)


def test_administrators_hear_once_that_a_folder_is_nearly_full(a_clinic: Clinic, tmp_path: Path) -> None:
    db = a_clinic.stack.installation.db
    with (tmp_path / "image.dcm").open("wb") as file:
        file.truncate(600_000_000)
    NodeStore(db).add(Folder("Nearly full", tmp_path, quota_gb=1, warn_at_gb=0.5))
    letter = a_clinic.mails.wait_for("root@clinic.example", "Nearly full")
    assert "0.6 GB of 1 GB used (60 %)" in letter.text
    with a_clinic.window(ROOT) as root:
        root.open(link_in(letter))
        root.sees("Edit folder")
        expect(root.keyed("folder-name").locator("input")).to_have_value("Nearly full")
    assert len([each for each in a_clinic.mails.letters if "Nearly full" in str(each.message["Subject"])]) == 1


def test_a_broadcast_reaches_each_in_a_mail_of_their_own(a_clinic: Clinic) -> None:
    a_clinic.person("herald", is_staff=True)
    listeners = [a_clinic.person(name).profile.email for name in ("tom", "tim")]
    with a_clinic.window("herald") as herald:
        herald.open("/broadcast")
        herald.press("add")
        herald.enter("broadcast-subject", "New scanner")
        herald.enter("broadcast-message", "It is there.\nPlease say hello.")
        herald.press("broadcast-preview")
        expect(herald.keyed("broadcast-letter")).to_contain_text("Please say hello.")
        herald.press("broadcast-send-menu")
        herald.press("broadcast-save")
        herald.sees("The broadcast is on its way")
        for address in listeners:
            letter = a_clinic.mails.wait_for(address, "New scanner")
            assert letter.recipients == [address]
            assert letter.message["To"] == address
            assert "Please say hello." in letter.text
        herald.open("/broadcast")
        herald.table("Broadcasts").shows(2, "New scanner")
    active = a_clinic.users.count("", Standing.ACTIVE)
    sent = [letter for letter in a_clinic.mails.letters if "New scanner" in str(letter.message["Subject"])]
    assert len(sent) <= active and len({tuple(letter.recipients) for letter in sent}) == len(sent)


def test_an_announcement_is_shown_to_all_and_its_scripts_do_nothing(a_clinic: Clinic) -> None:
    a_clinic.person("speaker", is_staff=True)
    a_clinic.person("reader")
    hostile = (
        "<strong>Scheduled Maintenance:</strong> Friday<script>document.title='hacked'</script>"
        "<img src=x onerror=\"document.title='hacked'\"><iframe srcdoc=\"<script>parent.document.title='hacked'"
        '</script>"></iframe><a href="javascript:document.title=\'hacked\'">more</a>'
    )
    with a_clinic.window("speaker") as speaker, a_clinic.window("reader") as reader:
        speaker.open("/project-settings")
        speaker.enter("project-announcement", hostile)
        expect(speaker.keyed("announcement-preview").locator("strong")).to_have_text("Scheduled Maintenance:")
        speaker.press("project-save")
        speaker.sees("The settings were saved.")
        reader.open("/")
        expect(reader.page.locator("strong", has_text="Scheduled Maintenance:")).to_be_visible()
        assert reader.page.locator("iframe, img[src=x]").count() == 0
        for link in reader.page.get_by_text("more", exact=True).all():
            link.click()
        assert reader.page.title() != "hacked"
        speaker.open("/project-settings")
        speaker.enter("project-announcement", "")
        speaker.press("project-save")
        speaker.sees("The settings were saved.")
        reader.open("/")
        reader.sees_not("Scheduled Maintenance:")


def generated_token(window: Window) -> str:
    """Generate a token by the words of the guide, with a double click, and read its secret."""
    window.open("/profile")
    window.keyed("manage-tokens").get_by_role("button", name="Manage API Token").click()
    window.is_at("/tokens")
    window.enter("token-description", "nightly export")
    window.pick("token-expires_at", "7 days")
    window.keyed("token-save").get_by_role("button", name="Generate Token").dblclick()
    window.sees("only be visible once")
    return window.keyed("new-token").locator("code").first.inner_text().strip()


def status_with(clinic: Clinic, token: str) -> int:
    """What a script with this token is answered."""
    address = f"{clinic.url}/api/v1/me"
    return httpx.get(address, headers={"Authorization": f"Token {token}"}, timeout=120).status_code


def test_a_token_is_generated_as_the_guide_tells_and_shown_once(a_clinic: Clinic) -> None:
    user = a_clinic.researcher("kate", Permission.ADD_TOKEN)
    with a_clinic.window("kate") as kate:
        secret = generated_token(kate)
        assert status_with(a_clinic, secret) == 200
        (token,) = TokenStore(a_clinic.stack.installation.db).of_user(user.id)
        assert (token.description, token.beginning) == ("nightly export", secret[:9])
        kate.press("token-done")
        kate.sees("Generate Token")
        kate.sees_not(secret)
        kate.open("/token-authentication/")
        kate.is_at("/tokens")
        kate.sees(token.beginning)
        kate.sees_not(secret)


def test_an_administrator_revokes_a_token_which_is_refused_at_once(a_clinic: Clinic) -> None:
    a_clinic.researcher("mary", Permission.ADD_TOKEN)
    a_clinic.person("warden", is_staff=True)
    with a_clinic.window("mary") as mary, a_clinic.window("warden") as warden:
        secret = generated_token(mary)
        warden.open("/administration")
        warden.sees("Token Authentication")
        warden.keyed("entry-admin-tokens").get_by_role("link").click()
        warden.is_at("/admin-tokens")
        warden.pick("tokens-owner", "mary")
        warden.table("API tokens").click_row(0)
        warden.sees("of mary")
        warden.press("confirm-yes")
        warden.sees("The token is revoked.")
    assert status_with(a_clinic, secret) == 401


def test_the_job_overview_counts_and_leads_to_jobs(a_clinic: Clinic) -> None:
    a_clinic.researcher("emmy")
    a_clinic.person("observer", is_staff=True)
    job = a_clinic.submit("emmy", a_clinic.mr[2])
    a_clinic.stack.wait_for_end(job)
    with a_clinic.window("observer") as observer:
        observer.open("/job-overview")
        for words in ("Pending", "In Progress", "Completed", "Failed", "Cancelled"):
            observer.sees(words)
        observer.press("count-selective_transfer-success")
        observer.page.wait_for_url("**overview-state=**")
        observer.table("Jobs").shows(1, str(job.id))
        observer.open(f"/job?id={job.id}")
        observer.sees(f"Job {job.id}")
        observer.sees("Success")
