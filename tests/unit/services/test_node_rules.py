"""Administrators set nodes up; every wrong field is named."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from models.db.engine import Database
from models.domain.errors import BadRequest, NotPermitted
from models.domain.nodes import Folder, Timeouts, Tls
from models.domain.people import Actor, operator
from services import nodes
from tests.samples import a_folder, a_server

STAFF = operator("admin")
WEB = {"dicomweb_root_url": "https://pacs.example.org:8042/dicom-web", "dicomweb_qido_support": True}


def test_staff_may_add_change_and_delete_nodes(database: Database) -> None:
    server = nodes.add_server(database, STAFF, a_server(**WEB))
    folder = nodes.add_folder(database, STAFF, a_folder())
    assert nodes.list(database) == (server, folder)
    changed = replace(server, port=11112)
    nodes.update(database, STAFF, changed)
    assert nodes.get(database, server.id) == changed == nodes.by_name(database, "PACS")
    nodes.delete(database, STAFF, folder.id)
    assert nodes.list(database) == (changed,)


def test_others_may_not(database: Database) -> None:
    user = Actor("ada")
    for forbidden in (
        lambda: nodes.add_server(database, user, a_server()),
        lambda: nodes.add_folder(database, user, a_folder()),
        lambda: nodes.update(database, user, a_server()),
        lambda: nodes.delete(database, user, 1),
    ):
        with pytest.raises(NotPermitted):
            forbidden()


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
        ("association_budget", 0),
        ("store_associations", 0),
    ],
)
def test_a_wrong_field_of_a_server_is_named(database: Database, field: str, value: object) -> None:
    with pytest.raises(BadRequest, match=rf"^{field}: ") as raised:
        nodes.add_server(database, STAFF, a_server(**{field: value}))
    assert "pw" not in raised.value.message


def test_several_wrong_fields_are_all_named(database: Database) -> None:
    with pytest.raises(BadRequest, match=r"(?s)name: .*host: .*port: "):
        nodes.add_server(database, STAFF, a_server(name="", host="", port=0))


def test_a_server_needs_a_capability_and_dicomweb_its_address() -> None:
    nothing = a_server(study_root_find_support=False, study_root_get_support=False, store_scp_support=False)
    assert nodes.server_problems(nothing) == ("capabilities: the server must support at least one of them.",)
    assert nodes.server_problems(a_server(dicomweb_stow_support=True))[0].startswith("dicomweb_root_url: needed")


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
        nodes.add_folder(database, STAFF, folder)
