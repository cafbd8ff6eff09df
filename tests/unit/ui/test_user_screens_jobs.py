"""Home, lists of jobs, jobs, items and receipts: people see what is theirs, and are offered what they may do."""

from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from models.db.jobs import JobStore
from models.domain.jobs import JobKind, State
from models.domain.people import Actor, Group, Permission
from models.domain.project import App, AppState
from models.domain.receipts import Receipt
from models.domain.requests import StudyWish, TransferRequest
from services import holding, jobs, nodes, profiles, project
from services.people import groups
from tests.app_pages import Site, click, told
from tests.people import a_user
from tests.researchers import a_job, a_researcher, ended, in_the_name_of, uids


def buttons(app: AppTest, prefix: str) -> set[str]:
    return {button.key.removeprefix(prefix) for button in app.button if button.key and button.key.startswith(prefix)}


def column(app: AppTest, label: str) -> list[object]:
    return list(app.dataframe[0].value[label])


# -- home -------------------------------------------------------------------------------------------------------------


def test_who_is_in_no_group_is_told_whom_to_ask(site: Site) -> None:
    site.settings = site.settings.model_copy(update={"support_email": "help@example.org"})
    site.monkeypatch.setattr("ui.context.settings", lambda: site.settings)
    site.sign_in(a_user(site.db, "newcomer"))
    words = told(site.open("home"))
    assert "You are not a member of any group yet. An administrator has to put you into one" in words
    assert "help@example.org" in words


def test_an_administrator_in_no_group_is_led_to_the_groups(site: Site) -> None:
    site.sign_in_staff()
    words = told(site.open("home"))
    assert "Put yourself into one before you can search" in words
    assert "An administrator has to" not in words


def test_home_offers_only_what_the_rights_allow(site: Site) -> None:
    user = a_researcher(site)
    site.sign_in(user)
    words = told(site.open("home"))
    assert "Welcome, Ada Example" in words
    assert "Find studies in an archive" in words
    assert "held back" not in words
    assert "People, groups, servers" not in words
    assert "Your groups: Group of ada" in words


def test_home_shows_the_announcement_without_its_dangers(site: Site) -> None:
    site.sign_in(a_user(site.db, "newcomer"))
    text = "<b>Closed</b> on Sunday <script>alert(1)</script><img src=x onerror=alert(1)>"
    project.update(site.db, site.shell, text, False, 1)
    shown = "".join(element.proto.body for element in site.open("home").get("html"))
    assert "<b>Closed</b> on Sunday" in shown
    assert "alert" not in shown


def test_home_shows_the_last_jobs(site: Site) -> None:
    user = a_researcher(site)
    made = [a_job(site, user).id for _ in range(7)]
    site.sign_in(user)
    assert column(site.open("home"), "Job") == made[:1:-1]


# -- lists ------------------------------------------------------------------------------------------------------------


def test_people_see_their_own_jobs_only(site: Site) -> None:
    ada, bob = a_researcher(site), a_researcher(site, "bob")
    mine = a_job(site, ada, "1.2.3", "1.2.4")
    a_job(site, bob)
    site.sign_in(ada)
    app = site.open("jobs")
    assert column(app, "Job") == [mine.id]
    assert column(app, "Items") == ["2 pending"]
    assert "groups" not in {toggle.key for toggle in app.toggle}


def test_members_of_a_group_that_shows_its_jobs_see_them_on_request(site: Site) -> None:
    ada, bob = a_researcher(site), a_researcher(site, "bob")
    shows = frozenset({Permission.VIEW_SELECTIVE_TRANSFER})
    groups.add(site.db, site.shell, Group("Shared", shows, frozenset({ada.id, bob.id})))
    mine, theirs = a_job(site, ada), a_job(site, bob)
    site.sign_in(ada)
    app = site.open("jobs")
    assert column(app, "Job") == [mine.id]
    app.toggle(key="groups").set_value(True).run()
    assert column(app, "Job") == [theirs.id, mine.id]
    assert column(app, "Owner") == ["bob", "ada"]


