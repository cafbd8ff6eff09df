"""Which addresses webhooks may have, as they are entered and as their names resolve when something is sent.

Whoever may enter an address must not reach by it what only this machine reaches: the metadata services of clouds, and
what is behind link-local addresses. Names are resolved once and the request goes to what was looked at, so that a name
cannot lead elsewhere in between.
"""

import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import httpx

from models.domain.errors import NotPermitted, Unreachable
from models.settings import Settings

Address = IPv4Address | IPv6Address

LONGEST_URL = 2000
_PORTS = {"https": 443, "http": 80}
_PORTS_END = 65_536
_STRANGE = re.compile(r"[^!-~]")
_NOT_TO_BE_REACHED = frozenset(
    map(ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
"""Metadata services of clouds that are not behind link-local addresses."""
_NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an address leads: what was resolved and looked at. ``host`` is the name for TLS and the Host header."""

    url: httpx.URL
    host: str
    addresses: tuple[Address, ...]

    def pinned(self, address: Address) -> httpx.URL:
        """The same URL with one of its addresses in place of the name."""
        return self.url.copy_with(host=str(address))

    @property
    def host_header(self) -> str:
        """Host and port as the listener expects to read them."""
        return self.url.netloc.decode("ascii")


def problem(settings: Settings, url: str) -> str:
    """What is wrong with an address that somebody enters, in a sentence; empty when nothing is. Resolves no name."""
    if not url or len(url) > LONGEST_URL or _STRANGE.search(url):
        return f"An address of 1 to {LONGEST_URL} characters is needed, without blanks and letters with accents."
    try:
        parts = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError):
        return "This is not an address such as https://listener.example/adit."
    if parts.scheme not in _PORTS or not parts.host:
        return "An address that begins with https:// is needed."
    if parts.port is not None and not 0 < parts.port < _PORTS_END:
        return "Its port must be between 1 and 65535."
    if parts.userinfo or parts.fragment:
        return "An address without user, password and fragment is needed; the secret signs what is sent."
    if parts.scheme == "http" and not _may_be_plain(settings, parts.host):
        return "http:// is for this machine and the hosts of ADIT_WEBHOOK_HTTP_HOSTS only; take https://."
    literal = _literal(parts.host)
    return "" if literal is None else _problem_of(literal)


def resolved(settings: Settings, url: str) -> Place:
    """Where an address leads now. Takes as long as the resolver of this machine.

    Raises Unreachable when its name has no address, NotPermitted when it may not be used, or leads to what nobody may
    reach.
    """
    if found := problem(settings, url):
        raise NotPermitted(found)
    parts = httpx.URL(url)
    port = parts.port or _PORTS[parts.scheme]
    try:
        answers = socket.getaddrinfo(parts.host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unreachable("Its host name has no address.") from None
    addresses = tuple(dict.fromkeys(ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers))
    for address in addresses:
        if found := _problem_of(address):
            raise NotPermitted(found)
    if parts.scheme == "http" and not _is_allowed(settings, parts.host) and not all(map(_is_loopback, addresses)):
        raise NotPermitted("Its host name leads to another machine, and http:// is for this one.")
    return Place(parts, parts.host, addresses)


def _may_be_plain(settings: Settings, host: str) -> bool:
    literal = _literal(host)
    return _is_allowed(settings, host) or host == "localhost" or (literal is not None and _is_loopback(literal))


def _is_allowed(settings: Settings, host: str) -> bool:
    return host.lower() in settings.webhook_http_hosts


def _problem_of(address: Address) -> str:
    meant = _meant(address)
    if _is_loopback(meant):
        return ""
    if (
        meant.is_link_local
        or meant.is_multicast
        or meant.is_unspecified
        or meant.is_reserved
        or meant in _NOT_TO_BE_REACHED
        or (isinstance(meant, IPv6Address) and meant.teredo is not None)
    ):
        return (
            "It leads to an address to which nothing may be sent (link-local, metadata, multicast, Teredo or reserved)."
        )
    return ""


def _is_loopback(address: Address) -> bool:
    return _meant(address).is_loopback


def _meant(address: Address) -> Address:
    """The IPv4 address that is dressed up as one of IPv6, or else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
