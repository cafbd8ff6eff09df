"""Which entries of the audit trail somebody wants as a file, as the address of that file says."""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlencode

from models.domain.audit import AuditAction, AuditFilter
from models.domain.errors import BadRequest

PATH = "/files/audit.csv"


def address(wanted: AuditFilter) -> str:
    """Where these entries are found as a file."""
    values = {
        "since": wanted.since.isoformat() if wanted.since else "",
        "until": wanted.until.isoformat() if wanted.until else "",
        "who": wanted.who,
        "action": wanted.action.value if wanted.action else "",
        "text": wanted.text,
    }
    return f"{PATH}?{urlencode({name: value for name, value in values.items() if value})}"


def wanted(query: Mapping[str, str]) -> AuditFilter:
    """The filter that such an address holds; raises BadRequest for one that nobody has made here."""
    try:
        return AuditFilter(
            since=_moment(query.get("since", "")),
            until=_moment(query.get("until", "")),
            who=query.get("who", ""),
            action=AuditAction(query["action"]) if query.get("action") else None,
            text=query.get("text", ""),
        )
    except ValueError:
        raise BadRequest("There is no such part of the audit trail.") from None


def _moment(text: str) -> datetime | None:
    at = datetime.fromisoformat(text) if text else None
    if at is not None and at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at