def test_members_of_a_group_see_pseudonyms_but_neither_patients_nor_the_uids_of_the_source(site: Site) -> None:
    ada, bob = a_researcher(site), a_researcher(site, "bob")
    shows = frozenset({Permission.VIEW_SELECTIVE_TRANSFER})
    group = groups.add(site.db, site.shell, Group("Shared", shows, frozenset({ada.id, bob.id})))
    theirs = a_job(site, bob, "1.2.3")
    (known, *_) = jobs.items(site.db, in_the_name_of(site, bob), theirs.id)
    assert (known.study_uid, known.patient_id) == ("1.2.3", "PID1.2.3")
    member = Actor("ada", permissions=shows, groups=frozenset({group.id}))
    (shown, *_) = jobs.items(site.db, member, theirs.id)
    assert (shown.study_uid, shown.series_uids, shown.patient_id) == ("", (), "")
    assert shown.pseudonym == known.pseudonym
    site.sign_in(ada)
    app = site.open("item", id=str(known.id))
    assert "Only who submitted the job, and staff, may see it." in told(app)
    assert not {"1.2.3", "PID1.2.3"} & set(told(app).split())


def test_what_is_kept_from_members_of_a_group_has_no_column(site: Site) -> None:
    ada, bob = a_researcher(site), a_researcher(site, "bob")
    shows = frozenset({Permission.VIEW_SELECTIVE_TRANSFER})
    groups.add(site.db, site.shell, Group("Shared", shows, frozenset({ada.id, bob.id})))
    theirs = a_job(site, bob)
    for user, sees in ((bob, {"Patient ID", "Series"}), (ada, set[str]())):
        site.sign_in(user)
        headings = set(site.open("job", id=str(theirs.id)).dataframe[0].value)
        assert headings & {"Patient ID", "Series"} == sees
        assert {"State", "Pseudonym", "Stored", "Message"} <= headings


def test_the_rules_of_a_job_have_the_name_of_the_form(site: Site) -> None:
    user = a_researcher(site)
    (rules, *_) = [choice for choice in profiles.choices(site.settings) if choice.name == "research"]
    job = a_job(site, user, profile="research")
    site.sign_in(user)
    assert rules.title in told(site.open("job", id=str(job.id)))


def test_the_filters_of_the_list_stand_in_its_address(site: Site) -> None:
    user = a_researcher(site)
    one, two = a_job(site, user, trial_protocol_id="LUNG"), a_job(site, user, trial_protocol_id="HEART")
    jobs.cancel(site.db, in_the_name_of(site, user), one.id)
    site.sign_in(user)
    assert column(site.open("jobs", state="Canceled"), "Job") == [one.id]
    assert column(site.open("jobs"), "Job") == [two.id, one.id]


def test_what_is_typed_to_find_jobs_stays_out_of_the_address(site: Site) -> None:
    user = a_researcher(site)
    a_job(site, user, trial_protocol_id="LUNG")
    two = a_job(site, user, trial_protocol_id="HEART")
    site.sign_in(user)
    app = site.open("jobs")
    app.text_input(key="q").set_value("heart").run()
    assert column(app, "Job") == [two.id]
    assert "heart" not in str(dict(app.query_params))
    app.text_input(key="q").set_value("brain").run()
    assert "There is no such job" in told(app)


# -- one job ----------------------------------------------------------------------------------------------------------


def test_a_job_of_somebody_else_is_no_job(site: Site) -> None:
    theirs = a_job(site, a_researcher(site, "bob"))
    site.sign_in(a_researcher(site))
    strange = told(site.open("job", id=str(theirs.id)))
    assert "There is no such job" in strange
    for unknown in ("4711", "0", "-1", "abc", "1" * 30, "\u0661"):
        assert told(site.open("job", id=unknown)) == strange
    (item,) = jobs.items(site.db, site.shell, theirs.id)
    assert "There is no such item" in told(site.open("item", id=str(item.id)))


def test_a_job_tells_what_was_asked_for_and_how_far_it_is(site: Site) -> None:
    user = a_researcher(site)
    job = a_job(site, user, "1.2.3", "1.2.4", trial_protocol_id="LUNG", trial_protocol_name="*Lung*", urgent=True)
    ended(site, job, State.SUCCESS, Receipt(uids(9), None, uids(9), stored=uids(9), confirmed=uids(9)))
    site.sign_in(user)
    app = site.open("job", id=str(job.id))
    words = told(app)
    assert f"Job {job.id}" in words
    assert "PACS to Research" in words
    assert "LUNG | *Lung*" in words
    assert "Research" in words.splitlines()
    assert column(app, "Stored") == ["9 of 9", ""]
    assert column(app, "Patient ID") == ["PID1.2.3", "PID1.2.4"]


