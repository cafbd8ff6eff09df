"""The server that is spoken to: its address, the token, whose certificates are trusted, and how long to wait."""

from __future__ import annotations

import ipaddress
import ssl
import urllib.request
import warnings
from dataclasses import dataclass, field
from importlib import metadata
from os import PathLike

import httpx

from adit_client.calls import Call
from adit_client.errors import BadArgument, InsecureConnection

Verify = bool | str | PathLike[str] | ssl.SSLContext

__version__ = metadata.version("adit-client")
USER_AGENT = f"python-adit_client/{__version__}"

_CONNECT_S = 15.0
SILENCE_S = 300.0
"""How long a server may be silent: it may wait for an archive that lists a large study before it begins to send."""


@dataclass(frozen=True)
class Server:
    """Where calls go. Its text does not show the token."""

    url: str
    token: str = field(repr=False)
    verify: Verify = True
    timeout_s: float | None = SILENCE_S
    """How long the server may be silent; None: for ever."""

    @classmethod
    def of(cls, url: str, token: str, verify: Verify, timeout_s: float | None) -> Server:
        """The server at an address as people write it; raises BadArgument, warns of an unencrypted connection."""
        if timeout_s is not None and timeout_s <= 0:
            raise BadArgument("timeout_s: it must be positive, or None.")
        return cls(_address(url), _token(token), verify, timeout_s)

    def request(self, call: Call, content: httpx.SyncByteStream | httpx.AsyncByteStream) -> httpx.Request:
        """The request of a call, with the token; it is never passed on to another address."""
        address = httpx.URL(self.url + call.target)
        headers = {
            "Host": address.netloc.decode("ascii"),
            "Authorization": f"Token {self.token}",
            "User-Agent": USER_AGENT,
            "Accept-Encoding": "identity",
        }
        return httpx.Request(
            call.method,
            address,
            headers={**headers, **call.headers},
            stream=content,
            extensions={"timeout": self._timeout().as_dict()},
        )

    def _timeout(self) -> httpx.Timeout:
        connect_s = _CONNECT_S if self.timeout_s is None else min(self.timeout_s, _CONNECT_S)
        return httpx.Timeout(self.timeout_s, connect=connect_s)

    def tls(self) -> ssl.SSLContext | bool:
        """How the server's certificate is checked; raises BadArgument for a file that cannot be read."""
        if isinstance(self.verify, (bool, ssl.SSLContext)):
            return self.verify
        try:
            return ssl.create_default_context(cafile=str(self.verify))
        except (OSError, ssl.SSLError) as error:
            raise BadArgument("verify: the file of certificates cannot be read.") from error

    def proxy(self) -> str | None:
        """The proxy that the environment names for this server."""
        url = httpx.URL(self.url)
        if urllib.request.proxy_bypass(url.host):
            return None
        proxies = urllib.request.getproxies()
        found = proxies.get(url.scheme) or proxies.get("all")
        return found if found is None or "://" in found else f"http://{found}"


def named_once(first: str, value: str, second: str, other: str) -> str:
    """The value of an argument that has two names; raises TypeError when it is given under both or none."""
    if bool(value) == bool(other):
        raise TypeError(f"AditClient() needs {first} or {second}" + (", not both" if value else ""))
    return value or other


def _address(text: str) -> str:
    try:
        url = httpx.URL(text.strip())
    except httpx.InvalidURL as error:
        raise BadArgument("The address of the server is not valid.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise BadArgument("The address of the server must begin with https:// (or http://) and name a host.")
    if url.userinfo or url.query or url.fragment:
        raise BadArgument("The address of the server must have no user, query or fragment.")
    if url.scheme == "http" and not _is_loopback(url.host):
        message = "The token and all data travel unencrypted. Use https:// for a server on another machine."
        warnings.warn(message, InsecureConnection, stacklevel=4)
    return str(url).rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _token(text: str) -> str:
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise BadArgument("The token must be given as the server has shown it.")
    return token
