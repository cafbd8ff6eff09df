"""Headers: what browsers are told to forbid, and where a request says that it comes from."""

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders

from models.settings import Settings
from ui import addresses

_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""Measured with tables, charts, dialogs and uploads of Streamlit 1.67: no inline script is needed."""

_SECURITY = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-robots-tag": "noindex",
}


def add_security(headers: MutableHeaders, path: str, settings: Settings) -> None:
    """Add what an answer lacks. Only programs and pictures, which are the same for everybody, may be kept."""
    for name, value in _SECURITY.items():
        headers.setdefault(name, value)
    if settings.cookies_are_secure:
        headers.setdefault("strict-transport-security", "max-age=31536000")
    if not path.startswith(addresses.STATIC):
        headers["cache-control"] = "no-store"
    elif path.startswith(addresses.OUR_STATIC):
        headers["cache-control"] = "no-cache"  # asked for anew each time: an update must not meet old scripts


class Trust:
    """Which names this site has, and which requests come from its own pages."""

    def __init__(self, settings: Settings) -> None:
        self.hosts = allowed_hosts(settings)
        self._schemes = {"https"} if settings.cookies_are_secure else {"http", "https"}

    def knows_host(self, host: str) -> bool:
        """Whether a request names this site: another name that leads here may be an attacker's."""
        return _host_name(f"//{host}") in self.hosts

    def is_from_here(self, headers: Mapping[str, str]) -> bool:
        """Whether a form was sent by one of our pages, as far as browsers tell; the forms' token is the second lock.

        Behind a proxy the scheme of a request is not known here, so it is ADIT_WEB_URL's that counts.
        """
        if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return False
        if (page := headers.get("origin")) is None:
            return True
        parts = urlsplit(page)
        return parts.scheme in self._schemes and parts.netloc == headers.get("host")


def allowed_hosts(settings: Settings) -> list[str]:
    """The names under which browsers reach this site: that of ADIT_WEB_URL, its own address and this machine's own."""
    names = {_host_name(settings.web_url), settings.web_host, "localhost", "127.0.0.1", "::1"}
    return sorted(name for name in names if name and not _is_every_address(name))


def _host_name(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_every_address(name: str) -> bool:
    try:
        return ip_address(name).is_unspecified
    except ValueError:
        return False
