"""Profile, reviews and files: what people keep of themselves, decide about others' images, and take home."""

import csv
import io
import json
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from streamlit.testing.v1 import AppTest

from models.domain.audit import AuditAction, AuditFilter
from models.domain.jobs import Item, State
from models.domain.people import Group, Permission, User
from models.domain.receipts import Receipt
from services import audit, jobs, nodes, review
from services.people import accounts, groups, sessions
from tests.app_pages import Site, click, labels, told
from tests.in_process import client as client_of
from tests.people import a_session, a_user
from tests.researchers import a_job, a_researcher, ended, uids
from ui import identity
from ui.files import Files
from ui.parts import tables
from ui.parts.own_account import browser

AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"


def a_reviewer(site: Site) -> User:
    user = a_user(site.db, "vera")
    groups.add(site.db, site.shell, Group("Reviewers", frozenset({Permission.REVIEW_HELD}), frozenset({user.id})))
    return user


def held_item(site: Site, owner: User, count: int) -> Item:
    job = a_job(site, owner)
    held = dict.fromkeys(uids(count), "It may show a *name*.")
    return ended(site, job, State.WARNING, Receipt(uids(count), None, uids(count), held=held), "Held.")


# -- profile ----------------------------------------------------------------------------------------------------------


def test_people_see_who_they_are_and_what_they_may_do(site: Site) -> None:
    site.sign_in(a_researcher(site))
    app = site.open("profile")
    assert {"Username", "First name", "Last name", "Mail address", "Phone number", "Department"} <= labels(app)
    words = told(app).replace("*", "")
    assert "Selective transfer: Can add selective transfer job, Can process urgently" in words
    assert "Group of ada" in words


def test_people_change_their_own_data_but_not_their_address(site: Site) -> None:
    user = a_user(site.db)
    site.sign_in(user)
    app = site.open("profile")
    assert app.text_input(key="own-email").disabled
    app.text_input(key="profile-department").set_value("Neurology")
    click(app, "profile-save")
    assert accounts.get(site.db, site.shell, user.id).profile.department == "Neurology"
    assert "Your profile is saved" in told(app)


def test_what_is_wrong_in_a_profile_is_told_at_its_field(site: Site) -> None:
    site.sign_in(a_user(site.db))
    app = site.open("profile")
    app.text_input(key="profile-last_name").set_value("")
    click(app, "profile-save")
    assert "Last name" in app.error[0].value


def test_a_session_elsewhere_can_be_ended(site: Site) -> None:
    user = a_user(site.db)
    site.sign_in(user)
    elsewhere = a_session(site.db, site.settings, user, "198.51.100.3")
    found = sessions.find(site.db, site.settings, elsewhere)
    assert found is not None
    app = site.open("profile")
    assert "198.51.100.3" in told(app)
    click(app, f"end-{found.session.id}")
    assert sessions.find(site.db, site.settings, elsewhere) is None
    assert "198.51.100.3" not in told(app)


def test_people_sign_out_everywhere_else_after_a_question(site: Site) -> None:
    user = a_user(site.db)
    site.sign_in(user)
    tokens = [a_session(site.db, site.settings, user) for _ in range(2)]
    app = click(site.open("profile"), "end-others")
    click(app, "confirm-yes")
    assert [sessions.find(site.db, site.settings, token) for token in tokens] == [None, None]
    assert "signed out everywhere else" in told(app)


def test_one_session_alone_has_nothing_to_end(site: Site) -> None:
    site.sign_in(a_user(site.db))
    assert "end-others" not in {button.key for button in site.open("profile").button}


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (AGENT, "Chrome on Windows"),
        (AGENT + " Edg/130.0", "Edge on Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14.5) Gecko/20100101 Firefox/131.0", "Firefox on macOS"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17.0 Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (Linux; Android 14) Chrome/130.0 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8.5", "Unknown browser"),
        ("", "Unknown browser"),
    ],
)
def test_browsers_are_told_apart_in_words(agent: str, words: str) -> None:
    assert browser(agent) == words


# -- reviews ----------------------------------------------------------------------------------------------------------


def opened_review(site: Site, item: Item) -> AppTest:
    app = site.open("reviews")
    app.session_state[f"held-{item.job_id}"] = True
    return app.run()


def test_reviews_are_for_reviewers(site: Site) -> None:
    site.sign_in(a_researcher(site))
    assert "Reviews" not in [title.value for title in site.open("home").title]
    site.sign_in(a_reviewer(site))
    assert "Nothing waits for a review" in told(site.open("reviews"))


def test_reviewers_are_told_where_to_look_and_what_to_do_before_they_can_decide(site: Site) -> None:
    item = held_item(site, a_researcher(site), 1)
    names = nodes.names(site.db)
    site.sign_in(a_reviewer(site))
    app = opened_review(site, item)
    assert f"Look at them in **{names[item.source_id]}**" in told(app)
    assert f"goes to **{names[item.target_id]}**" in told(app)
    assert app.button(key=f"release-{item.job_id}").disabled
    assert "Tick instances above" in told(app)


def test_reviewers_are_led_to_a_job_only_where_it_exists_for_them(site: Site) -> None:
    item = held_item(site, a_researcher(site), 1)
    for user, is_led in ((a_reviewer(site), False), (a_user(site.db, "root", is_superuser=True, is_staff=True), True)):
        site.sign_in(user)
        links = {link.proto.label for link in opened_review(site, item).get("page_link")}
        assert (f"Open job {item.job_id}" in links) is is_led


