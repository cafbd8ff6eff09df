"""What the forms ask for, and how an answer is read: its size, its token against other sites, its values."""

import hmac
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import parse_qsl

from starlette.requests import Request

from models.domain.errors import BadRequest, NotPermitted
from models.settings import Settings

TOKEN = "form_token"
_LONGEST_BODY, _MOST_FIELDS = 32_768, 30
_TYPE = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Field:
    """One input. Browsers and password managers know by ``autocomplete`` what belongs there."""

    name: str
    label: str
    autocomplete: str
    type: str = "text"
    hint: str = ""
    longest: int = 150
    is_required: bool = True

    @property
    def is_secret(self) -> bool:
        """Whether the value is never sent back."""
        return self.type == "password"


def _new_password(name: str = "password", label: str = "Password") -> tuple[Field, Field]:
    hint = "At least 10 characters; neither common nor like your name or mail address."
    return (
        Field(name, label, "new-password", "password", hint, longest=256),
        Field("again", f"{label} again", "new-password", "password", longest=256),
    )


SIGN_IN = (
    Field("identity", "Username or mail address", "username", longest=254),
    Field("password", "Password", "current-password", "password", longest=256),
)
REGISTER = (
    Field("username", "Username", "username", hint="Letters, digits and . _ - @ +; it cannot be changed later."),
    Field("email", "Mail address", "email", "email", longest=254),
    Field("first_name", "First name", "given-name"),
    Field("last_name", "Last name", "family-name"),
    Field("phone_number", "Phone number", "tel", "tel", longest=64),
    Field("department", "Department", "organization", longest=128),
    *_new_password(),
)
MAIL = (Field("email", "Mail address", "email", "email", longest=254),)
RESET = _new_password("password", "New password")
CHANGE_PASSWORD = (
    Field("old", "Current password", "current-password", "password", longest=256),
    *_new_password("new", "New password"),
)


def token_for(settings: Settings, browser: str) -> str:
    """The token that a form carries for the browser that holds this cookie: another site cannot compute it."""
    key = settings.master_key.get_secret_value().encode()
    return hmac.new(key, b"form\n" + browser.encode(), sha256).hexdigest()


async def read(request: Request, settings: Settings, cookie: str) -> dict[str, str]:
    """The values of a form that one of our pages sent; raises NotPermitted for others, BadRequest for odd ones."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != _TYPE:
        raise BadRequest("This is not a form of ours.")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_BODY:
            raise BadRequest("The form is too long.")
    values = _values(bytes(body))
    browser = request.cookies.get(cookie, "")
    expected = token_for(settings, browser)
    if not browser or not hmac.compare_digest(values.pop(TOKEN, "").encode(), expected.encode()):
        raise NotPermitted("This form has expired. Open the page again and repeat your entry.")
    return values


def check_repetition(values: dict[str, str], name: str) -> None:
    """Raise BadRequest when a new password and its repetition differ."""
    if values.get(name, "") != values.get("again", ""):
        raise BadRequest.of({"again": "the passwords differ."})


def _values(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError as exc:
        raise BadRequest("The form cannot be read.") from exc
    return {name: value.replace("\0", "") for name, value in pairs}
