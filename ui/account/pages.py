"""Renders the plain pages: forms and short messages. Every value is escaped by the templates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from models.domain.errors import (
    AditError,
    BadRequest,
    NotPermitted,
    Outdated,
    TooManyTries,
    UnderMaintenance,
)
from models.settings import Settings
from services.people.sessions import SignedIn
from ui.account.forms import Field, token_for

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_STATUS = ((BadRequest, 422), (TooManyTries, 429), (UnderMaintenance, 503), (NotPermitted, 403), (Outdated, 409))


@dataclass(frozen=True, slots=True)
class Link:
    """A way on from a page."""

    text: str
    target: str


@dataclass(frozen=True, slots=True)
class FormPage:
    """A page with one form, sent to ``action``; ``hidden`` values travel with it."""

    title: str
    action: str
    button: str
    fields: Sequence[Field] = ()
    lead: str = ""
    links: Sequence[Link] = ()
    hidden: Mapping[str, str] = field(default_factory=dict[str, str])
    provider: Link | None = None


def form(
    settings: Settings,
    page: FormPage,
    browser: str,
    values: Mapping[str, str] | None = None,
    error: AditError | None = None,
    notice: str = "",
) -> HTMLResponse:
    """The form, with what was entered and what is wrong with it; secrets are not sent back."""
    problems = dict(error.problems) if isinstance(error, BadRequest) else {}
    names = [field.name for field in page.fields]
    beside = {name: _sentence(text) for name, text in problems.items() if name in names}
    above = [_sentence(text) for name, text in problems.items() if name not in names]
    if error is not None and not problems:
        above.append(error.message)
    shown = {field.name: (values or {}).get(field.name, "") for field in page.fields if not field.is_secret}
    return _page(
        settings,
        "form.html",
        200 if error is None else status_of(error),
        page=page,
        form_token=token_for(settings, browser),
        values=shown,
        problems=beside,
        above=above,
        first=next((name for name in names if name in beside or not (beside or shown.get(name))), ""),
        notice=notice,
    )


def message(settings: Settings, title: str, text: str, *links: Link, status: int = 200) -> HTMLResponse:
    """A page that only says something."""
    return _page(settings, "message.html", status, title=title, text=text, links=links)


def problem(settings: Settings, status: int, title: str, text: str) -> HTMLResponse:
    """A page for what did not work, with the way home."""
    return message(settings, title, text, Link("To the start page", "/"), status=status)


def maintenance(settings: Settings, found: SignedIn | None) -> HTMLResponse:
    """The page for everybody but staff while ADIT is under maintenance; it looks again by itself."""
    answer = _page(settings, "maintenance.html", 503, is_signed_in=found is not None)
    answer.headers["retry-after"] = "60"
    return answer


def status_of(error: AditError) -> int:
    """The HTTP status that fits an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 503)


def _page(settings: Settings, template: str, status: int, **values: Any) -> HTMLResponse:
    html = _TEMPLATES.get_template(template).render(support_email=settings.support_email, **values)
    headers = {"content-security-policy": _POLICY, "referrer-policy": "same-origin"}
    return HTMLResponse(html, status, headers)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
