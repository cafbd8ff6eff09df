"""Servers and folders come back as they were kept, and names stay unique."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import time, timedelta
from pathlib import Path
from threading import Barrier

import pytest

from models.db.engine import Database
from models.db.nodes import NodeStore
from models.domain.errors import BadRequest, NotFound, Outdated, WrongState
from models.domain.nodes import BudgetRule, Folder, Server, Timeouts, Tls, Window
from tests.samples import a_folder, a_server, add_job

FULL_SERVER = a_server(
    "FULL",
    patient_root_find_support=True,
    patient_root_get_support=True,
    patient_root_move_support=True,
    study_root_move_support=True,
    dicomweb_root_url="https://pacs.example.org/dicom-web",
    dicomweb_qido_support=True,
    dicomweb_wado_support=True,
    dicomweb_stow_support=True,
    dicomweb_qido_prefix="q",
    dicomweb_wado_prefix="w",
    dicomweb_stow_prefix="s",
    dicomweb_authorization_header="Basic Zm9v",
    tls=Tls("/etc/ca.pem", "/etc/cert.pem", "/etc/key.pem", check_hostname=False),
    timeouts=Timeouts(timedelta(seconds=1.5), timedelta(seconds=2), timedelta(seconds=3), timedelta(seconds=4)),
    association_budget=3,
    store_associations=1,
    max_search_results=50,
    windows=(Window(0, time(20), time(6, 30)), Window(5, time(0), time(0))),
    budget_rules=(BudgetRule(Window(0, time(20), time(6, 30)), 12), BudgetRule(Window(5, time(0), time(0)), 2)),
)


@pytest.mark.parametrize(
    "node",
    [
        a_server(),
        FULL_SERVER,
        replace(FULL_SERVER, tls=Tls()),
        a_folder(),
        Folder("big", Path("/srv/big"), quota_gb=10.5, warn_at_gb=8, warn_at_percent=90),
    ],
)
def test_every_field_of_a_node_comes_back(database: Database, node: Folder) -> None:
    store = NodeStore(database)
    added = store.add(node)
    assert added == replace(node, id=added.id)
    assert store.get(added.id) == added == store.by_name(node.name)


def test_a_server_is_found_by_its_ae_title(database: Database) -> None:
    store = NodeStore(database)
    added = store.add(FULL_SERVER)
    assert store.by_ae_title(f" {FULL_SERVER.ae_title} ") == added
    with pytest.raises(NotFound):
        store.by_ae_title("NOBODY")


def test_an_update_replaces_every_field_and_keeps_the_id(database: Database) -> None:
    store = NodeStore(database)
    added = store.add(FULL_SERVER)
    changed = store.update(a_server("NEW", id=added.id))
    assert changed == store.get(added.id) == a_server("NEW", id=added.id, version=2)


def test_an_update_of_an_older_version_is_refused(database: Database) -> None:
    store = NodeStore(database)
    added = store.add(a_server())
    store.update(replace(added, port=105))
    with pytest.raises(Outdated):
        store.update(replace(added, port=106))
    kept = store.get(added.id)
    assert isinstance(kept, Server) and kept.port == 105


def test_of_two_updates_at_once_one_is_refused(database: Database) -> None:
    """Both have read the row in their transaction before either writes."""
    store = NodeStore(database)
    added = store.add(a_server())
    together = Barrier(2)

    def change(port: int) -> str:
        together.wait()
        try:
            with database.transaction():
                store.get(added.id)
                store.update(replace(added, port=port))
        except Outdated:
            return "outdated"
        return "done"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(change, (105, 106))) == ["done", "outdated"]


def test_without_credentials_nothing_is_decrypted(database: Database) -> None:
    store = NodeStore(database)
    added = store.add(FULL_SERVER)
    bare = replace(added, dicomweb_authorization_header="")
    assert store.get(added.id, with_credentials=False) == bare
    assert store.list(with_credentials=False) == (bare,)
    store.add(a_server())
    store.add(a_folder())
    assert store.with_authorization() == {added.id}


def test_names_and_ae_titles_are_unique(database: Database) -> None:
    store = NodeStore(database)
    first, second = store.add(a_server("ONE")), store.add(a_server("TWO"))
    with pytest.raises(BadRequest, match=r"name: .* ae_title: "):
        store.add(a_server("ONE"))
    with pytest.raises(BadRequest, match="name: "):
        store.add(a_folder("ONE"))
    with pytest.raises(BadRequest, match="ae_title: "):
        store.update(replace(second, ae_title=first.ae_title))
    assert store.update(second) == replace(second, version=2)


def test_a_server_cannot_become_a_folder(database: Database) -> None:
    store = NodeStore(database)
    added = store.add(a_server())
    with pytest.raises(BadRequest):
        store.update(replace(a_folder(), id=added.id))


def test_the_list_has_servers_before_folders_by_name(database: Database) -> None:
    store = NodeStore(database)
    for node in (a_folder("a"), a_server("Z"), a_server("B")):
        store.add(node)
    assert [node.name for node in store.list()] == ["B", "Z", "a"]


def test_a_node_that_jobs_name_cannot_be_deleted(database: Database) -> None:
    store = NodeStore(database)
    job = add_job(database)
    unused = store.add(a_server("UNUSED"))
    for node in store.list():
        if node.id != unused.id:
            with pytest.raises(WrongState):
                store.delete(node.id)
    store.delete(unused.id)
    with pytest.raises(NotFound):
        store.get(unused.id)
    assert job.id


def test_unknown_nodes_are_not_found(database: Database) -> None:
    store = NodeStore(database)
    for question in (
        lambda: store.get(1),
        lambda: store.by_name("x"),
        lambda: store.delete(1),
    ):
        with pytest.raises(NotFound):
            question()
    with pytest.raises(NotFound):
        store.update(a_server(id=4711))
