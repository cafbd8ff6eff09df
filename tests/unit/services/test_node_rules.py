"""Administrators set nodes up; every wrong field is named, and no credential ever comes out again."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, time, timedelta
from pathlib import Path

import pytest

from models.db.engine import Database
from models.domain import windows
from models.domain.audit import DONE
from models.domain.errors import BadRequest, NotFound, NotPermitted, Outdated
from models.domain.nodes import Folder, Node, NodeName, Server, Timeouts, Tls, Window
from models.domain.people import Actor, NodeAccess, operator
from models.settings import Settings
from services import audit, node_rules, nodes, own_directories
from tests.samples import a_folder, a_server, some_settings

STAFF = operator("admin")
SETTINGS = some_settings(Path("/var/lib/adit"))
WEB = {"dicomweb_root_url": "https://pacs.example.org:8042/dicom-web", "dicomweb_qido_support": True}
SECRET = {"dicomweb_authorization_header": "Bearer tell-nobody"}


def trail(db: Database) -> list[tuple[str, str, str, str]]:
    """Who did what to which node and how it ended, oldest first."""
    found = reversed(audit.entries(db, STAFF))
    return [(entry.actor, entry.action.value, entry.subject, entry.outcome) for entry in found]


def header_of(db: Database, node_id: int) -> str:
    node = nodes.get(db, node_id)
    assert isinstance(node, Server)
    return node.dicomweb_authorization_header


def test_staff_may_add_change_and_delete_nodes(database: Database) -> None:
    server = nodes.add_server(database, STAFF, a_server(**WEB))
    folder = nodes.add_folder(database, SETTINGS, STAFF, a_folder())
    assert nodes.list(database) == nodes.listed(database, STAFF) == (server, folder)
    changed = nodes.update(database, SETTINGS, STAFF, replace(server, port=11112))
    assert changed == replace(server, port=11112, version=2)
    assert nodes.get(database, server.id) == changed == nodes.by_name(database, "PACS")
    nodes.delete(database, STAFF, folder.id)
    assert nodes.list(database) == (changed,)
    assert nodes.names(database) == {server.id: "PACS"}


def test_others_may_not_and_their_tries_are_written_down(database: Database) -> None:
    node = nodes.add_server(database, STAFF, a_server(**WEB, **SECRET))
    user = Actor("ada", access=NodeAccess(every=True))
    tries: list[Callable[[], object]] = [
        lambda: nodes.add_server(database, user, a_server()),
        lambda: nodes.add_folder(database, SETTINGS, user, a_folder()),
        lambda: nodes.update(database, SETTINGS, user, node),
        lambda: nodes.delete(database, user, node.id),
        lambda: nodes.clear_authorization(database, user, node.id),
    ]
    for forbidden in tries:
        with pytest.raises(NotPermitted):
            forbidden()
    refused = [entry for entry in trail(database) if entry[0] == "ada"]
    assert [action for _, action, _, _ in refused] == [
        *("add_node", "add_node", "change_node", "delete_node", "change_node")
    ]
    assert {outcome for *_, outcome in refused} == {"NotPermitted"}
    looks: list[Callable[[], object]] = [
        lambda: nodes.listed(database, user),
        lambda: nodes.shown(database, user, node.id),
        lambda: nodes.with_authorization(database, user),
    ]
    for forbidden in looks:
        with pytest.raises(NotPermitted):
            forbidden()
    assert nodes.listed(database, STAFF) == (node,)


def test_the_trail_names_the_node_and_the_fields_and_never_a_value(database: Database) -> None:
    server = nodes.add_server(database, STAFF, a_server(**WEB, **SECRET))
    changes = {"port": 11112, "host": "10.1.2.3", "dicomweb_authorization_header": "Bearer other-secret"}
    after = nodes.update(database, SETTINGS, STAFF, replace(server, **changes))
    nodes.update(database, SETTINGS, STAFF, after)
    nodes.clear_authorization(database, STAFF, server.id)
    nodes.delete(database, STAFF, server.id)
    assert trail(database) == [
        ("admin", "add_node", "server PACS", DONE),
        ("admin", "change_node", "server PACS: host, port, dicomweb_authorization_header changed", DONE),
        ("admin", "change_node", "server PACS: dicomweb_authorization_header removed", DONE),
        ("admin", "delete_node", "server PACS", DONE),
    ]


def test_a_credential_goes_in_and_never_comes_out(database: Database) -> None:
    server = nodes.add_server(database, STAFF, a_server(**WEB, **SECRET))
    updated = nodes.update(database, SETTINGS, STAFF, replace(server, port=105))
    for shown in (server, updated, nodes.shown(database, STAFF, server.id), *nodes.listed(database, STAFF)):
        assert isinstance(shown, Server)
        assert shown.dicomweb_authorization_header == ""
    assert nodes.with_authorization(database, STAFF) == {server.id}
    assert header_of(database, server.id) == SECRET["dicomweb_authorization_header"]


def test_an_empty_credential_keeps_the_one_before_until_it_is_cleared(database: Database) -> None:
    server = nodes.add_server(database, STAFF, a_server(**WEB, **SECRET))
    server = nodes.update(database, SETTINGS, STAFF, replace(server, dicomweb_qido_prefix="q"))
    assert header_of(database, server.id) == SECRET["dicomweb_authorization_header"]
    cleared = nodes.clear_authorization(database, STAFF, server.id)
    assert header_of(database, server.id) == ""
    assert nodes.with_authorization(database, STAFF) == frozenset()
    assert nodes.clear_authorization(database, STAFF, server.id) == cleared


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example.org:8042/dicom-web",
        "https://pacs.example.org:8043/dicom-web",
        "http://pacs.example.org:8042/dicom-web",
        "",
    ],
)
def test_a_kept_credential_is_never_sent_to_another_place(database: Database, url: str) -> None:
    server = nodes.add_server(database, STAFF, a_server(**WEB, **SECRET))
    moved = replace(server, dicomweb_root_url=url, dicomweb_qido_support=bool(url))
    with pytest.raises(BadRequest, match=r"^dicomweb_authorization_header: enter it again"):
        nodes.update(database, SETTINGS, STAFF, moved)
    nodes.update(database, SETTINGS, STAFF, replace(moved, dicomweb_authorization_header="Bearer new"))
    assert header_of(database, server.id) == "Bearer new"


def test_a_form_that_is_out_of_date_is_refused(database: Database) -> None:
    server = nodes.add_server(database, STAFF, a_server())
    nodes.update(database, SETTINGS, STAFF, replace(server, port=105))
    with pytest.raises(Outdated):
        nodes.update(database, SETTINGS, STAFF, replace(server, port=106))
    assert len(trail(database)) == 2


def test_what_is_refused_leaves_nothing(database: Database) -> None:
    with pytest.raises(NotFound):
        nodes.update(database, SETTINGS, STAFF, a_server(id=4711))
    with pytest.raises(NotFound):
        nodes.delete(database, STAFF, 4711)
    assert trail(database) == []


def test_people_see_the_nodes_that_their_groups_may_use_by_name_only(database: Database) -> None:
    full = nodes.add_server(database, STAFF, a_server("FULL"))
    sink = nodes.add_server(database, STAFF, a_server("SINK", study_root_find_support=False))
    archive = nodes.add_server(database, STAFF, a_server("ARCHIVE", store_scp_support=False))
    folder = nodes.add_folder(database, SETTINGS, STAFF, a_folder())
    every = [node.id for node in (full, sink, archive, folder)]
    user = Actor("ada", access=NodeAccess(sources=frozenset(every), destinations=frozenset(every)))
    assert [node.name for node in nodes.sources(database, user)] == ["ARCHIVE", "FULL"]
    assert [node.name for node in nodes.destinations(database, user)] == ["FULL", "SINK", "research"]
    assert nodes.destinations(database, user)[-1] == NodeName(folder.id, "research", is_server=False)
    reader = Actor("bob", access=NodeAccess(sources=frozenset({full.id}), destinations=frozenset({folder.id})))
    assert nodes.sources(database, reader) == (NodeName(full.id, "FULL", True, full.ae_title),)
    assert nodes.destinations(database, reader) == (NodeName(folder.id, "research", is_server=False),)
    nobody = Actor("eve", is_staff=True, is_superuser=True)
    assert nodes.sources(database, nobody) == nodes.destinations(database, nobody) == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 65),
        ("name", "line\nbreak"),
        ("ae_title", ""),
        ("ae_title", "SEVENTEEN_LETTERS"),
        ("ae_title", "BACK\\SLASH"),
        ("ae_title", "TAB\t"),
        ("ae_title", " SPACE"),
        ("ae_title", "ÜMLAUT"),
        ("host", ""),
        ("host", "two words"),
        ("host", "http://host"),
        ("port", 0),
        ("port", 65536),
        ("dicomweb_root_url", "ftp://host"),
        ("dicomweb_root_url", "host/dicom-web"),
        ("dicomweb_root_url", "https://user:pw@host/"),
        ("dicomweb_root_url", "http://[broken"),
        ("dicomweb_root_url", "http://host:99999/"),
        ("dicomweb_authorization_header", "Bearer x\r\nHost: evil"),
        ("dicomweb_qido_prefix", "https://elsewhere"),
        ("tls", Tls(certificate_file="/etc/cert.pem")),
        ("tls", Tls(ca_file="relative.pem")),
        ("timeouts", Timeouts(response=timedelta(0))),
        ("timeouts", Timeouts(idle=timedelta(hours=2))),
        ("association_budget", 0),
        ("store_associations", 0),
        ("max_search_results", 0),
        ("windows", (Window(7, time(1), time(2)),)),
        ("windows", (Window(0, time(1), time(1)),)),
        ("windows", (Window(0, time(1), time(2)), Window(0, time(1), time(2)))),
        ("windows", (Window(0, time(1, 0, 30), time(2)),)),
        ("windows", (Window(0, time(1, tzinfo=UTC), time(2)),)),
        ("windows", tuple(Window(0, time(n // 60, n % 60), time(2)) for n in range(51))),
    ],
)
def test_a_wrong_field_of_a_server_is_named(database: Database, field: str, value: object) -> None:
    with pytest.raises(BadRequest, match=rf"^{field}: ") as raised:
        nodes.add_server(database, STAFF, a_server(**{field: value}))
    assert next(iter(raised.value.problems)) == field
    assert "pw" not in raised.value.message


def test_several_wrong_fields_are_all_named(database: Database) -> None:
    with pytest.raises(BadRequest, match=r"(?s)name: .*host: .*port: ") as raised:
        nodes.add_server(database, STAFF, a_server(name="", host="", port=0))
    assert set(raised.value.problems) == {"name", "ae_title", "host", "port"}


def test_names_that_are_taken_are_named_by_field(database: Database) -> None:
    nodes.add_server(database, STAFF, a_server())
    with pytest.raises(BadRequest) as raised:
        nodes.add_server(database, STAFF, a_server())
    assert set(raised.value.problems) == {"name", "ae_title"}


def test_a_server_needs_a_capability_and_dicomweb_its_address() -> None:
    nothing = a_server(study_root_find_support=False, study_root_get_support=False, store_scp_support=False)
    assert node_rules.server_problems(nothing) == {"capabilities": "the server must support at least one of them."}
    assert "needed" in node_rules.server_problems(a_server(dicomweb_stow_support=True))["dicomweb_root_url"]


@pytest.mark.parametrize(
    ("folder", "field"),
    [
        (a_folder(path="relative"), "path"),
        (a_folder(path="/srv/../etc"), "path"),
        (a_folder(name=" x"), "name"),
        (Folder("x", Path("/x"), quota_gb=0), "quota_gb"),
        (Folder("x", Path("/x"), warn_at_gb=float("nan")), "warn_at_gb"),
        (Folder("x", Path("/x"), warn_at_percent=101), "warn_at_percent"),
    ],
)
def test_a_wrong_field_of_a_folder_is_named(database: Database, folder: Folder, field: str) -> None:
    with pytest.raises(BadRequest, match=rf"^{field}: "):
        nodes.add_folder(database, SETTINGS, STAFF, folder)


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    """An installation with a spool, in which everything is at its usual place."""
    (tmp_path / "data" / "spool" / "workspaces").mkdir(parents=True)
    return some_settings(tmp_path / "data")


OWN = ["", "..", "spool", "spool/scratch", "spool/workspaces/SUBJ-1", "backups", "prefect", "tmp/worker-1", "logs"]
"""Directories that ADIT keeps for itself, below its data directory."""


@pytest.mark.parametrize("below", OWN)
def test_no_folder_is_where_adit_keeps_its_own(database: Database, here: Settings, below: str) -> None:
    path = (here.data_dir / below).resolve()
    with pytest.raises(BadRequest, match=r"^path: it is .* of ADIT|^path: it is where ADIT keeps"):
        nodes.add_folder(database, here, STAFF, Folder("x", path))
    kept = nodes.add_folder(database, here, STAFF, Folder("x", here.data_dir / "studies"))
    with pytest.raises(BadRequest, match=r"^path: "):
        nodes.update(database, here, STAFF, replace(kept, path=path))
    assert nodes.get(database, kept.id) == kept


def test_no_folder_is_the_root_directory(database: Database, here: Settings) -> None:
    with pytest.raises(BadRequest, match=r"^path: "):
        nodes.add_folder(database, here, STAFF, Folder("x", Path("/")))


def test_no_folder_reaches_the_spool_by_a_link(database: Database, here: Settings, tmp_path: Path) -> None:
    (tmp_path / "mnt").symlink_to(here.spool_dir)
    with pytest.raises(BadRequest, match=r"^path: it is where ADIT keeps data in transit"):
        nodes.add_folder(database, here, STAFF, Folder("x", tmp_path / "mnt" / "workspaces"))


def test_no_folder_is_where_the_data_directory_leads_by_a_link(database: Database, tmp_path: Path) -> None:
    (tmp_path / "disk" / "adit").mkdir(parents=True)
    (tmp_path / "data").symlink_to(tmp_path / "disk" / "adit")
    with pytest.raises(BadRequest, match=r"^path: it is where ADIT keeps data in transit"):
        nodes.add_folder(database, some_settings(tmp_path / "data"), STAFF, Folder("x", tmp_path / "disk/adit/spool"))


@pytest.mark.parametrize("place", ["", "mine", "mine/old"])
def test_no_folder_lies_in_or_around_backups_that_are_elsewhere(database: Database, tmp_path: Path, place: str) -> None:
    settings = some_settings(tmp_path / "data", backup_dir=tmp_path / "share" / "mine")
    assert settings.backups_dir == tmp_path / "share" / "mine"
    with pytest.raises(BadRequest, match=r"^path: it is where ADIT keeps backups"):
        nodes.add_folder(database, settings, STAFF, Folder("x", tmp_path / "share" / place))
    nodes.add_folder(database, settings, STAFF, Folder("x", tmp_path / "share" / "studies"))


def test_no_folder_lies_around_a_database_that_is_elsewhere(database: Database, tmp_path: Path) -> None:
    settings = some_settings(tmp_path / "data", database_url=f"sqlite:///{tmp_path}/db/adit.db")
    with pytest.raises(BadRequest, match=r"^path: it is where ADIT keeps its database"):
        nodes.add_folder(database, settings, STAFF, Folder("x", tmp_path / "db"))


def test_a_path_that_does_not_answer_is_refused_and_keeps_nobody_waiting(
    database: Database, here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    comes_back = threading.Event()
    monkeypatch.setattr(own_directories, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(own_directories, "_problem", lambda *_: str(comes_back.wait(20)))
    with pytest.raises(BadRequest, match=r"^path: No answer within 0.1 s. A network share may be gone"):
        nodes.add_folder(database, here, STAFF, Folder("x", Path("/mnt/gone")))
    comes_back.set()


def test_a_folder_whose_share_is_gone_can_be_changed_but_for_its_path(
    database: Database, here: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = nodes.add_folder(database, here, STAFF, Folder("x", tmp_path / "share"))
    monkeypatch.setattr(own_directories, "problem", lambda *_: "No answer within 5 s.")
    changed = nodes.update(database, here, STAFF, replace(kept, quota_gb=5))
    assert isinstance(changed, Folder) and changed.quota_gb == 5
    with pytest.raises(BadRequest, match=r"^path: No answer"):
        nodes.update(database, here, STAFF, replace(changed, path=tmp_path / "other"))


def test_who_may_not_add_a_folder_does_not_learn_what_is_kept_where(database: Database, here: Settings) -> None:
    with pytest.raises(NotPermitted):
        nodes.add_folder(database, here, Actor("ada"), Folder("x", here.spool_dir))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Mon 20:00-06:00", [(0, "20:00", "06:00")]),
        ("mon-wed 8:30 - 12:00", [(day, "08:30", "12:00") for day in (0, 1, 2)]),
        ("Sat-Mon 00:00-00:00", [(day, "00:00", "00:00") for day in (5, 6, 0)]),
    ],
)
def test_windows_are_read_as_people_write_them(text: str, wanted: list[tuple[int, str, str]]) -> None:
    found = windows.parsed(text)
    assert [(window.weekday, f"{window.begin:%H:%M}", f"{window.end:%H:%M}") for window in found] == wanted
    assert windows.problem(found) == ""
    assert [windows.parsed(windows.words(window)) for window in found] == [(window,) for window in found]


@pytest.mark.parametrize("text", ["", "Mon", "Mo 8:00-9:00", "Mon 8-9", "Mon 24:00-06:00", "Mon-Xyz 08:00-09:00"])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match=r"^windows: "):
        windows.parsed(text)


def test_several_windows_of_one_day_are_allowed(database: Database) -> None:
    wanted = (Window(0, time(8), time(12)), Window(0, time(20), time(6)))
    added: Node = nodes.add_server(database, STAFF, a_server(windows=wanted))
    assert isinstance(added, Server) and added.windows == wanted
