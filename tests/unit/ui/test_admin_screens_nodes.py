"""Servers and folders: every field of the admin guide, rights, tests of connections, quotas, and removal."""

from dataclasses import replace
from datetime import time, timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from models.db.folder_holds import FolderHoldStore
from models.domain.errors import FolderFull
from models.domain.jobs import JobKind
from models.domain.nodes import BudgetRule, Folder, Node, Server, Timeouts, Tls, Window
from models.domain.people import Group, NodeRight, Permission
from models.domain.requests import StudyWish, TransferRequest
from services import jobs, nodes
from services.checks import connections
from services.checks.connections import Finding
from services.people import groups
from tests.app_pages import Site, click, labels, told

BASIC = {"Name", "Ae title", "Host", "Port"}
PROTOCOLS = {
    "Patient root find support",
    "Patient root get support",
    "Patient root move support",
    "Study root find support",
    "Study root get support",
    "Study root move support",
    "Store scp support",
}
WEB = {
    "Dicomweb root url",
    "Dicomweb qido support",
    "Dicomweb wado support",
    "Dicomweb stow support",
    "Dicomweb qido prefix",
    "Dicomweb wado prefix",
    "Dicomweb stow prefix",
    "Dicomweb authorization header",
}
HEADER = "dicomweb_authorization_header"


def a_server(site: Site, **fields: object) -> Server:
    values = {"name": "PACS", "ae_title": "PACS", "host": "pacs.example", "port": 104, "study_root_find_support": True}
    return nodes.add_server(site.db, site.shell, Server(**{**values, **fields}))  # type: ignore[arg-type]


def a_folder(site: Site, **fields: object) -> Folder:
    path = site.settings.data_dir / "archive"
    path.mkdir(exist_ok=True)
    return nodes.add_folder(site.db, site.settings, site.shell, Folder(**{"name": "Archive", "path": path, **fields}))  # type: ignore[arg-type]


def the_server(site: Site) -> Server:
    (node,) = nodes.list(site.db)
    assert isinstance(node, Server)
    return node


def the_folder(site: Site) -> Folder:
    (node,) = nodes.list(site.db)
    assert isinstance(node, Folder)
    return node


def filled_in(app: AppTest, **values: str) -> AppTest:
    for name, value in values.items():
        app.text_input(key=f"server-{name}").set_value(value)
    return app


def test_a_server_has_every_field_under_the_name_that_the_guide_gives_it(site: Site) -> None:
    site.sign_in_staff()
    app = site.open("servers", id="new")
    assert labels(app) >= BASIC | PROTOCOLS | WEB
    assert {"Basic Settings", "DICOM Protocol Support", "Configure Group Access"} <= set(told(app).splitlines())
    assert "DICOMweb Settings" in "".join(box.label for box in app.expander)


def test_a_server_is_added_with_all_that_was_entered(site: Site) -> None:
    site.sign_in_staff()
    group = groups.add(site.db, site.shell, Group("Radiologists"))
    app = site.open("servers", id="new")
    filled_in(app, name="PACS Nord", ae_title="NORD", host="10.1.2.3", dicomweb_root_url="https://nord.example/web")
    filled_in(app, dicomweb_qido_prefix="qido", **{HEADER: "Bearer secret"})
    app.number_input(key="server-port").set_value(11112)
    for name in ("patient_root_find_support", "study_root_move_support", "dicomweb_qido_support"):
        app.checkbox(key=f"server-{name}").check()
    app.number_input(key="server-association_budget").set_value(4)
    app.number_input(key="server-connect_timeout").set_value(2.5)
    app.checkbox(key=f"server-nodes-{group.id}-source").check()
    app.checkbox(key="server-uses_tls").check().run()
    filled_in(app, tls_ca_file="/etc/adit/ca.pem")
    click(app, "server-window-add")
    click(app, "server-save")
    server = the_server(site)
    assert (server.name, server.ae_title, server.host, server.port) == ("PACS Nord", "NORD", "10.1.2.3", 11112)
    assert server.patient_root_find_support
    assert server.study_root_move_support
    assert not server.store_scp_support
    assert (server.dicomweb_root_url, server.dicomweb_qido_prefix) == ("https://nord.example/web", "qido")
    assert server.dicomweb_authorization_header == "Bearer secret"
    assert server.association_budget == 4
    assert server.timeouts == Timeouts(connect=timedelta(seconds=2.5))
    assert server.tls == Tls("/etc/adit/ca.pem")
    assert server.windows == tuple(Window(day, time(20), time(6)) for day in range(5))
    (given,) = groups.get(site.db, site.shell, group.id).nodes
    assert given == NodeRight(server.id, source=True)


