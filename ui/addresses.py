"""Addresses: which are open to everybody, which have moved, and where somebody may be sent after signing in."""

import re
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

HOME = "/"
SIGN_IN = "/login"
SIGN_OUT = "/logout"
TO_PROVIDER = "/login/oidc"
FROM_PROVIDER = "/oidc/callback"
ALIVE = "/account/alive"
HEALTH = ("/health", "/health/")
READY = ("/ready", "/ready/")
METRICS = "/metrics"
WATCHED = (*HEALTH, *READY, METRICS)
"""What programs ask that watch us; answered by whatever name they call us, and under maintenance too."""

API = "/api/"

OUR_STATIC = "/app/static/"
STATIC = ("/static/", OUR_STATIC)
"""Programs, styles, fonts and pictures: the same for everybody."""

SIGN_IN_AND_OUT = (SIGN_IN, SIGN_OUT, TO_PROVIDER, FROM_PROVIDER)
"""What works under maintenance too."""

FORMS = (*SIGN_IN_AND_OUT, "/register", "/confirm", "/resend", "/forgot", "/reset")
"""Pages that need nobody to be signed in."""

_MOVED = tuple(
    (re.compile(pattern), target)
    for pattern, target in (
        (r"/(?:django-admin|admin)/token_authentication(?:/.*)?", "/admin-tokens"),
        (r"/(?:django-admin|admin|admin-section)(?:/.*)?", "/administration"),
        (r"/token-authentication/?", "/tokens"),
        (r"/jobs?/([0-9]{1,18})/?", "/job?id={}"),
        (r"/items?/([0-9]{1,18})/?", "/item?id={}"),
        (r"/users?/([0-9]{1,18})/?", "/users?id={}"),
        (r"/(selective-transfer|batch-query|batch-transfer)/jobs/new/?", "/{}"),
        (r"/(?:selective-transfer|batch-query|batch-transfer|mass-transfer)/jobs/?", "/jobs"),
        (r"/([a-z][a-z-]*)/", "/{}"),
    )
)
_NESTED = ("/_stcore/", "/account/", API, "/component/", "/files/", "/media/", *STATIC)
_LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]*")
_LONGEST = 1000


def moved(path: str) -> str | None:
    """Where a page is found now; None when the path is right. Streamlit's pages have no paths below them."""
    for pattern, target in _MOVED:
        if found := pattern.fullmatch(path):
            return target.format(*found.groups())
    return None


def is_nowhere(path: str) -> bool:
    """Whether nothing can be there: Streamlit would send a page that stays white, since pages have one name each."""
    return path.count("/") > 1 and path not in (*FORMS, *WATCHED) and not path.startswith(_NESTED)


def local(address: str) -> str:
    """The address if it is a path of this site that one may be sent to, else the home page.

    Browsers take ``//host`` and ``/\\host`` for another site; the sign-in pages would lead round in circles.
    """
    if len(address) > _LONGEST or not _LOCAL.fullmatch(address):
        return HOME
    path = urlsplit(address).path
    return (
        HOME if path in FORMS or path.startswith((API, *STATIC, "/_stcore/", "/media/")) or path == ALIVE else address
    )


def sign_in(following: str = HOME) -> str:
    """The sign-in page that leads to another one."""
    following = local(following)
    return SIGN_IN if following == HOME else f"{SIGN_IN}?{urlencode({'next': following})}"


def with_query(path: str, query: bytes) -> str:
    """A path as the browser asked for it, quoted anew."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return quote(path) + (f"?{urlencode(pairs)}" if pairs else "")