@pytest.mark.parametrize(
    ("who", "state", "allowed"),
    [
        ("owner", State.PENDING, {"hurry", "cancel", "delete"}),
        ("staff", State.PENDING, {"cancel", "delete"}),
        ("owner", State.CANCELED, {"resume"}),
        ("staff", State.CANCELED, {"resume", "restart"}),
        ("owner", State.FAILURE, {"retry"}),
        ("staff", State.FAILURE, {"retry", "restart"}),
        ("owner", State.UNVERIFIED, {"hurry", "delete"}),
        ("staff", State.UNVERIFIED, {"verify", "delete"}),
        ("colleague", State.PENDING, set[str]()),
    ],
)
def test_a_job_offers_what_may_be_done_now(site: Site, who: str, state: State, allowed: set[str]) -> None:
    owner = a_researcher(site)
    if state is State.UNVERIFIED:
        site.settings = site.settings.model_copy(update={"start_unverified": False})
        owner_now = replace(in_the_name_of(site, owner), is_staff=False)
        known = {node.name: node.id for node in nodes.list(site.db)}
        wish = StudyWish("1.2.3", "PID")
        request = TransferRequest(JobKind.SELECTIVE_TRANSFER, known["PACS"], known["Research"], (wish,))
        job = jobs.submit(site.db, site.settings, owner_now, request)
    else:
        job = a_job(site, owner)
    if state is State.CANCELED:
        jobs.cancel(site.db, in_the_name_of(site, owner), job.id)
    if state is State.FAILURE:
        ended(site, job, State.FAILURE, Receipt(), "It failed.", "NotFound")
    if who == "owner":
        site.sign_in(owner)
    elif who == "staff":
        site.sign_in_staff()
    else:
        bob = a_researcher(site, "bob")
        shows = frozenset({Permission.VIEW_SELECTIVE_TRANSFER})
        groups.add(site.db, site.shell, Group("Shared", shows, frozenset({owner.id, bob.id})))
        site.sign_in(bob)
    assert buttons(site.open("job", id=str(job.id)), "job-") == allowed


def test_a_job_is_canceled_after_a_question_only(site: Site) -> None:
    user = a_researcher(site)
    job = a_job(site, user)
    site.sign_in(user)
    app = click(site.open("job", id=str(job.id)), "job-cancel")
    assert jobs.get(site.db, site.shell, job.id).state is State.PENDING
    click(app, "confirm-yes")
    assert jobs.get(site.db, site.shell, job.id).state is State.CANCELED
    assert "being canceled" in told(app)


def test_a_deleted_job_leads_back_to_the_list(site: Site) -> None:
    user = a_researcher(site)
    job = a_job(site, user)
    site.sign_in(user)
    app = click(site.open("job", id=str(job.id)), "job-delete")
    click(app, "confirm-yes")
    assert jobs.count(site.db, site.shell, everybody=True) == 0
    assert "The job is deleted." in told(app)
    assert "My jobs" in told(app)


def test_a_button_that_came_too_late_says_so(site: Site) -> None:
    user = a_researcher(site)
    job = a_job(site, user)
    jobs.cancel(site.db, in_the_name_of(site, user), job.id)
    site.sign_in(user)
    app = site.open("job", id=str(job.id))
    jobs.resume(site.db, in_the_name_of(site, user), job.id)
    click(app, "job-resume")
    assert any("cannot be resumed" in toast.value or "nothing to resume" in toast.value for toast in app.toast)


def test_failures_are_told_with_what_can_be_done(site: Site) -> None:
    user = a_researcher(site)
    job = a_job(site, user, "1.2.3", "1.2.4")
    for _ in range(2):
        ended(site, job, State.FAILURE, Receipt(), "The source has no such study.", "NotFound")
    site.sign_in(user)
    words = told(site.open("job", id=str(job.id)))
    assert "2 items failed: The source has no such study." in words
    assert "Search for the study again" in words
    assert "As an administrator" not in words
    site.sign_in_staff()
    assert "As an administrator" in told(site.open("job", id=str(job.id)))


def test_staff_find_the_way_to_the_flow_run_and_hear_of_its_password(site: Site) -> None:
    user = a_researcher(site)
    job = a_job(site, user)
    JobStore(site.db).set_flow_run(job.id, "0f1e2d3c-0000-0000-0000-000000000000")
    site.sign_in(user)
    assert site.open("job", id=str(job.id)).get("link_button") == []
    site.sign_in_staff()
    (link,) = site.open("job", id=str(job.id)).get("link_button")
    assert link.proto.url.endswith("/runs/flow-run/0f1e2d3c-0000-0000-0000-000000000000")
    assert "password" in link.proto.help