def test_saving_a_server_unchanged_changes_nothing(site: Site) -> None:
    site.sign_in_staff()
    windows = (Window(0, time(20), time(6)), Window(2, time(20), time(6)), Window(5, time(0), time(0)))
    tls = Tls("/a.pem", "/b.pem", "/c.pem", check_hostname=False)
    kept = {HEADER: "Bearer secret", "dicomweb_root_url": "https://pacs.example/web"}
    before = a_server(site, tls=tls, windows=windows, max_search_results=50, uses_pynetdicom=True, **kept)
    before = nodes.get(site.db, before.id)
    click(site.open("servers", id=str(before.id)), "server-save")
    after = the_server(site)
    assert set(after.windows) == set(windows)
    assert (after.tls, after.max_search_results, after.uses_pynetdicom) == (tls, 50, True)
    assert after.dicomweb_authorization_header == "Bearer secret"


def test_every_wrong_field_of_a_server_is_told_beside_it(site: Site) -> None:
    site.sign_in_staff()
    app = site.open("servers", id="new")
    filled_in(app, name="PACS", ae_title="back\\slash", host="no host")
    click(app, "server-save")
    shown = app.error[0].value
    assert all(f"**{label}**" in shown for label in ("Ae title", "Host", "Port", "DICOM Protocol Support"))
    assert app.text_input(key="server-name").value == "PACS"
    assert nodes.list(site.db) == ()


def test_an_authorization_header_is_never_shown_and_can_be_removed(site: Site) -> None:
    site.sign_in_staff()
    server = a_server(site, dicomweb_root_url="https://pacs.example/web", **{HEADER: "Bearer secret"})
    app = site.open("servers", id=str(server.id))
    field = app.text_input(key=f"server-{HEADER}")
    assert field.value == ""
    assert "One is kept" in field.placeholder
    assert "secret" not in repr(app.session_state["server.form"])
    click(app, "server-clear")
    assert the_server(site).dicomweb_authorization_header == ""


def test_windows_are_added_changed_and_removed(site: Site) -> None:
    site.sign_in_staff()
    server = a_server(site, windows=(Window(0, time(20), time(6)), Window(6, time(8), time(9))))
    app = site.open("servers", id=str(server.id))
    app.button_group(key="server-window-0-days").set_value([1, 2])
    app.time_input(key="server-window-0-end").set_value(time(5, 30))
    click(app, "server-window-1-remove")
    click(app, "server-save")
    assert set(the_server(site).windows) == {Window(day, time(20), time(5, 30)) for day in (1, 2)}


def test_budgets_by_the_hour_are_added_changed_and_removed(site: Site) -> None:
    site.sign_in_staff()
    night, noon = Window(0, time(20), time(6)), Window(6, time(11), time(13))
    server = a_server(site, budget_rules=(BudgetRule(night, 12), BudgetRule(noon, 2)))
    app = site.open("servers", id=str(server.id))
    app.number_input(key="server-budget-0-budget").set_value(20)
    app.button_group(key="server-budget-0-days").set_value([0, 1])
    click(app, "server-budget-1-remove")
    click(app, "server-budget-add")
    app.number_input(key="server-budget-1-budget").set_value(0)
    click(app, "server-save")
    assert "**Budget by hour**: a budget must be positive" in app.error[0].value
    app.number_input(key="server-budget-1-budget").set_value(3)
    click(app, "server-save")
    wanted = {BudgetRule(Window(day, time(20), time(6)), 20) for day in (0, 1)}
    wanted |= {BudgetRule(Window(day, time(20), time(6)), 3) for day in range(5)}
    assert set(the_server(site).budget_rules) == wanted
    (shown,) = site.open("servers").dataframe[0].value["Budget"]
    assert shown == "8; Mon Tue 20:00-06:00 20; Mon-Fri 20:00-06:00 3"


def test_staff_stops_a_server_with_a_reason_and_lets_it_go_on(site: Site) -> None:
    staff = site.sign_in_staff()
    server = a_server(site)
    app = site.open("servers", id=str(server.id))
    assert "Now **open**, association budget **8**." in told(app)
    app.text_input(key="server-stop-reason").set_value("It swaps its disks.")
    click(app, "server-stop")
    stop = the_server(site).stop
    assert stop is not None
    assert (stop.by, stop.reason) == (staff.username, "It swaps its disks.")
    app = site.open("servers", id=str(server.id))
    assert list(app.dataframe[0].value["State"]) == ["stopped"]
    assert "Stopped by staff" in told(app) and "It swaps its disks." in told(app)
    click(app, "server-save")
    assert the_server(site).stop == stop, "its settings are something else"
    click(site.open("servers", id=str(server.id)), "server-go-on")
    assert the_server(site).stop is None


