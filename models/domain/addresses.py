"""What names of hosts and addresses of mail must be like; whether there is such a place is not asked."""

import re
from ipaddress import ip_address

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MAIL = re.compile(rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})*")
_HOST = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
_NUMBERS = re.compile(r"(?:.*\.)?[0-9]+\.?")
"""What ends in a number is an IPv4 address, or nothing (RFC 3696, 2)."""
LONGEST_MAIL, LONGEST_HOST, HIGHEST_PORT = 254, 253, 65_535


def is_mail_address(text: str) -> bool:
    """Whether a text is one mail address, without a name beside it."""
    return len(text) <= LONGEST_MAIL and _MAIL.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """Whether a text is the name of a host, or an IP address without brackets; names of containers may have a _."""
    try:
        ip_address(text)
    except ValueError:
        return len(text) <= LONGEST_HOST and _HOST.fullmatch(text) is not None and _NUMBERS.fullmatch(text) is None
    return True
