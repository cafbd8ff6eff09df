"""Cookies: the session's, and the one that ties a form to the browser it was shown in."""

import re
import secrets

from starlette.requests import Request
from starlette.responses import Response

from models.settings import Settings
from ui.identity import cookie_name

_VALUE = re.compile(r"[A-Za-z0-9_-]{20,64}")


class Cookies:
    """The cookies of one installation: never readable by scripts, never sent with other sites' forms."""

    def __init__(self, settings: Settings) -> None:
        self._is_secure = settings.cookies_are_secure
        self.session = cookie_name(settings)
        self.form = f"{self.session}-form"

    def browser(self, request: Request) -> str:
        """The value that ties forms to this browser: its own, or a new one."""
        found = request.cookies.get(self.form, "")
        return found if _VALUE.fullmatch(found) else secrets.token_urlsafe(24)

    def set(self, response: Response, name: str, value: str, seconds: int | None = None) -> None:
        """Set a cookie; without a time it goes when the browser is closed."""
        response.set_cookie(name, value, seconds, path="/", secure=self._is_secure, httponly=True, samesite="lax")

    def remove(self, response: Response, name: str) -> None:
        response.delete_cookie(name, path="/", secure=self._is_secure, httponly=True, samesite="lax")
