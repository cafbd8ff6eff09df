"""Batch query and batch transfer: a file in, its problems at once, the job, what was found, and the transfer of it."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from openpyxl import Workbook
from streamlit.testing.v1 import AppTest

from flows.questions import ask_through
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.domain.answers import RowVerdict
from models.domain.jobs import Job, JobKind
from models.domain.people import Group, NodeRight, Permission, User
from models.domain.project import App, AppState
from services import jobs, project
from services.batches import checks, queries
from services.people import groups
from tasks.ask import ask_bundle
from tests.app_pages import Site, click, labels, told
from tests.batches import a_query, a_transfer, query_rows, transfer_rows
from tests.memory_archive import MemoryArchive, played
from tests.people import a_user
from tests.samples import a_folder, a_server
from ui import session
from ui.parts import batch_draft

MAY = frozenset({Permission.ADD_BATCH_QUERY, Permission.ADD_BATCH_TRANSFER})
QUERY_CSV = b"PatientID,Modality,RowID,Pseudonym\nP1,CT,first,ANON1\nP2,CT,second,ANON2\n"
TRANSFER_CSV = b"PatientID,StudyInstanceUID,Pseudonym\nP1,1.2.1,ANON1\nP2,1.2.2,ANON2\n"


@dataclass
class World:
    """Two archives and a folder; ada may use them, and sits at the browser."""

    site: Site
    ada: User
    archives: dict[str, MemoryArchive]
    one: int
    two: int
    folder: int

    def run(self, job: Job) -> Job:
        db = self.site.db
        with played(**self.archives):
            ask_through(db, self.site.settings, job.id, ask_bundle)
        return JobStore(db).get(job.id)

    @property
    def actor(self) -> Any:
        return session.actor()

    def the_job(self, kind: JobKind) -> Job:
        (job,) = (job for job in JobStore(self.site.db).list() if job.kind is kind)
        return job

    def query(self, *sources: int, count: int = 2, run: bool = True) -> Job:
        job = queries.submit(
            self.site.db, self.site.settings, self.actor, a_query(sources or (self.one,), *query_rows(count))
        )
        return self.run(job) if run else job

    def check(self, count: int = 2, run: bool = True) -> Job:
        request = a_transfer(self.one, self.folder, *transfer_rows(count))
        job = checks.submit(self.site.db, self.site.settings, self.actor, request)
        return self.run(job) if run else job

    def give(self, *permissions: Permission) -> None:
        groups.add(self.site.db, self.site.shell, Group("More", frozenset(permissions), frozenset({self.ada.id})))


@pytest.fixture
def world(site: Site) -> Iterator[World]:
    archives = {"ONE": MemoryArchive(), "TWO": MemoryArchive()}
    one, two = (NodeStore(site.db).add(a_server(name)).id for name in archives)
    folder = NodeStore(site.db).add(a_folder()).id
    for number in (1, 2):
        archives["ONE"].add(f"P{number}", f"1.2.{number}")
    ada = a_user(site.db)
    rights = {NodeRight(one, source=True), NodeRight(two, source=True), NodeRight(folder, destination=True)}
    groups.add(site.db, site.shell, Group("Researchers", MAY, frozenset({ada.id}), frozenset(rights)))
    site.sign_in(ada)
    return World(site, ada, archives, one, two, folder)


def hand_in(app: AppTest, content: bytes, name: str = "mine.csv") -> AppTest:
    app.file_uploader[0].upload(name, content, "text/csv").run()
    assert not app.exception, app.exception
    return app


def fill(app: AppTest, prefix: str, **values: str) -> AppTest:
    for name, value in values.items():
        field = app.text_area if name == "project_description" else app.text_input
        field(key=f"{prefix}{name}").set_value(value)
    return app


def xlsx(**sheets: list[list[str]]) -> bytes:
    book = Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


# -- handing in -------------------------------------------------------------------------------------------------------


def test_every_problem_of_a_file_is_shown_at_once_with_line_and_column(world: World) -> None:
    app = world.site.open("batch_query")
    hand_in(app, b"PatientID,Modality,From\nP1,CT,never\n,CT,\nP3,,\nP4,CT,2020-01-01\n")
    words = told(app)
    assert "There are 3 problems. Nothing is done before the file has none." in words
    assert "1 row without an error" in words
    table = app.dataframe[0].value
    assert list(table["Line"]) == ["2", "3", "4"]
    assert table["Column"][0] == "From"
    assert "2. Say what is asked" not in words
    assert JobStore(world.site.db).count() == 0


def test_a_file_that_is_none_is_refused_and_another_can_be_handed_in(world: World) -> None:
    app = hand_in(world.site.open("batch_query"), b"%PDF-1.7 no spreadsheet", "mine.csv")
    assert "This is no .xlsx, .ods or .csv file." in told(app)
    hand_in(app, QUERY_CSV)
    assert "2 rows" in told(app) and "This is no .xlsx" not in told(app)
    click(app, "another-file")
    assert app.file_uploader and "2 rows" not in told(app)


def test_warnings_are_shown_and_do_not_hold_one_up(world: World) -> None:
    app = hand_in(world.site.open("batch_query"), b"PatientID,Modality\nP1,CT\nP1,CT\n")
    assert "There is 1 warning. Look at it before you go on." in told(app)
    assert "2. Say what is asked" in told(app)


def test_a_sheet_can_be_chosen(world: World) -> None:
    content = xlsx(Notes=[["Only notes"]], Rows=[["PatientID", "Modality"], ["P1", "CT"]])
    app = hand_in(world.site.open("batch_query"), content, "mine.xlsx")
    assert "2. Say what is asked" not in told(app)
    (box,) = (each for each in app.selectbox if each.label == "Sheet")
    box.select("Rows").run()
    assert not app.exception, app.exception
    assert "1 row" in told(app) and "2. Say what is asked" in told(app)


def test_a_file_is_forgotten_as_soon_as_another_page_is_open(world: World) -> None:
    app = hand_in(world.site.open("batch_query"), QUERY_CSV)
    assert "batch-query.draft" in app.session_state
    app.switch_page("screens/jobs.py").run()
    assert "batch-query.draft" not in app.session_state


def test_a_draft_does_not_show_what_is_in_the_file() -> None:
    assert "upload" not in repr(batch_draft.BatchDraft(batch_draft.BatchKind.QUERY))


# -- batch query ------------------------------------------------------------------------------------------------------


def test_a_query_is_submitted_and_leads_to_its_job(world: World) -> None:
    app = hand_in(world.site.open("batch_query"), QUERY_CSV)
    app.multiselect(key="query-job-sources").select("ONE").select("TWO")
    fill(app, "query-job-", project_name="Lung", project_description="Nodules")
    click(app, "send")
    job = world.the_job(JobKind.BATCH_QUERY)
    assert (job.project_name, job.project_description, job.owner) == ("Lung", "Nodules", world.ada.username)
    assert len(JobStore(world.site.db).items(job.id)) == 4
    assert app.title[0].value == f"Job {job.id}"
    assert "batch-query.draft" not in app.session_state


def test_what_is_missing_is_told_at_its_field_and_nothing_is_left_behind(world: World) -> None:
    app = click(hand_in(world.site.open("batch_query"), QUERY_CSV), "send")
    assert told(app).count("it is needed.") == 2 and "at least one is needed." in told(app)
    assert JobStore(world.site.db).count() == 0
    app.multiselect(key="query-job-sources").select("ONE")
    fill(app, "query-job-", project_name="Lung", project_description="Nodules")
    click(app, "send")
    assert JobStore(world.site.db).count() == 1


def test_urgent_is_offered_to_those_who_may(world: World) -> None:
    app = hand_in(world.site.open("batch_query"), QUERY_CSV)
    assert "Urgent: before other jobs" not in labels(app)
    world.give(Permission.BATCH_QUERY_URGENT)
    assert "Urgent: before other jobs" in labels(app.run())


def test_a_locked_application_says_so(world: World) -> None:
    project.set_app(world.site.db, world.site.shell, AppState(App.BATCH_QUERY, locked=True))
    assert not world.site.open("batch_query").file_uploader


def test_who_has_no_right_has_no_page(site: Site) -> None:
    site.sign_in(a_user(site.db))
    links = [element.proto.label for element in site.open("home").get("page_link")]
    assert "My jobs" in links and not {"Batch query", "Batch transfer"} & {*links}


def test_the_job_shows_what_was_found_and_leads_to_a_transfer(world: World) -> None:
    job = world.query(count=3)
    app = world.site.open("job", id=str(job.id))
    table = app.dataframe[0].value
    assert list(table["Patient ID"]) == ["P1", "P2", ""]
    assert list(table["Line"]) == ["2", "3", "4"]
    assert "Lung study" in told(app) and "images stored" not in told(app)
    assert app.button(key=f"transfer-{world.one}").label == "Transfer these"
    click(app, f"transfer-{world.one}")
    assert f"These are the results of batch query {job.id}." in told(app)
    assert "2 rows" in told(app)
    assert app.selectbox(key="batch-source").value.name == "ONE"
    assert app.text_input(key="batch-project_name").value == "Lung study"


def test_members_without_the_right_to_identities_see_no_patient(world: World) -> None:
    job = world.query()
    check = world.check()
    world.site.sign_in_staff()
    for each in (job, check):
        app = world.site.open("job", id=str(each.id))
        assert "Only who submitted the job may see" in told(app)
        assert not any("P1" in str(table.value) for table in app.dataframe)
        assert "P1" not in told(app)


def test_an_item_shows_its_lines_and_answers(world: World) -> None:
    job = world.query()
    item = jobs.items(world.site.db, world.site.shell, job.id)[0]
    app = world.site.open("item", id=str(item.id))
    assert "Lines of the file" in told(app) and "Receipt" not in told(app)
    assert list(app.dataframe[0].value["Patient ID"]) == ["P1"]


# -- batch transfer ---------------------------------------------------------------------------------------------------


def a_transfer_page(world: World, content: bytes = TRANSFER_CSV) -> AppTest:
    app = hand_in(world.site.open("batch_transfer"), content)
    app.selectbox(key="batch-source").select("ONE").run()
    app.selectbox(key="batch-destination").select_index(0).run()
    assert not app.exception, app.exception
    return app


def test_a_transfer_begins_with_its_check(world: World) -> None:
    app = a_transfer_page(world)
    assert "Every row has a pseudonym." in told(app)
    fill(app, "batch-", project_name="Lung", project_description="Nodules", ethics_application_id="S-1")
    app.checkbox(key="batch-nifti").check()
    click(app, "send")
    job = world.the_job(JobKind.BATCH_CHECK)
    assert (job.ethics_application_id, job.keep_identity, job.convert_to_nifti) == ("S-1", False, True)
    assert app.title[0].value == f"Job {job.id}"


def test_a_batch_that_lacks_a_node_says_so(world: World) -> None:
    app = hand_in(world.site.open("batch_transfer"), TRANSFER_CSV)
    assert app.button(key="send").disabled
    assert "Choose a source and a destination first." in told(app)
    app = a_transfer_page(world)
    assert not app.button(key="send").disabled
    assert "Choose a source and a destination first." not in told(app)


def test_rows_without_pseudonyms_need_a_word(world: World) -> None:
    app = a_transfer_page(world, b"PatientID,StudyInstanceUID\nP1,1.2.1\nP2,1.2.2\n")
    fill(app, "batch-", project_name="Lung", project_description="Nodules", ethics_application_id="S-1")
    click(app, "send")
    assert "2 problems in the rows" in told(app)
    assert list(app.dataframe[-1].value["Line"]) == ["2", "3"]
    app.checkbox(key="batch-generate").check()
    click(app, "send")
    assert world.the_job(JobKind.BATCH_CHECK).owner == world.ada.username


def test_identity_is_kept_only_by_those_who_may(world: World) -> None:
    app = a_transfer_page(world)
    assert "Keep the patients' identity" not in labels(app)
    world.give(Permission.BATCH_UNPSEUDONYMIZED)
    assert "Keep the patients' identity" in labels(app.run())


def test_what_was_not_found_has_to_be_left_out_in_so_many_words(world: World) -> None:
    check = world.check(count=3)
    app = world.site.open("job", id=str(check.id))
    assert "1 study: not found." in told(app)
    assert list(app.dataframe[0].value["Lines"]) == ["2", "3", "4"]
    button = app.button(key="transfer")
    assert button.label == "Transfer 2 studies" and button.disabled
    app.checkbox(key=f"leave-out-not_found-{check.id}").check().run()
    click(app, "transfer")
    made = world.the_job(JobKind.BATCH_TRANSFER)
    assert made.checked_by_job_id == check.id
    assert app.title[0].value == f"Job {made.id}"
    assert app.button(key=f"to-job-{check.id}").label == f"To its check, job {check.id}"
    assert list(app.dataframe[0].value["Lines"]) == ["2", "3"]
    again = world.site.open("job", id=str(check.id))
    assert not [button for button in again.button if button.key == "transfer"]
    assert click(again, f"to-job-{made.id}").title[0].value == f"Job {made.id}"


def test_the_rows_of_a_check_can_be_filtered_by_verdict(world: World) -> None:
    check = world.check(count=3)
    app = world.site.open("job", id=str(check.id))
    app.session_state[f"verdict-{check.id}"] = RowVerdict.NOT_FOUND.value
    app.run()
    assert list(app.dataframe[0].value["Lines"]) == ["4"]


def test_a_running_check_offers_no_transfer(world: World) -> None:
    check = world.check(run=False)
    app = world.site.open("job", id=str(check.id))
    assert "2 studies: not looked at yet." in told(app).replace("*", "")
    assert not [button for button in app.button if button.key == "transfer"]


def test_somebody_else_may_not_make_the_transfer(world: World) -> None:
    check = world.check()
    world.site.sign_in_superuser()
    app = world.site.open("job", id=str(check.id))
    assert not [button for button in app.button if button.key == "transfer"]


def test_a_transfer_that_is_refused_says_why(world: World) -> None:
    check = world.check()
    project.set_app(world.site.db, world.site.shell, AppState(App.BATCH_TRANSFER, locked=True))
    app = click(world.site.open("job", id=str(check.id)), "transfer")
    assert "locked" in told(app)
    assert not [job for job in JobStore(world.site.db).list() if job.kind is JobKind.BATCH_TRANSFER]
