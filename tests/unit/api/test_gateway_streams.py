"""Retrievals over real HTTP from a source that is played: what a caller sees, and when, also of what goes wrong."""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from api import liveness, streams
from dicom.deid.engine import Deidentifier
from dicom.deid.identity import heading_of
from dicom.files import nifti
from dicom.files.spool import Spool
from dicom.network import multipart
from dicom.part10 import split_part10
from models.domain.errors import AditError, NoSpace, PeerBusy, ResidueFound, TimedOut, Unreachable
from models.domain.instances import EncodedInstance
from models.domain.nodes import Server
from models.domain.people import Permission
from services import audit
from services.gateway.retrieving import NOT_LISTED
from services.people import accounts, actors, groups, tokens
from tests.installation import DIMSE_GET, TESTER, Installation
from tests.peers import Peer, free_port
from tests.played_source import PlayedSource, play, played_ct
from tests.served_api import ServedApi, served_api

N = 7
RIGHTS = {Permission.WEB_RETRIEVE}
WITHIN_S = 30.0


@pytest.fixture(scope="module")
def an_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    """With one place for retrievals: each test finds it free, so every retrieval before it has given it back."""
    port = free_port()
    directory = tmp_path_factory.mktemp("adit")
    installation = Installation(directory, web_url=f"http://127.0.0.1:{port}", api_retrievals=1)
    with served_api(installation, port) as running:
        yield running


@pytest.fixture(scope="module")
def a_pacs(an_api: ServedApi) -> Server:
    nowhere = Peer("PACS", free_port(), None, Path())  # type: ignore[arg-type]
    return an_api.installation.server(nowhere, **DIMSE_GET)


@pytest.fixture(scope="module")
def a_token(an_api: ServedApi, a_pacs: Server) -> str:
    return an_api.token(an_api.person("ada", RIGHTS, sources=[a_pacs]))


@pytest.fixture(scope="module")
def client(an_api: ServedApi, a_token: str) -> httpx.Client:
    return an_api.client(a_token)


@pytest.fixture
def a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlayedSource:
    return play(monkeypatch, played_ct(tmp_path / "ct"))


def path(source: PlayedSource, form: str = "", pseudonym: str = "SUBJ-01") -> str:
    return f"PACS/wadors/studies/{source.study.study_uid}{form}?pseudonym={pseudonym}"


def parts(answer: httpx.Response, directory: Path) -> Iterator[memoryview]:
    boundary = multipart.boundary_of(answer.headers["content-type"])
    return multipart.parts(iter([answer.read()]), boundary, directory)


def is_told(api: ServedApi, outcome: str) -> bool:
    """Wait for the line of a retrieval that nobody waits for any more."""
    end = time.monotonic() + WITHIN_S
    while time.monotonic() < end:
        if audit.entries(api.installation.db, TESTER, limit=1)[0].outcome == outcome:
            return True
        time.sleep(0.02)
    return False


