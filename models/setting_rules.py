"""What single values of settings must be like; each raises ValueError with words that stand behind the setting's name.

Nothing is looked up in the network. The words hold no value, which may be secret.
"""

import re
from collections.abc import Collection
from email.utils import getaddresses
from ipaddress import ip_network
from urllib.parse import SplitResult, parse_qsl, urlsplit

from models.domain.addresses import HIGHEST_PORT, is_host, is_mail_address

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MODALITY = re.compile(r"[A-Z0-9_ ]{1,16}")
_DATABASE = re.compile(
    r"[^:]+://(?:[^:/]*(?::[^@]*)?@)?(?:\[(?P<ip>[^/?]+)\]|(?P<host>[^/:?]*))(?::(?P<port>[^/?]*))?(?:[/?].*)?"
)
"""As SQLAlchemy takes them apart: a password may have a slash."""
_SECRET_PARAMETERS = frozenset({"password", "sslpassword", "oauth_client_secret"})
"""Of libpq (PostgreSQL's documentation, 32.1.2) and asyncpg."""


def check_host(text: str) -> None:
    """Refuse what is neither the name of a host nor an IP address."""
    if not is_host(text):
        raise ValueError("not the name or the address of a host")


def check_mail_address(text: str) -> None:
    """Refuse what is not exactly one mail address."""
    if not is_mail_address(text):
        raise ValueError("not a mail address, such as adit@example.org")


def check_sender(text: str) -> None:
    """Refuse what is not a mail address, or one in angle brackets behind a name."""
    found = getaddresses([text])
    if len(found) != 1 or not is_mail_address(found[0][1]) or _CONTROL.search(text):
        raise ValueError("not a mail address, such as adit@example.org or ADIT <adit@example.org>")


def check_modality(text: str) -> None:
    """Refuse what is no Code String (PS3.5, 6.2)."""
    if not _MODALITY.fullmatch(text):
        raise ValueError("not modalities with commas between, such as PR,SR")


def check_proxies(text: str) -> None:
    """Refuse what is no list of addresses and networks; one with host bits, or a name, would be that of no proxy."""
    for part in text.split(","):
        try:
            _ = part.strip() == "*" or ip_network(part.strip())
        except ValueError:
            raise ValueError("not addresses or networks with commas between, such as 10.1.2.3,172.30.66.0/24") from None


def check_url(text: str, schemes: Collection[str], form: str) -> SplitResult:
    """The parts of a URL; refuses it unless it has one of the schemes, a host, and a port that can be one, if any."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"{_no_port()}, or not of the form {form}") from None
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"not of the form {form}")
    check_host(parts.hostname)
    if port == 0:
        raise ValueError(_no_port())
    return parts


def check_database(url: str) -> None:
    """Refuse a database's address whose host or port can be none, or whose parameters hold a secret.

    Those would be shown where addresses are. An address without a host is that of a file, or of a socket.
    """
    found = _DATABASE.fullmatch(url)
    parameters = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    if secrets := sorted(_SECRET_PARAMETERS & parameters.keys()):
        raise ValueError(
            f"the parameter {secrets[0]} is a secret; ADIT_DATABASE_PASSWORD, or a key without one, is safe"
        )
    if found is None:
        raise ValueError("not the address of a database")
    if host := found["ip"] or found["host"]:
        check_host(host)
    for port in filter(None, (found["port"], *parameters.get("port", "").split(","))):
        if not (port.isascii() and port.isdecimal() and len(port) <= len(str(HIGHEST_PORT))):
            raise ValueError(_no_port())
        if not 1 <= int(port) <= HIGHEST_PORT:
            raise ValueError(_no_port())


def _no_port() -> str:
    return f"its port is no number from 1 to {HIGHEST_PORT}"
