"""What is wrong with a server or a folder as somebody entered it: pure rules, a sentence for each field."""

import re
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import SplitResult, urlsplit

from models.domain import windows
from models.domain.nodes import DIMSE_CAPABILITIES, WEB_CAPABILITIES, WEB_PREFIXES, Folder, Server

Problem = tuple[str, str]
"""The field and what is wrong with it."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_AE_TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}")
_NAME_LENGTH, _HOST_LENGTH, _URL_LENGTH, _PATH_LENGTH = 64, 255, 2000, 1024
_LONGEST_TIMEOUT = timedelta(hours=1)
_MOST_RESULTS = 1_000_000


def server_problems(server: Server) -> dict[str, str]:
    """What is wrong with a server, by field; empty when nothing is."""
    found = (
        *_name_problems(server.name),
        *_address_problems(server),
        *_web_problems(server),
        *_tls_problems(server),
        *_number_problems(server),
        *_timeout_problems(server),
        ("windows", windows.problem(server.windows)),
        ("budget_rules", windows.rules_problem(server.budget_rules)),
    )
    problems = _first_of_each(found)
    if not any(getattr(server, name) for name in DIMSE_CAPABILITIES + WEB_CAPABILITIES):
        problems["capabilities"] = "the server must support at least one of them."
    return problems


def folder_problems(folder: Folder) -> dict[str, str]:
    """What is wrong with a folder, by field; empty when nothing is."""
    return _first_of_each((*_name_problems(folder.name), *_path_problems(folder), *_quota_problems(folder)))


def web_place(server: Server) -> tuple[str, str, int | None]:
    """Scheme, host and port of the DICOMweb address: to whom the authorization header is told."""
    try:
        parts = urlsplit(server.dicomweb_root_url)
        default = {"http": 80, "https": 443}.get(parts.scheme)
        return parts.scheme, (parts.hostname or "").lower(), parts.port or default
    except ValueError:
        return "", server.dicomweb_root_url, None


def _first_of_each(found: tuple[Problem, ...]) -> dict[str, str]:
    """One sentence for each field: the first that tells of a problem."""
    problems: dict[str, str] = {}
    for field, sentence in found:
        if sentence:
            problems.setdefault(field, sentence)
    return problems


def _name_problems(name: str) -> Iterator[Problem]:
    if not name or len(name) > _NAME_LENGTH or name != name.strip() or _CONTROL.search(name):
        yield "name", f"1 to {_NAME_LENGTH} characters, no control characters, no spaces at the ends."


def _address_problems(server: Server) -> Iterator[Problem]:
    if not _AE_TITLE.fullmatch(server.ae_title) or server.ae_title != server.ae_title.strip():
        yield "ae_title", "1 to 16 ASCII characters, no backslash or control characters, no spaces at the ends."
    if not server.host or len(server.host) > _HOST_LENGTH or re.search(r"[\s/@]", server.host):
        yield "host", f"a name or address of at most {_HOST_LENGTH} characters, without spaces, '/' and '@'."
    if not 1 <= server.port <= 65535:
        yield "port", "it must be between 1 and 65535."


def _web_problems(server: Server) -> Iterator[Problem]:
    if server.dicomweb_root_url:
        yield "dicomweb_root_url", _url_problem(server.dicomweb_root_url)
    elif any(getattr(server, name) for name in WEB_CAPABILITIES):
        yield "dicomweb_root_url", "needed by the DICOMweb capabilities."
    for name in WEB_PREFIXES:
        prefix: str = getattr(server, name)
        if len(prefix) > _URL_LENGTH or re.search(r"[\s?#\x00-\x1f\x7f]", prefix) or "://" in prefix:
            yield name, "a path below the root URL."
    header = server.dicomweb_authorization_header
    if len(header) > _URL_LENGTH or not header.isascii() or _CONTROL.search(header):
        yield "dicomweb_authorization_header", f"at most {_URL_LENGTH} ASCII characters, no control characters."


def _url_problem(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address, parts = False, SplitResult("", "", "", "", "")
    if not is_address or len(url) > _URL_LENGTH or re.search(r"[\s\x00-\x1f\x7f]", url):
        return "it must be an http:// or https:// address."
    if parts.username or parts.password or parts.query or parts.fragment:
        return "no credentials, '?' or '#'; credentials belong in the authorization header."
    return ""


def _tls_problems(server: Server) -> Iterator[Problem]:
    if server.tls is None:
        return
    if bool(server.tls.certificate_file) is not bool(server.tls.key_file):
        yield "tls", "a client certificate and its key go together."
    files = (server.tls.ca_file, server.tls.certificate_file, server.tls.key_file)
    if any(file and (not file.startswith("/") or len(file) > _PATH_LENGTH) for file in files):
        yield "tls", "paths of files must be absolute."


def _number_problems(server: Server) -> Iterator[Problem]:
    if server.association_budget < 1:
        yield "association_budget", "it must be positive."
    if server.store_associations < 1:
        yield "store_associations", "it must be positive."
    if not 1 <= server.max_search_results <= _MOST_RESULTS:
        yield "max_search_results", f"it must be between 1 and {_MOST_RESULTS:,}."


def _timeout_problems(server: Server) -> Iterator[Problem]:
    waits = server.timeouts
    each = (waits.connect, waits.negotiation, waits.response, waits.idle)
    if min(each) <= timedelta(0) or max(each) > _LONGEST_TIMEOUT:
        yield "timeouts", "they must be positive, and an hour at most."


def _path_problems(folder: Folder) -> Iterator[Problem]:
    path = str(folder.path)
    if not folder.path.is_absolute() or ".." in folder.path.parts:
        yield "path", "it must be absolute and without '..'."
    if len(path) > _PATH_LENGTH or _CONTROL.search(path):
        yield "path", f"at most {_PATH_LENGTH} characters, no control characters."


def _quota_problems(folder: Folder) -> Iterator[Problem]:
    for name in ("quota_gb", "warn_at_gb", "warn_at_percent"):
        value: float | None = getattr(folder, name)
        if value is not None and not 0 < value < float("inf"):
            yield name, "it must be positive, or empty."
    if folder.warn_at_percent is not None and folder.warn_at_percent > 100:
        yield "warn_at_percent", "at most 100."
