"""The one door to listeners: sends one request and says what has become of it. What listeners answer is not read."""

import asyncio
import ssl
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

import httpx

from models.domain.errors import NotPermitted, Unreachable
from models.settings import Settings
from services.webhooks.addresses import Address, Place, resolved

WITHIN_S = 15.0
"""For everything: connecting to each of its addresses, and the first line of the answer."""
_CONNECT_WITHIN_S = 5.0
_MOST_ADDRESSES = 4
_OUT_OF_REACH = frozenset({429, 502, 503, 504})


class Outcome(StrEnum):
    """What has become of a request."""

    TAKEN = "taken"
    REFUSED = "refused"
    """The listener has answered and did not take this one."""
    OUT_OF_REACH = "out_of_reach"
    """The same would happen to every other request now."""


class Answer(NamedTuple):
    """``trouble`` says in our words what went wrong; nothing of the listener's stands in it but the status."""

    outcome: Outcome
    status: int | None = None
    trouble: str = ""


class Line:
    """A way to listeners with the certificates that this machine trusts now; threads have one each."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._trusted = ssl.create_default_context()

    def post(self, url: str, body: str, headers: Mapping[str, str]) -> Answer:
        """Send a request; redirects are not followed, and proxies of the environment not used."""
        try:
            place = resolved(self._settings, url)
        except (Unreachable, NotPermitted) as error:
            return Answer(Outcome.OUT_OF_REACH, trouble=error.message)
        try:
            return asyncio.run(self._within_time(place, body, headers))
        except TimeoutError:
            return Answer(Outcome.OUT_OF_REACH, trouble=f"There was no answer within {WITHIN_S:.0f} seconds.")
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
            return Answer(Outcome.OUT_OF_REACH, trouble=_words(error))

    async def _within_time(self, place: Place, body: str, headers: Mapping[str, str]) -> Answer:
        async with (
            asyncio.timeout(WITHIN_S),
            httpx.AsyncClient(
                verify=self._trusted,
                trust_env=False,
                follow_redirects=False,
                timeout=httpx.Timeout(WITHIN_S, connect=_CONNECT_WITHIN_S),
            ) as client,
        ):
            *others, last = place.addresses[:_MOST_ADDRESSES]
            for address in others:
                try:
                    return await _post(client, place, address, body, headers)
                except (httpx.ConnectError, httpx.ConnectTimeout):
                    continue
            return await _post(client, place, last, body, headers)


async def _post(
    client: httpx.AsyncClient, place: Place, address: Address, body: str, headers: Mapping[str, str]
) -> Answer:
    request = client.build_request(
        "POST",
        place.pinned(address),
        content=body.encode(),
        headers={"host": place.host_header, "content-type": "application/json", "user-agent": "ADIT", **headers},
        extensions={"sni_hostname": place.host},
    )
    response = await client.send(request, stream=True)
    await response.aclose()
    return _answer(response.status_code)


def _answer(status: int) -> Answer:
    if 200 <= status < 300:
        return Answer(Outcome.TAKEN, status)
    if 300 <= status < 400:
        return Answer(Outcome.REFUSED, status, f"It leads elsewhere ({status}), which is not followed.")
    return Answer(
        Outcome.OUT_OF_REACH if status in _OUT_OF_REACH else Outcome.REFUSED, status, f"It answered {status}."
    )


def _words(error: Exception) -> str:
    """What went wrong, without the texts of libraries, which quote addresses."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"Its certificate is not valid here ({cause.verify_message})."
        if isinstance(cause, ssl.SSLError):
            return "No TLS connection could be made."
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return "No connection could be made."
    return "The connection broke before there was an answer."
