"""How the gate says who sits at a browser to what is behind it: headers, an entry in the scope; and by which cookie."""

from collections.abc import Mapping
from typing import Any

from models.settings import Settings
from services.people.sessions import SignedIn

USER_HEADER = "x-app-user"
SESSION_HEADER = "x-app-sid"
ADDRESS_HEADER = "x-app-address"
"""Set by the gate and nobody else; Streamlit gives a socket's state only to the user and session that it belongs to."""

OURS = "x-app-"
"""How these headers begin; a browser's own are thrown away."""

_KEY = "adit.signed_in"


def cookie_name(settings: Settings) -> str:
    """The cookie of a session. With ``__Host-`` no other host of the domain can plant one."""
    return "__Host-adit" if settings.cookies_are_secure else "adit"


def let_in(scope: dict[str, Any], found: SignedIn, address: str) -> None:
    """Write down who was let in."""
    scope[_KEY] = found
    said = {USER_HEADER: str(found.user.id), SESSION_HEADER: str(found.session.id), ADDRESS_HEADER: address}
    scope["headers"] += [(name.encode(), value.encode("latin-1", "replace")) for name, value in said.items()]


def signed_in(scope: Mapping[str, Any]) -> SignedIn | None:
    """Whom the gate has let in; for routes behind it."""
    return scope.get(_KEY)