def test_a_job_that_waits_says_why(site: Site) -> None:
    user = a_researcher(site)
    job = a_job(site, user)
    project.set_app(site.db, site.shell, AppState(App.SELECTIVE_TRANSFER, suspended=True))
    site.sign_in(user)
    assert "suspended for now" in told(site.open("job", id=str(job.id)))


def test_a_job_that_a_server_holds_back_says_why_and_so_do_its_items(site: Site) -> None:
    user = a_researcher(site)
    job = a_job(site, user)
    (source, _), *_ = jobs.nodes(site.db, site.shell, job.id)
    holding.stop(site.db, site.shell, source, "It swaps its *disks*.")
    site.sign_in(user)
    assert column(site.open("jobs"), "Items") == ["1 pending (held back)"]
    page = site.open("job", id=str(job.id))
    assert "Held back: An administrator has stopped" in told(page)
    assert "It swaps its *disks*. It goes on by itself." in told(page)
    (item,) = jobs.items(site.db, site.shell, job.id)
    words = told(site.open("item", id=str(item.id)))
    assert "It swaps its *disks*." in words
    assert "Kind of error: ServerStopped" in words
    site.sign_in_staff()
    assert "It swaps its *disks*." in told(site.open("job_overview"))
    holding.let_go_on(site.db, site.shell, source)
    site.sign_in(user)
    assert "disks" not in told(site.open("job", id=str(job.id)))


# -- items and receipts -----------------------------------------------------------------------------------------------


def test_an_item_shows_its_receipt(site: Site) -> None:
    user = a_researcher(site)
    job = a_job(site, user)
    receipt = Receipt(uids(60), None, uids(58), stored=uids(50), confirmed=uids(40))
    receipt.held = dict.fromkeys(uids(5, first=51), "It may show a *name*.")
    receipt.refused = {"1.2.3.56": "A700"}
    item = ended(site, job, State.FAILURE, receipt, "Not all has arrived.", "Incomplete")
    site.sign_in(user)
    app = site.open("item", id=str(item.id))
    counts = {metric.label: metric.value for metric in app.metric}
    assert counts["Expected"] == "60"
    assert counts["Received"] == "58"
    assert counts["Stored"] == "50"
    assert counts["Confirmed"] == "40"
    assert counts["Held"] == "5"
    words = told(app)
    assert "is not known to be at the destination" in words
    assert "Retry the failed items: only what is missing is moved" in words
    assert [box.label for box in app.expander] == [
        "Missing at the destination (15)",
        "Refused by the destination (1)",
        "Held for review (5)",
    ]


def test_the_lists_of_a_receipt_are_drawn_when_they_are_opened_page_by_page(site: Site) -> None:
    user = a_researcher(site)
    job = a_job(site, user)
    held = dict.fromkeys(uids(60), "It may show a name.")
    item = ended(site, job, State.WARNING, Receipt(uids(60), None, uids(60), held=held), "Held.")
    site.sign_in(user)
    app = site.open("item", id=str(item.id))
    assert not app.dataframe
    app.session_state["list-held-for-review-box"] = True
    app.run()
    assert len(app.dataframe[0].value) == 25
    assert "60 x It may show a name." in told(app)


def test_an_item_without_an_attempt_has_no_receipt_yet(site: Site) -> None:
    user = a_researcher(site)
    (item,) = jobs.items(site.db, site.shell, a_job(site, user).id)
    site.sign_in(user)
    assert "none before the first attempt" in told(site.open("item", id=str(item.id)))


def test_one_item_that_waits_is_canceled_after_a_question(site: Site) -> None:
    user = a_researcher(site)
    job = a_job(site, user)
    item = jobs.items(site.db, site.shell, job.id)[0]
    site.sign_in(user)
    app = click(site.open("item", id=str(item.id)), "item-cancel")
    assert "other items of its job go on" in told(app)
    app = click(app, "confirm-yes")
    assert jobs.item(site.db, site.shell, item.id).state is State.CANCELED
    assert "The item is canceled." in told(app)
    assert {button.key for button in app.button} >= {"item-reset"}
    assert "item-cancel" not in {button.key for button in app.button}


def test_an_item_that_ended_is_done_again_after_a_question(site: Site) -> None:
    user = a_researcher(site)
    item = ended(site, a_job(site, user), State.FAILURE, Receipt(), "No.", "NotFound")
    site.sign_in(user)
    app = click(site.open("item", id=str(item.id)), "item-reset")
    click(app, "confirm-yes")
    assert jobs.item(site.db, site.shell, item.id).state is State.PENDING