def test_staff_has_a_full_folder_tried_at_once(site: Site) -> None:
    site.sign_in_staff()
    folder = a_folder(site)
    assert list(site.open("folders").dataframe[0].value["State"]) == [""]
    FolderHoldStore(site.db).hold(folder.id, 1, FolderFull("The disk of the folder Archive has no room left."), "w1", 7)
    app = site.open("folders", id=str(folder.id))
    assert list(app.dataframe[0].value["State"]) == ["items wait: FolderFull"]
    assert "has no room left, since" in told(app) and "Seen on w1." in told(app)
    before = FolderHoldStore(site.db).of_folder(folder.id)
    click(app, "folder-try")
    after = FolderHoldStore(site.db).of_folder(folder.id)
    assert before is not None and after is not None
    assert before.since <= after.again_at < before.again_at


def test_a_server_that_is_added_has_no_state_yet(site: Site) -> None:
    site.sign_in_staff()
    app = site.open("servers", id="new")
    assert "Now **" not in told(app)
    assert not any(button.key == "server-stop" for button in app.button)


def test_a_connection_test_says_what_works_and_what_does_not(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.sign_in_staff()
    asked: list[Node | int] = []

    def test(_db: object, _settings: object, _actor: object, node: Node | int) -> tuple[Finding, ...]:
        asked.append(node)
        return Finding("C-ECHO", True, "The server answers.", 0.1), Finding("C-FIND", False, "It *refused*.", 2.0)

    monkeypatch.setattr(connections, "test", test)
    server = a_server(site)
    app = site.open("servers", id=str(server.id))
    filled_in(app, host="other.example")
    click(app, "server-test")
    assert "1 of 2 tests failed" in told(app)
    assert "failed **C-FIND** (2.0 s): It *refused*." in told(app)
    (node,) = asked
    assert isinstance(node, Server)
    assert (node.id, node.host) == (server.id, "other.example")
    assert nodes.get(site.db, server.id) == server


def test_what_cannot_be_tested_is_told_beside_its_field(site: Site) -> None:
    site.sign_in_staff()
    app = site.open("servers", id="new")
    filled_in(app, name="PACS", ae_title="PACS", host="no host")
    click(app, "server-test")
    assert "**Host**" in app.error[0].value


def test_a_server_that_jobs_have_used_stays(site: Site) -> None:
    site.sign_in_staff()
    reads = {"study_root_get_support": True, "store_scp_support": True}
    source, target = a_server(site, **reads), a_server(site, name="B", ae_title="B", **reads)
    wish = TransferRequest(JobKind.SELECTIVE_TRANSFER, source.id, target.id, (StudyWish("1.2.3"),), keep_identity=True)
    jobs.submit(site.db, site.settings, site.shell, wish)
    app = site.open("servers", id=str(source.id))
    app.text_input(key="server-remove-word").set_value("PACS").run()
    click(app, "server-remove")
    assert "used by jobs" in told(app)
    assert len(nodes.list(site.db)) == 2


def test_a_server_that_nobody_has_used_is_deleted(site: Site) -> None:
    site.sign_in_staff()
    app = site.open("servers", id=str(a_server(site).id))
    app.text_input(key="server-remove-word").set_value("PACS").run()
    click(app, "server-remove")
    assert nodes.list(site.db) == ()


def test_staff_cannot_give_nodes_to_groups_with_guarded_rights(site: Site) -> None:
    site.sign_in_staff()
    guarded = groups.add(site.db, site.shell, Group("Reviewers", frozenset({Permission.REVIEW_HELD})))
    app = site.open("servers", id=str(a_server(site).id))
    assert app.checkbox(key=f"server-nodes-{guarded.id}-source").disabled
    click(app, "server-save")
    assert not app.error


def test_the_list_of_servers_shows_what_they_can(site: Site) -> None:
    site.sign_in_staff()
    a_server(site, study_root_get_support=True, windows=tuple(Window(day, time(20), time(6)) for day in range(5)))
    shown = site.open("servers").dataframe[0].value
    assert [list(words) for words in shown["Protocols"]] == [["FIND", "GET"]]
    assert list(shown["Windows"]) == ["Mon-Fri 20:00-06:00"]


def test_a_folder_is_added_with_quota_and_threshold(site: Site) -> None:
    site.sign_in_staff()
    group = groups.add(site.db, site.shell, Group("Research Team"))
    app = site.open("folders", id="new")
    assert {"Name", "Path", "Quota (GB)", "When to inform admin"} <= labels(app)
    app.text_input(key="folder-name").set_value("Research Uploads")
    app.text_input(key="folder-path").set_value("/mnt/research")
    app.number_input(key="folder-quota_gb").set_value(500.0)
    app.radio(key="folder-warn").set_value("At a percentage of the quota").run()
    app.number_input(key="folder-warn_at_percent").set_value(75.0)
    app.checkbox(key=f"folder-nodes-{group.id}-destination").check()
    click(app, "folder-save")
    folder = the_folder(site)
    assert (folder.name, folder.path) == ("Research Uploads", Path("/mnt/research"))
    assert (folder.quota_gb, folder.warn_at_percent, folder.warn_at_gb) == (500.0, 75.0, None)
    assert groups.get(site.db, site.shell, group.id).nodes == {NodeRight(folder.id, destination=True)}


def test_a_threshold_can_be_absolute_or_none(site: Site) -> None:
    site.sign_in_staff()
    folder = a_folder(site, quota_gb=100, warn_at_percent=80)
    app = site.open("folders", id=str(folder.id))
    app.radio(key="folder-warn").set_value("At an absolute value in GB").run()
    app.number_input(key="folder-warn_at_gb").set_value(90.0)
    click(app, "folder-save")
    assert (the_folder(site).warn_at_percent, the_folder(site).warn_at_gb) == (None, 90.0)
    app = site.open("folders", id=str(folder.id))
    app.radio(key="folder-warn").set_value("Never").run()
    click(app, "folder-save")
    assert (the_folder(site).warn_at_percent, the_folder(site).warn_at_gb) == (None, None)


def test_a_folder_shows_how_full_it_is_and_is_measured_anew(site: Site) -> None:
    site.sign_in_staff()
    folder = a_folder(site, quota_gb=0.00001, warn_at_percent=50)
    (folder.path / "image.dcm").write_bytes(b"x" * 6000)
    app = site.open("folders", id=str(folder.id))
    assert "Last measured: -" in told(app)
    click(app, "folder-measure")
    assert "Last measured: -" not in told(app)
    assert "administrators are informed" in told(app)
    assert "Above the threshold" in told(site.open("folders"))


def test_a_path_is_tested(site: Site) -> None:
    site.sign_in_staff()
    folder = a_folder(site)
    app = click(site.open("folders", id=str(folder.id)), "folder-test")
    assert "Everything that was tested works" in told(app)
    app.text_input(key="folder-path").set_value("/nowhere/at/all")
    assert "failed" in told(click(app, "folder-test"))


def test_a_server_is_no_folder(site: Site) -> None:
    site.sign_in_staff()
    assert "There is no such folder." in told(site.open("folders", id=str(a_server(site).id)))
    assert "There is no such server." in told(site.open("servers", id=str(a_folder(site).id)))


def test_what_somebody_else_has_changed_meanwhile_is_merged_where_nobody_touched_it(site: Site) -> None:
    site.sign_in_staff()
    server = a_server(site, windows=(Window(0, time(20), time(6)),))
    mine, theirs = (groups.add(site.db, site.shell, Group(name)) for name in ("Mine", "Theirs"))
    app = site.open("servers", id=str(server.id))
    filled_in(app, host="mine.example")
    app.checkbox(key=f"server-nodes-{mine.id}-source").check()
    changed = replace(server, port=4242, windows=(Window(6, time(0), time(0)),))
    nodes.update(site.db, site.settings, site.shell, changed)
    groups.update_access(site.db, site.shell, server.id, {theirs.id: NodeRight(server.id, destination=True)})
    click(app, "server-save")
    assert "Somebody else has changed this" in told(app)
    click(app, "server-rebase")
    assert app.number_input(key="server-port").value == 4242
    assert app.checkbox(key=f"server-nodes-{theirs.id}-destination").value
    click(app, "server-save")
    after = the_server(site)
    assert (after.host, after.port, after.windows) == ("mine.example", 4242, changed.windows)
    assert groups.access(site.db, site.shell, server.id) == {
        mine.id: NodeRight(server.id, source=True),
        theirs.id: NodeRight(server.id, destination=True),
    }
