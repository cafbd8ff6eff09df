"""Webhooks lead to other machines by TLS, to this one also without, and never to what only clouds and links have."""

import socket
from pathlib import Path
from typing import Any

import pytest

from models.domain.errors import NotPermitted, Unreachable
from models.settings import Settings
from services.webhooks import addresses
from tests.samples import some_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return some_settings(tmp_path, webhook_http_hosts="automation.clinic.example, 10.0.0.7")


def lead(monkeypatch: pytest.MonkeyPatch, *found: str) -> None:
    """Let every name have these addresses."""

    def answer(host: str, port: int, **_options: Any) -> list[Any]:
        if not found:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


@pytest.mark.parametrize(
    "url",
    [
        "https://listener.example/adit",
        "https://listener.example:8443/a/b?token=x",
        "https://10.1.2.3/",
        "https://[2001:db8::7]:8443/",
        "http://127.0.0.1:5678/webhook",
        "http://localhost:5678/",
        "http://[::1]/",
        "http://automation.clinic.example/x",
        "http://AUTOMATION.clinic.example/x",
        "http://10.0.0.7:5678/",
    ],
)
def test_addresses_that_are_fine(settings: Settings, url: str) -> None:
    assert addresses.problem(settings, url) == ""


@pytest.mark.parametrize(
    "url",
    [
        "",
        "listener.example",
        "ftp://listener.example/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://listener.example/ a",
        "https://listener.example/\r\nHost: evil",
        "https://ada:secret@listener.example/",
        "https://listener.example/#part",
        "https://listener.example:99999/",
        "https://" + "a" * 2000,
        "http://listener.example/",
        "http://10.0.0.8/",
        "http://localhost.evil.example/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[fe80::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[2002:a9fe:a9fe::]/",
        "https://[fd00:ec2::254]/",
        "https://[2001:0:a9fe:a9fe::]/",
        "https://100.100.100.200/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
    ],
)
def test_addresses_that_are_refused_as_they_are_entered(settings: Settings, url: str) -> None:
    assert addresses.problem(settings, url)


def test_a_name_is_looked_at_as_it_resolves_and_the_request_goes_there(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead(monkeypatch, "10.1.2.3", "10.1.2.4")
    place = addresses.resolved(settings, "https://listener.example:8443/adit?x=1")
    assert [str(place.pinned(each)) for each in place.addresses] == [
        "https://10.1.2.3:8443/adit?x=1",
        "https://10.1.2.4:8443/adit?x=1",
    ]
    assert (place.host, place.host_header) == ("listener.example", "listener.example:8443")
    lead(monkeypatch, "2001:db8::7")
    place = addresses.resolved(settings, "https://listener.example/adit")
    assert [str(place.pinned(each)) for each in place.addresses] == ["https://[2001:db8::7]/adit"]


@pytest.mark.parametrize(
    "found",
    [
        ["169.254.169.254"],
        ["10.1.2.3", "169.254.169.254"],
        ["fe80::1%eth0"],
        ["::ffff:169.254.169.254"],
        ["0.0.0.0"],
        ["::"],
        ["fd00:ec2::254"],
    ],
)
def test_a_name_that_leads_where_nobody_may_reach_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, found: list[str]
) -> None:
    lead(monkeypatch, *found)
    with pytest.raises(NotPermitted, match="nothing may be sent"):
        addresses.resolved(settings, "https://listener.example/adit")


def test_plain_http_stays_on_this_machine_whatever_its_name_is_made_to_mean(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead(monkeypatch, "10.1.2.3")
    with pytest.raises(NotPermitted, match="another machine"):
        addresses.resolved(settings, "http://localhost:5678/")
    assert addresses.resolved(settings, "http://automation.clinic.example/").addresses
    lead(monkeypatch, "127.0.0.1", "::1")
    assert len(addresses.resolved(settings, "http://localhost:5678/").addresses) == 2


def test_a_name_without_address_is_out_of_reach(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    lead(monkeypatch)
    with pytest.raises(Unreachable):
        addresses.resolved(settings, "https://listener.example/")


def test_an_address_that_is_not_allowed_any_more_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lead(monkeypatch, "10.0.0.7")
    with pytest.raises(NotPermitted, match="ADIT_WEBHOOK_HTTP_HOSTS"):
        addresses.resolved(some_settings(tmp_path), "http://automation.clinic.example/x")