def test_the_administration_says_how_much_waits_for_a_review_to_who_may_review(site: Site) -> None:
    held_item(site, a_researcher(site), 3)
    site.sign_in_superuser()
    assert "3 instances are held" in told(site.open("administration"))
    site.sign_in_staff()
    assert "held" not in told(site.open("administration"))


def test_a_reviewer_releases_what_is_ticked(site: Site) -> None:
    item = held_item(site, a_researcher(site), 3)
    site.sign_in(a_reviewer(site))
    app = opened_review(site, item)
    waiting = review.held(site.db, site.shell, item.job_id)
    key = f"held-table-{item.job_id}-{tables.mark(one.sop_uid for one in waiting)}"
    app.session_state[key] = {"selection": {"rows": [0, 2], "columns": []}}
    app.text_area(key=f"reason-{item.job_id}").set_value("no name in any frame").run()
    click(app, f"release-{item.job_id}")
    left = review.held(site.db, site.shell, item.job_id)
    assert [one.sop_uid for one in left] == [waiting[1].sop_uid]
    assert jobs.item(site.db, site.shell, item.id).state is State.PENDING
    assert "Released 2 instances" in told(app)


def test_a_reviewer_rejects_all_of_a_job(site: Site) -> None:
    item = held_item(site, a_researcher(site), 30)
    site.sign_in(a_reviewer(site))
    app = opened_review(site, item)
    app.checkbox(key=f"held-all-{item.job_id}").check()
    app.text_area(key=f"reason-{item.job_id}").set_value("a name in every frame").run()
    click(app, f"reject-{item.job_id}")
    assert review.waiting(site.db, site.shell) == {}
    assert len(jobs.receipt(site.db, site.shell, item.id).left_out) == 30


def test_a_review_without_a_reason_is_refused(site: Site) -> None:
    item = held_item(site, a_researcher(site), 1)
    site.sign_in(a_reviewer(site))
    app = opened_review(site, item)
    assert app.button(key=f"reject-{item.job_id}").disabled
    app.checkbox(key=f"held-all-{item.job_id}").check().run()
    click(app, f"reject-{item.job_id}")
    assert "at least 10 characters" in told(app)
    assert review.waiting(site.db, site.shell) == {item.job_id: 1}


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    """A browser that the gate lets in as whose name is in a header."""
    app = FastAPI()
    app.include_router(Files(site.db).router())
    users = {user.username: user for user in accounts.list(site.db, site.shell)}

    async def gated(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        name = dict(scope.get("headers", [])).get(b"who", b"").decode()
        if name:
            users.update({user.username: user for user in accounts.list(site.db, site.shell)})
            found = sessions.find(site.db, site.settings, a_session(site.db, site.settings, users[name]))
            assert found is not None
            identity.let_in(scope, found, "192.0.2.7")
        await app(scope, receive, send)

    with client_of(gated, "http://localhost:8000") as client:
        yield client


def a_receipt_of(site: Site, owner: User) -> Item:
    receipt = Receipt(uids(4), None, uids(3), stored=uids(2), confirmed=uids(1))
    receipt.held = {"1.2.3.3": "=HYPERLINK(1)"}
    return ended(site, a_job(site, owner), State.WARNING, receipt)


def test_a_receipt_is_fetched_as_json(site: Site, client: httpx.Client) -> None:
    item = a_receipt_of(site, a_researcher(site))
    answer = client.get(f"/files/receipts/{item.id}.json", headers={"who": "ada"})
    found = json.loads(answer.content)
    assert answer.headers["content-disposition"] == f'attachment; filename="receipt-job-{item.job_id}-item-1.json"'
    assert found["verdict"] == "short"
    assert found["missing"] == ["1.2.3.2", "1.2.3.4"]
    assert set(found["expected"]) == uids(4)
    assert "PID1.2.3" not in answer.text


def test_a_receipt_is_fetched_as_csv_without_formulas(site: Site, client: httpx.Client) -> None:
    item = a_receipt_of(site, a_researcher(site))
    answer = client.get(f"/files/receipts/{item.id}.csv", headers={"who": "ada"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["sop_instance_uid"] for row in rows] == sorted(uids(4))
    assert rows[2]["held_because"] == "'=HYPERLINK(1)"
    assert [row["confirmed"] for row in rows] == ["yes", "no", "no", "no"]


def test_each_download_stands_in_the_audit_trail(site: Site, client: httpx.Client) -> None:
    item = a_receipt_of(site, a_researcher(site))
    client.get(f"/files/receipts/{item.id}.json", headers={"who": "ada"})
    (entry,) = audit.entries(site.db, site.shell, AuditFilter(action=AuditAction.DOWNLOAD))
    assert (entry.actor, entry.subject) == ("ada", f"job {item.job_id}, item 1: receipt")


def test_a_foreign_receipt_is_not_there(site: Site, client: httpx.Client) -> None:
    item = a_receipt_of(site, a_researcher(site))
    a_researcher(site, "bob")
    foreign = client.get(f"/files/receipts/{item.id}.json", headers={"who": "bob"})
    unknown = client.get("/files/receipts/4711.json", headers={"who": "bob"})
    nobody = client.get(f"/files/receipts/{item.id}.csv")
    assert (foreign.status_code, unknown.status_code, nobody.status_code) == (404, 404, 404)
    assert foreign.content == unknown.content