def test_every_instance_is_a_part_of_its_own_and_the_receipt_the_last_if_wanted(
    client: httpx.Client, a_source: PlayedSource, tmp_path: Path
) -> None:
    answer = client.get(path(a_source), headers={"x-adit-receipt": "part"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith('multipart/related; type="application/dicom"; boundary=')
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-store", "no")
    *files, receipt = parts(answer, tmp_path)
    assert {heading_of(split_part10(file)).patient_id for file in files} == {"SUBJ-01"}
    assert json.loads(bytes(receipt)) == {"expected": N, "sent": N, "left_out": {}}
    assert len(list(parts(client.get(path(a_source)), tmp_path))) == len(files) == N


def test_the_first_bytes_are_sent_before_the_last_instance_has_arrived(
    client: httpx.Client, a_source: PlayedSource
) -> None:
    may_go_on = threading.Event()
    a_source.before = lambda number: None if not number else _wait(may_go_on)
    for form in ("", "/metadata"):
        may_go_on.clear()
        a_source.sent = 0
        with client.stream("GET", path(a_source, form)) as answer:
            pieces = answer.iter_raw()
            assert next(pieces)
            assert a_source.sent <= 1
            may_go_on.set()
            assert b"".join(pieces)
        assert a_source.sent == N


def _wait(event: threading.Event) -> None:
    assert event.wait(WITHIN_S)


def test_metadata_is_one_array_without_pixels(client: httpx.Client, a_source: PlayedSource) -> None:
    answer = client.get(path(a_source, "/metadata"))
    assert answer.headers["content-type"] == "application/dicom+json"
    found = answer.json()
    assert len(found) == N
    assert {item["00100020"]["Value"][0] for item in found} == {"SUBJ-01"}
    assert not any(tag.startswith("7FE0") for item in found for tag in item)


def test_what_is_missing_in_metadata_is_told_by_its_last_object_for_who_wants_it(
    client: httpx.Client, a_source: PlayedSource
) -> None:
    a_source.unlisted = frozenset({a_source.instances[2].sop_uid})
    found = client.get(path(a_source, "/metadata"), headers={"x-adit-receipt": "part"}).json()
    *items, receipt = found
    assert (receipt["expected"], receipt["sent"], list(receipt["left_out"].values())) == (N - 1, N - 1, [NOT_LISTED])
    assert len(items) == N - 1 and all("00080018" in item for item in items)


def test_what_is_missing_in_volumes_is_told_by_a_warning(client: httpx.Client, a_source: PlayedSource) -> None:
    a_source.unlisted = frozenset({a_source.instances[2].sop_uid})
    answer = client.get(path(a_source, "/nifti"))
    assert answer.status_code == 200
    assert f"Left out: 1 instance. 1 x {NOT_LISTED}" in answer.headers["warning"]


def test_a_conversion_that_leaves_too_little_room_on_the_disk_is_ended(
    client: httpx.Client, an_api: ServedApi, a_source: PlayedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[int] = []

    def check_room(spool: Spool, needed_bytes: int, reserve_bytes: int = 0) -> None:
        checked.append(needed_bytes)
        if not needed_bytes:
            raise NoSpace

    monkeypatch.setattr(Spool, "check_room", check_room)
    monkeypatch.setattr(nifti, "_command", lambda *_: ["/usr/bin/env", "python3", "-c", "import time; time.sleep(600)"])
    answer = client.get(path(a_source, "/nifti"))
    assert (answer.status_code, checked[-1], len(checked)) == (507, 0, N + 1)
    assert an_api.installation.leftovers() == []


@pytest.mark.parametrize(
    ("error", "status"),
    [(Unreachable(), 502), (TimedOut(), 504), (PeerBusy(), 503), (NoSpace(), 507)],
    ids=lambda value: getattr(value, "code", value),
)
@pytest.mark.parametrize("form", ["", "/metadata", "/nifti"])
def test_a_failure_before_the_first_instance_has_its_status(
    client: httpx.Client, a_source: PlayedSource, error: AditError, status: int, form: str
) -> None:
    a_source.before = lambda number: _raise(error)
    answer = client.get(path(a_source, form))
    assert (answer.status_code, answer.json()["code"]) == (status, error.code)
    assert answer.headers["content-type"] == "application/problem+json"


def _raise(error: AditError) -> None:
    raise error


def fail_late(source: PlayedSource, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the retrieval fail when most of it has been sent."""
    if how == "source":
        source.before = lambda number: _raise(TimedOut()) if number == N - 1 else None
    elif how == "short":
        source.withheld.add(source.instances[-1].sop_uid)
    else:
        treat, last = Deidentifier.instance, source.instances[-1].sop_uid

        def leaky(self: Deidentifier, instance: EncodedInstance) -> EncodedInstance:
            if instance.sop_uid == last:
                raise ResidueFound
            return treat(self, instance)

        monkeypatch.setattr(Deidentifier, "instance", leaky)


@pytest.mark.parametrize("how", ["source", "short", "residue"])
@pytest.mark.parametrize("form", ["", "/metadata"])
def test_a_later_failure_breaks_the_connection_off_so_that_no_half_is_taken_for_the_whole(
    client: httpx.Client, a_source: PlayedSource, monkeypatch: pytest.MonkeyPatch, form: str, how: str
) -> None:
    fail_late(a_source, how, monkeypatch)
    received = b""
    holding, tail = threading.Event(), a_source.before
    a_source.before = lambda number: (_wait(holding) if number == N - 1 else None, tail(number))[1]
    if how == "short":
        a_source.before = lambda number: _wait(holding) if number == N - 2 else None
    with pytest.raises(httpx.RemoteProtocolError), client.stream("GET", path(a_source, form)) as answer:
        assert answer.status_code == 200
        for piece in answer.iter_raw():
            received += piece
            holding.set()
    assert received
    assert not received.rstrip().endswith((b"--", b"]"))


@pytest.mark.parametrize("how", ["source", "short", "residue"])
def test_nifti_is_never_made_of_a_half(
    client: httpx.Client, an_api: ServedApi, a_source: PlayedSource, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    fail_late(a_source, how, monkeypatch)
    statuses = {"source": 504, "short": 502, "residue": 409}
    assert client.get(path(a_source, "/nifti")).status_code == statuses[how]
    assert an_api.installation.leftovers() == []


def test_a_caller_who_hangs_up_ends_the_retrieval_at_the_source_at_once(
    client: httpx.Client, an_api: ServedApi, a_source: PlayedSource
) -> None:
    a_source.before = lambda number: a_source.wait() if number == 2 else None
    with client.stream("GET", path(a_source)) as answer:
        next(answer.iter_raw())
    assert a_source.aborted.wait(WITHIN_S)
    assert is_told(an_api, "Canceled")


def test_a_caller_who_hangs_up_before_the_first_instance_does_so_too(
    an_api: ServedApi, a_token: str, a_source: PlayedSource
) -> None:
    begun = threading.Event()
    a_source.before = lambda number: (begun.set(), a_source.wait())[1]
    connection = asking(an_api, a_token, path(a_source))
    assert begun.wait(WITHIN_S)
    connection.close()
    assert a_source.aborted.wait(WITHIN_S)
    assert is_told(an_api, "Canceled")


def asking(api: ServedApi, token: str, path: str) -> socket.socket:
    """A connection on which a request was sent and nothing is read; it takes little on its own."""
    host, _, port = api.url.removeprefix("http://").removesuffix("/api").partition(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((host, int(port)))
    lines = (f"GET /api/dicom-web/{path} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {token}", "", "")
    connection.sendall("\r\n".join(lines).encode())
    return connection


def test_a_caller_who_reads_nothing_for_a_minute_is_not_waited_for(
    an_api: ServedApi, a_token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LONGEST_REST_S", 0.3)
    source = play(monkeypatch, played_ct(tmp_path / "large", (16,), 1024))
    with asking(an_api, a_token, path(source)):
        assert is_told(an_api, "TimedOut")
    assert source.opened == source.closed


def test_a_token_that_is_revoked_gets_nothing_more(
    an_api: ServedApi, a_pacs: Server, a_source: PlayedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "LOOK_EVERY_S", 0.05)
    db = an_api.installation.db
    mallory = an_api.person("mallory", RIGHTS, sources=[a_pacs])
    client = an_api.client(an_api.token(mallory))
    a_source.before = lambda number: a_source.wait() if number == 3 else None
    with pytest.raises(httpx.RemoteProtocolError), client.stream("GET", path(a_source)) as answer:
        next(pieces := answer.iter_raw())
        actor = actors.of_name(db, "mallory")
        tokens.revoke(db, actor, tokens.list(db, actor)[0].id)
        list(pieces)
    assert is_told(an_api, "NotPermitted")
    assert client.get(path(a_source)).status_code == 401


@pytest.mark.parametrize(
    ("lost", "status"),
    [("right", 403), ("identity", 403), ("source", 404), ("membership", 403), ("account", 401)],
)
def test_who_loses_in_the_middle_what_a_retrieval_needs_gets_nothing_more(
    an_api: ServedApi, a_pacs: Server, a_source: PlayedSource, monkeypatch: pytest.MonkeyPatch, lost: str, status: int
) -> None:
    monkeypatch.setattr(liveness, "LOOK_EVERY_S", 0.05)
    db = an_api.installation.db
    user = an_api.person(f"loser-{lost}", RIGHTS | {Permission.SELECTIVE_UNPSEUDONYMIZED}, sources=[a_pacs])
    group = next(group for group in groups.list(db, TESTER) if user.id in group.members)
    less = {
        "right": replace(group, permissions=group.permissions - {Permission.WEB_RETRIEVE}),
        "identity": replace(group, permissions=group.permissions - {Permission.SELECTIVE_UNPSEUDONYMIZED}),
        "source": replace(group, nodes=frozenset()),
        "membership": replace(group, members=frozenset()),
    }
    client, wanted = an_api.client(an_api.token(user)), path(a_source).partition("?")[0]
    a_source.before = lambda number: a_source.wait() if number == 3 else None
    with pytest.raises(httpx.RemoteProtocolError), client.stream("GET", wanted) as answer:
        next(pieces := answer.iter_raw())
        if lost == "account":
            accounts.deactivate(db, TESTER, user.id)
        else:
            groups.update(db, TESTER, less[lost])
        list(pieces)
    assert is_told(an_api, "NotPermitted")
    assert client.get(wanted).status_code == status


@pytest.mark.parametrize("form", ["", "/nifti"])
def test_a_token_that_is_revoked_gets_nothing_more_of_what_is_there_already(
    an_api: ServedApi, a_pacs: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    has_looked, looked = threading.Event(), tokens.is_alive

    def look(*arguments: object) -> bool:
        is_alive = looked(*arguments)  # type: ignore[arg-type]
        if not is_alive:
            has_looked.set()
        return is_alive

    monkeypatch.setattr(liveness, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(tokens, "is_alive", look)
    db, name = an_api.installation.db, f"oscar{len(form)}"
    token = an_api.token(an_api.person(name, RIGHTS, sources=[a_pacs]))
    source = play(monkeypatch, played_ct(tmp_path / "large", (12,) if form else (1,), 1024 if form else 4096))
    with asking(an_api, token, path(source, form)) as connection:
        received = connection.recv(100)
        assert received.startswith(b"HTTP/1.1 200")
        actor = actors.of_name(db, name)
        tokens.revoke(db, actor, tokens.list(db, actor)[0].id)
        assert has_looked.wait(WITHIN_S)
        while piece := connection.recv(1 << 20):
            received = received[-100:] + piece
    assert not received.endswith(b"0\r\n\r\n")
    assert is_told(an_api, "NotPermitted")


def test_two_beyond_the_limit_are_told_when_to_come_again(
    client: httpx.Client, an_api: ServedApi, a_token: str, a_source: PlayedSource
) -> None:
    may_go_on = threading.Event()
    a_source.before = lambda number: _wait(may_go_on) if number == 1 else None
    with client.stream("GET", path(a_source)) as answer:
        for form in ("", "/nifti"):
            refused = an_api.client(a_token).get(path(a_source, form))
            assert (refused.status_code, refused.json()["code"]) == (503, "PeerBusy")
            assert int(refused.headers["retry-after"]) > 0
        may_go_on.set()
        assert answer.read()
    assert [client.get(path(a_source)).status_code for _ in range(5)] == [200] * 5, "one after the other all are served"


@pytest.mark.parametrize(
    ("form", "accept", "status"),
    [
        ("", "*/*", 200),
        ("", "multipart/related", 200),
        ("", 'multipart/related; type="application/dicom"', 200),
        ("", "multipart/related; type=application/dicom; transfer-syntax=*", 200),
        ("", 'image/png, multipart/related; type="application/dicom"; transfer-syntax=*;q=0.5', 200),
        ("", 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.50', 406),
        ("", 'multipart/related; type="image/jpeg"', 406),
        ("", "application/dicom", 406),
        ("", "*/*;q=0", 406),
        ("/metadata", "application/dicom+json", 200),
        ("/metadata", "application/dicom+json, application/json", 200),
        ("/metadata", 'multipart/related; type="application/dicom+xml"', 406),
        ("/nifti", 'multipart/related; type="application/octet-stream"', 200),
        ("/nifti", "application/json", 406),
    ],
)
def test_only_what_can_be_answered_is_accepted(
    client: httpx.Client, a_source: PlayedSource, form: str, accept: str, status: int
) -> None:
    assert client.get(path(a_source, form), headers={"accept": accept}).status_code == status
    assert client.get(path(a_source, form), params={"pseudonym": "A", "accept": accept}).status_code == status


@pytest.mark.parametrize("form", ["", "/metadata", "/nifti"])
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("pseudonym=a*b", "pseudonym"),
        ("pseudonym=a%5Cb", "pseudonym"),
        ("pseudonym=", "pseudonym"),
        (f"pseudonym={'a' * 65}", "pseudonym"),
        ("pseudonym=a&pseudonym=b", "pseudonym"),
        ("pseudonym=a&trial_protocol_id=%00", "trial_protocol_id"),
        ("pseudonym=a&profile=nothing", "profile"),
        ("pseudonim=a", "query"),
    ],
)
def test_a_parameter_that_cannot_be_is_told_and_nothing_is_asked(
    client: httpx.Client, a_source: PlayedSource, form: str, query: str, field: str
) -> None:
    answer = client.get(f"PACS/wadors/studies/{a_source.study.study_uid}{form}?{query}")
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]
    assert "pseudonim" not in answer.text
    assert a_source.opened == 0


@pytest.mark.parametrize("form", ["", "/metadata", "/nifti"])
def test_without_a_pseudonym_and_the_right_to_see_identities_there_is_nothing(
    client: httpx.Client, a_source: PlayedSource, form: str
) -> None:
    answer = client.get(f"PACS/wadors/studies/{a_source.study.study_uid}{form}")
    assert answer.status_code == 403
    assert "pseudonym" in answer.json()["detail"]
    assert a_source.opened == 0


def test_volumes_are_parts_with_names_that_tell_nothing_and_leave_no_file_behind(
    client: httpx.Client, an_api: ServedApi, a_source: PlayedSource, tmp_path: Path
) -> None:
    answer = client.get(path(a_source, "/nifti"))
    assert answer.status_code == 200, answer.text
    names = [line.split('"')[1] for line in answer.content.decode("latin-1").split("\r\n") if "filename=" in line]
    assert names == ["series-001.json", "series-001.nii.gz", "series-002.json", "series-002.nii.gz"]
    description, volume, *_ = parts(answer, tmp_path)
    assert json.loads(bytes(description))["Modality"] == "CT"
    assert bytes(volume[:2]) == b"\x1f\x8b"
    assert a_source.study.patient_id.encode() not in answer.content
    assert an_api.installation.leftovers() == []


def test_a_caller_who_hangs_up_ends_the_conversion_and_its_files_are_gone(
    an_api: ServedApi, a_token: str, a_source: PlayedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeping = "import time; time.sleep(600)"
    begun, command = threading.Event(), nifti._command

    def endless(*arguments: object) -> list[str]:
        begun.set()
        assert command(*arguments)  # type: ignore[arg-type]
        return ["/usr/bin/env", "python3", "-c", sleeping]

    monkeypatch.setattr(nifti, "_command", endless)
    connection = asking(an_api, a_token, path(a_source, "/nifti"))
    assert begun.wait(WITHIN_S)
    connection.close()
    assert is_told(an_api, "Canceled")
    assert an_api.installation.leftovers() == []


def test_no_log_names_the_patient_the_study_or_the_pseudonym(
    client: httpx.Client, a_source: PlayedSource, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        client.get(path(a_source))
        fail_late(a_source, "residue", monkeypatch)
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(path(a_source))
    ours = "\n".join(one.getMessage() for one in caplog.records if not one.name.startswith(("httpx", "httpcore")))
    ours += "\n".join(str(one.exc_info) for one in caplog.records if one.exc_info)
    study = a_source.study
    assert not [value for value in ("SUBJ-01", study.study_uid, study.patient_id, study.patient_name) if value in ours]
