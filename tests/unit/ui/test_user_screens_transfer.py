"""Selective transfer: search, choose studies and series, check, send. Against an archive that answers by DICOM."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import TextInput

from deployments.archive.server import Archive
from deployments.demo import studies as demo
from deployments.demo.studies import StudyFiles
from dicom.network.store import DimseSender
from dicom.part10 import split_part10
from models.db.scopes import ScopeStore
from models.domain.audit import AuditAction, AuditFilter
from models.domain.jobs import JobKind
from models.domain.nodes import Folder, Server
from models.domain.people import Group, NodeRight, Permission, User
from models.domain.project import App, AppState
from models.domain.refs import StudyFound
from services import audit, jobs, nodes, planning, project
from services.people import accounts, groups
from tests.app_pages import Site, click, labels, told
from tests.people import a_user
from ui.parts import tables
from ui.parts.draft import Draft

MAY = frozenset({Permission.ADD_SELECTIVE_TRANSFER})
DRAFT = "transfer-draft"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[StudyFiles]:
    """A CT and a report of one patient, and an MR of another."""
    directory = tmp_path_factory.mktemp("studies")
    return [
        demo.write_ct(directory / "ct", 1, 1, (3, 2), 16, 16),
        demo.write_mr(directory / "mr", 2, 2, (2,), 16, 16),
        demo.write_sr(directory / "sr", 1, 4),
    ]


@pytest.fixture(scope="module")
def archive(files: list[StudyFiles], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """An archive that holds them."""
    archive = Archive("PACS", 0, tmp_path_factory.mktemp("archive"), {})
    threading.Thread(target=archive.serve, daemon=True).start()
    server = Server("PACS", "PACS", "127.0.0.1", archive.port, store_scp_support=True)
    with DimseSender(server, "ADIT") as sender:
        for file in (file for study in files for file in study.files):
            sender.send(split_part10(file.read_bytes()))
    yield archive
    archive.stop()


@pytest.fixture
def clinic(site: Site, archive: Archive, tmp_path: Path) -> Site:
    """The archive as a source, another server and a folder as destinations; ada may use them, and sits here."""
    can = {"study_root_find_support": True, "study_root_get_support": True, "store_scp_support": True}
    pacs = nodes.add_server(site.db, site.shell, Server("PACS", "PACS", "127.0.0.1", archive.port, **can))
    down = nodes.add_server(site.db, site.shell, Server("Down", "DOWN", "127.0.0.1", 1, **can))
    research = nodes.add_server(site.db, site.shell, Server("Research", "RES", "127.0.0.1", 1, **can))
    (tmp_path / "share").mkdir()
    folder = nodes.add_folder(site.db, site.settings, site.shell, Folder("Share", tmp_path / "share"))
    ada = a_user(site.db)
    rights = frozenset(
        {NodeRight(pacs.id, source=True), NodeRight(down.id, source=True)}
        | {NodeRight(node.id, destination=True) for node in (research, folder)}
    )
    groups.add(site.db, site.shell, Group("Researchers", MAY, frozenset({ada.id}), rights))
    site.sign_in(ada)
    return site


def give(site: Site, user_id: int, *permissions: Permission) -> None:
    groups.add(site.db, site.shell, Group("More", frozenset(permissions), frozenset({user_id})))


def the_user(site: Site) -> User:
    (user,) = accounts.list(site.db, site.shell)
    return user


def draft(app: AppTest) -> Draft:
    found = app.session_state[DRAFT]
    assert isinstance(found, Draft)
    return found


def opened(site: Site) -> AppTest:
    """The page with the PACS chosen."""
    return with_source(site.open("selective_transfer"), "PACS")


def with_source(app: AppTest, name: str) -> AppTest:
    box = app.selectbox(key="source")
    box.select(name).run()
    assert not app.exception, app.exception
    return app


def searched(app: AppTest, **keys: str) -> AppTest:
    """Search, and wait for the end."""
    for name, text in keys.items():
        app.text_input(key=f"query-{name.replace('_', '-')}").set_value(text)
    click(app, "search")
    search = draft(app).search
    assert search is not None
    search.settle(20)
    app.run()
    assert not app.exception, app.exception
    return app


def chosen(app: AppTest, *wanted: str) -> AppTest:
    """Tick the studies with these UIDs among those that are found."""
    search = draft(app).search
    assert search is not None
    rows = sorted(search.answers(), key=lambda study: (study.study_date, study.study_time), reverse=True)
    ids = [study.study_uid for study in rows]
    key = f"studies-{draft(app).removals}-{tables.mark(ids)}"
    app.session_state[key] = {"selection": {"rows": [ids.index(uid) for uid in wanted], "columns": []}}
    app.run()
    assert not app.exception, app.exception
    return app


def with_series(app: AppTest, study_uid: str) -> AppTest:
    """Open the series of a chosen study, and wait until they are there."""
    app.session_state[f"study-{tables.mark([study_uid])}"] = True
    app.run()
    draft(app).series[study_uid].settle(20)
    app.run()
    assert not app.exception, app.exception
    return app


def pseudonyms(app: AppTest) -> list[TextInput]:
    """The fields for pseudonyms, in the order of the patients."""
    return [field for field in app.text_input if field.key and field.key.startswith("pseudonym-")]


def checked(app: AppTest, destination: str = "Research") -> AppTest:
    app.selectbox(key="destination").select(destination).run()
    click(app, "check")
    check = draft(app).check
    if check is not None:
        check.settle(20)
        app.run()
    assert not app.exception, app.exception
    return app


# -- finding ----------------------------------------------------------------------------------------------------------


def test_the_form_has_every_key_of_a_study(clinic: Site) -> None:
    app = opened(clinic)
    wanted = {"Patient ID", "Patient name", "Accession number", "Study description", "Study UID", "Modality"}
    assert labels(app) >= wanted
    assert [field.label for field in app.date_input] == ["Birth date", "Study date from", "Study date until"]


def test_only_servers_that_one_may_read_are_offered(clinic: Site) -> None:
    assert clinic.open("selective_transfer").selectbox(key="source").options == ["Down", "PACS"]


def test_who_may_read_from_nowhere_is_told(site: Site) -> None:
    user = a_user(site.db)
    groups.add(site.db, site.shell, Group("Empty", MAY, frozenset({user.id})))
    site.sign_in(user)
    assert "No server is open to your groups" in told(site.open("selective_transfer"))


def test_a_search_shows_what_the_archive_has(clinic: Site, files: list[StudyFiles]) -> None:
    app = searched(opened(clinic), patient_name="quarn")
    table = app.dataframe[0].value
    assert sorted(table["Patient ID"]) == sorted(study.patient_id for study in files)
    assert "Quarnbababadu, Velmibababadu" in list(table["Patient name"])
    assert sorted(table["Images"]) == [1, 2, 5]
    assert "3 studies found" in told(app)


def test_every_key_narrows_the_search(clinic: Site, files: list[StudyFiles]) -> None:
    ct = dcmread(files[0].files[0])
    for key, value in (
        ("patient_id", ct.PatientID),
        ("accession_number", ct.AccessionNumber),
        ("study_uid", ct.StudyInstanceUID),
        ("study_description", "CT*"),
    ):
        app = searched(opened(clinic), **{key: value})
        found = draft(app).search
        assert found is not None
        assert ct.StudyInstanceUID in {study.study_uid for study in found.answers()}, key
        assert files[1].study_uid not in {study.study_uid for study in found.answers()}, key
    app = opened(clinic)
    app.multiselect(key="query-modalities").set_value(["MR"])
    assert list(searched(app).dataframe[0].value["Modality"]) == ["MR"]


def test_a_wrong_key_is_told_at_its_field_and_nothing_is_asked(clinic: Site) -> None:
    app = searched(opened(clinic), study_uid="abc", patient_id="a\\b")
    words = told(app)
    assert "this is no DICOM UID" in words
    assert "no backslashes" in words
    assert "Please correct what is marked" in words
    assert not app.dataframe


def test_a_server_that_is_down_is_told_in_words(clinic: Site) -> None:
    app = searched(with_source(clinic.open("selective_transfer"), "Down"))
    assert "could not be reached" in told(app)


def test_a_long_search_shows_what_came_and_can_be_canceled(clinic: Site) -> None:
    go_on = threading.Event()

    def slow(*_: object) -> Iterator[StudyFound]:
        yield StudyFound("1.2.3", "P1", "Doe^John")
        go_on.wait(20)
        yield StudyFound("1.2.4", "P2", "Doe^Jane")

    clinic.monkeypatch.setattr("services.searching.search.studies", slow)
    app = click(opened(clinic), "search")
    assert "Searching ... 1 study so far" in told(app)
    assert list(app.dataframe[0].value["Patient ID"]) == ["P1"]
    click(app, "cancel-search")
    assert "The search was stopped. 1 study had come in until then." in told(app)
    go_on.set()
    assert list(app.run().dataframe[0].value["Patient ID"]) == ["P1"]


def test_a_search_that_finds_too_much_says_so(clinic: Site, archive: Archive) -> None:
    pacs = next(node for node in nodes.list(clinic.db) if node.name == "PACS")
    assert isinstance(pacs, Server)
    nodes.update(clinic.db, clinic.settings, clinic.shell, replace(pacs, max_search_results=2))
    app = searched(opened(clinic))
    assert len(app.dataframe[0].value) == 2
    assert "More than 2 studies match. Narrow the search" in told(app)


def test_a_search_is_in_the_audit_trail(clinic: Site) -> None:
    searched(opened(clinic), patient_name="Quarn")
    (entry,) = audit.entries(clinic.db, clinic.shell, AuditFilter(action=AuditAction.SEARCH))
    assert "Quarn" not in entry.subject


def test_a_new_search_keeps_what_was_chosen(clinic: Site, files: list[StudyFiles]) -> None:
    ct, mr = files[0], files[1]
    app = chosen(searched(opened(clinic), patient_id=ct.patient_id), ct.study_uid)
    assert list(draft(app).chosen) == [ct.study_uid]
    app = chosen(searched(app, patient_id=mr.patient_id), mr.study_uid)
    assert list(draft(app).chosen) == [ct.study_uid, mr.study_uid]
    assert "2 studies of 2 patients" in told(app).replace("*", "")
    chosen(app)
    assert list(draft(app).chosen) == [ct.study_uid]


def test_what_is_removed_from_the_list_is_no_longer_ticked(clinic: Site, files: list[StudyFiles]) -> None:
    ct = files[0]
    app = chosen(searched(opened(clinic)), ct.study_uid)
    click(app, f"remove-{tables.mark([ct.study_uid])}")
    assert draft(app).chosen == {}
    app.run()
    assert draft(app).chosen == {}


def test_another_source_begins_anew(clinic: Site, files: list[StudyFiles]) -> None:
    app = chosen(searched(opened(clinic)), files[0].study_uid)
    with_source(app, "Down")
    assert draft(app).chosen == {}
    assert draft(app).search is None
    with_source(app, "PACS")
    assert not app.dataframe


def test_texts_of_an_archive_are_shown_as_they_are(clinic: Site, files: list[StudyFiles]) -> None:
    app = chosen(searched(opened(clinic)), files[0].study_uid)
    label = next(box.label for box in app.expander if files[0].patient_id in box.label)
    assert "\\|" in label
    assert "\\," in label


# -- series -----------------------------------------------------------------------------------------------------------


def test_single_series_can_be_chosen(clinic: Site, files: list[StudyFiles]) -> None:
    ct = files[0]
    app = with_series(chosen(searched(opened(clinic)), ct.study_uid), ct.study_uid)
    assert sorted(app.dataframe[1].value["Images"]) == [2, 3]
    mark = tables.mark([ct.study_uid])
    app.radio(key=f"extent-{mark}").set_value("Only some series").run()
    series = draft(app).series[ct.study_uid].answers()
    key = f"series-{mark}-{tables.mark(one.series_uid for one in series)}"
    app.session_state[key] = {"selection": {"rows": [1], "columns": []}}
    app.run()
    assert draft(app).chosen[ct.study_uid].series_uids == (series[1].series_uid,)
    assert any("1 series" in box.label for box in app.expander)
    app.session_state[f"study-{mark}"] = False
    app.run()
    assert draft(app).chosen[ct.study_uid].series_uids == (series[1].series_uid,)
    app.session_state[f"study-{mark}"] = True
    app.run()
    assert app.radio(key=f"extent-{mark}").value == "Only some series"
    app.radio(key=f"extent-{mark}").set_value("Whole study").run()
    assert draft(app).chosen[ct.study_uid].series_uids == ()


def test_series_of_excluded_modalities_are_marked_before(clinic: Site, files: list[StudyFiles]) -> None:
    settings = clinic.settings.model_copy(update={"exclude_modalities": ("SR",)})
    clinic.monkeypatch.setattr("ui.context.settings", lambda: settings)
    report = files[2]
    app = with_series(chosen(searched(opened(clinic)), report.study_uid), report.study_uid)
    assert list(app.dataframe[1].value["Note"]) == ["left out when pseudonymized"]


# -- checking and sending ---------------------------------------------------------------------------------------------


def test_a_transfer_is_checked_and_sent(clinic: Site, files: list[StudyFiles]) -> None:
    ct = files[0]
    app = chosen(searched(opened(clinic)), ct.study_uid)
    app.text_input(key=f"pseudonym-{tables.mark([ct.patient_id])}").set_value("SUBJ-1")
    app.text_input(key="trial-id").set_value("LUNG")
    app.text_input(key="trial-name").set_value("Lung cancer")
    app.checkbox(key="mail").check()
    app = checked(app)
    assert {metric.label: metric.value for metric in app.metric}["Images"] == "5"
    click(app, "transfer")
    (job,) = jobs.list(clinic.db, clinic.shell, everybody=True)
    assert (job.owner, job.kind, job.trial_protocol_id) == ("ada", JobKind.SELECTIVE_TRANSFER, "LUNG")
    assert (job.trial_protocol_name, job.send_finished_mail, job.urgent) == ("Lung cancer", True, False)
    (item,) = jobs.items(clinic.db, clinic.shell, job.id)
    assert (item.study_uid, item.patient_id, item.pseudonym) == (ct.study_uid, ct.patient_id, "SUBJ-1")
    assert f"Job {job.id} is accepted" in told(app)
    assert f"Job {job.id}" in [title.value for title in app.title]


def test_a_trial_of_others_is_told_at_its_field_and_nothing_is_sent(clinic: Site, files: list[StudyFiles]) -> None:
    ScopeStore(clinic.db).for_trial("LUNG", "eve")
    app = chosen(searched(opened(clinic)), files[0].study_uid)
    app.text_input(key="trial-id").set_value("LUNG")
    app = click(checked(app), "transfer")
    said = [line.value.replace("\\", "") for line in app.markdown if "used by others" in line.value]
    assert len(said) == 1 and "the trial LUNG is used by others. Ask one of its users" in said[0]
    assert not app.error
    assert jobs.count(clinic.db, clinic.shell, everybody=True) == 0


def test_the_choices_are_remembered_for_the_next_time(clinic: Site, files: list[StudyFiles]) -> None:
    app = chosen(searched(opened(clinic)), files[0].study_uid)
    app.checkbox(key="mail").check()
    app.selectbox(key="profile").select("basic")
    app.selectbox(key="destination").select("Share (folder)").run()
    app.checkbox(key="nifti").check()
    click(checked(app, "Share (folder)"), "transfer")
    app = clinic.open("selective_transfer")
    assert app.selectbox(key="source").value.name == "PACS"
    app = chosen(searched(app), files[1].study_uid)
    assert app.selectbox(key="destination").value.name == "Share"
    assert app.selectbox(key="profile").value == "basic"
    assert app.checkbox(key="mail").value is True
    assert app.checkbox(key="nifti").value is True


def test_a_folder_can_get_nifti_and_the_check_leaves_out_what_has_no_images(
    clinic: Site, files: list[StudyFiles]
) -> None:
    ct, _, sr = files
    app = chosen(searched(opened(clinic)), ct.study_uid, sr.study_uid)
    app.selectbox(key="destination").select("Research").run()
    assert "nifti" not in {box.key for box in app.checkbox}
    app.selectbox(key="destination").select("Share (folder)").run()
    assert app.checkbox(key="nifti").value is False
    app.checkbox(key="nifti").check().run()
    app = checked(app, "Share (folder)")
    assert planning.NO_VOLUMES in told(app)
    click(app, "take-out")
    app = checked(app, "Share (folder)")
    click(app, "transfer")
    (job,) = jobs.list(clinic.db, clinic.shell, everybody=True)
    assert job.convert_to_nifti
    assert "NIfTI" in told(app)


def test_nothing_is_sent_that_has_changed_since_the_check(clinic: Site, files: list[StudyFiles]) -> None:
    app = checked(chosen(searched(opened(clinic)), files[0].study_uid))
    app.text_input(key="trial-id").set_value("ANOTHER").run()
    assert "transfer" not in {button.key for button in app.button}
    assert "Check again" in told(app)


def test_a_check_that_lacks_a_destination_says_so(clinic: Site, files: list[StudyFiles]) -> None:
    app = chosen(searched(opened(clinic)), files[0].study_uid)
    assert app.button(key="check").disabled
    assert "Choose a destination first." in told(app)
    app.selectbox(key="destination").select_index(0).run()
    assert not app.button(key="check").disabled
    assert "Choose a destination first." not in told(app)


def test_a_second_click_sends_nothing(clinic: Site, files: list[StudyFiles]) -> None:
    app = checked(chosen(searched(opened(clinic)), files[0].study_uid))
    draft(app).is_sent = True
    click(app, "transfer")
    assert jobs.count(clinic.db, clinic.shell, everybody=True) == 0


def test_what_cannot_be_moved_stops_the_transfer_and_can_be_taken_out(clinic: Site, files: list[StudyFiles]) -> None:
    settings = clinic.settings.model_copy(update={"exclude_modalities": ("SR",)})
    clinic.monkeypatch.setattr("ui.context.settings", lambda: settings)
    app = checked(chosen(searched(opened(clinic)), files[0].study_uid, files[2].study_uid))
    assert "Nothing is left to transfer" in told(app)
    assert app.button(key="transfer").disabled
    click(app, "take-out")
    assert list(draft(app).chosen) == [files[0].study_uid]


def test_several_patients_get_a_pseudonym_each(clinic: Site, files: list[StudyFiles]) -> None:
    ct, mr, report = files
    app = chosen(searched(opened(clinic)), ct.study_uid, mr.study_uid, report.study_uid)
    assert len(pseudonyms(app)) == 2
    for field in pseudonyms(app):
        field.set_value("THE-SAME")
    app = checked(app)
    assert "given to more than one patient" in told(app)
    assert draft(app).check is None
    of_ct, of_mr = pseudonyms(app)
    of_ct.set_value("")
    of_mr.set_value("SUBJ-2")
    click(checked(app), "transfer")
    (job,) = jobs.list(clinic.db, clinic.shell, everybody=True)
    names = {item.study_uid: item.pseudonym for item in jobs.items(clinic.db, clinic.shell, job.id)}
    assert names[ct.study_uid] == names[report.study_uid] != ""
    assert names[mr.study_uid] == "SUBJ-2"


def test_a_pseudonym_that_names_the_patient_is_told_at_its_field(clinic: Site, files: list[StudyFiles]) -> None:
    ct = files[0]
    app = chosen(searched(opened(clinic)), ct.study_uid)
    app.text_input(key=f"pseudonym-{tables.mark([ct.patient_id])}").set_value(f"X-{ct.patient_id}")
    app = checked(app)
    click(app, "transfer")
    assert "It holds the ID of a patient" in told(app)
    assert jobs.count(clinic.db, clinic.shell, everybody=True) == 0


def test_a_folder_without_room_is_told_before(clinic: Site, files: list[StudyFiles], tmp_path: Path) -> None:
    folder = nodes.add_folder(
        clinic.db, clinic.settings, clinic.shell, Folder("Tiny", tmp_path / "share", quota_gb=0.000001)
    )
    right = frozenset({NodeRight(folder.id, destination=True)})
    groups.add(clinic.db, clinic.shell, Group("Tiny", frozenset(), frozenset({the_user(clinic).id}), right))
    app = checked(chosen(searched(opened(clinic)), files[0].study_uid), "Tiny (folder)")
    assert "has not enough room within its quota" in told(app)
    assert app.button(key="transfer").disabled


def test_identity_and_urgency_are_offered_with_the_right_to_them_only(clinic: Site, files: list[StudyFiles]) -> None:
    app = chosen(searched(opened(clinic)), files[0].study_uid)
    assert not {"keep-identity", "urgent"} & {box.key for box in app.checkbox}
    give(clinic, the_user(clinic).id, Permission.SELECTIVE_URGENT, Permission.SELECTIVE_UNPSEUDONYMIZED)
    app.run()
    app.checkbox(key="urgent").check()
    app.checkbox(key="keep-identity").check().run()
    assert "Nothing is pseudonymized" in told(app)
    assert pseudonyms(app) == []
    click(checked(app), "transfer")
    (job,) = jobs.list(clinic.db, clinic.shell, everybody=True)
    assert (job.keep_identity, job.urgent) == (True, True)


def test_a_right_that_is_lost_in_the_meantime_counts_at_once(clinic: Site, files: list[StudyFiles]) -> None:
    app = checked(chosen(searched(opened(clinic)), files[0].study_uid))
    for group in groups.list(clinic.db, clinic.shell):
        groups.delete(clinic.db, clinic.shell, group.id)
    app.button(key="transfer").click().run()
    assert jobs.count(clinic.db, clinic.shell, everybody=True) == 0


def test_a_locked_application_says_so(clinic: Site) -> None:
    project.set_app(clinic.db, clinic.shell, AppState(App.SELECTIVE_TRANSFER, locked=True))
    app = clinic.open("selective_transfer")
    assert "locked" in told(app)
    assert not app.selectbox


def test_a_suspended_application_takes_what_waits(clinic: Site) -> None:
    project.set_app(clinic.db, clinic.shell, AppState(App.SELECTIVE_TRANSFER, suspended=True))
    assert "is accepted, and waits" in told(clinic.open("selective_transfer"))
