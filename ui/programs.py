"""What the gate answers to programs instead of a page: RFC 9457, in the shape that the API gives to its problems."""

from starlette.responses import JSONResponse

_MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_S = 60


def problem(status: int, code: str, title: str, text: str) -> JSONResponse:
    """The answer that tells of a problem, and of one that passes when to try again."""
    document = {"type": f"urn:adit:error:{code}", "title": title, "status": status, "detail": text, "code": code}
    headers = {"retry-after": str(_RETRY_AFTER_S)} if status == 503 else {}
    return JSONResponse({**document, "errors": {}}, status, headers, media_type=_MEDIA_TYPE)
