"""Signing in by an OpenID Connect provider: authorization code with PKCE, and an ID token that is checked.

Nothing is kept on our side between leaving and coming back: the browser carries a sealed note.
"""

import base64
import hmac
import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from authlib.oidc.core import CodeIDToken
from cryptography.fernet import Fernet, InvalidToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from models.domain.errors import AditError, NotPermitted, Unreachable
from models.domain.people import Profile
from models.settings import Settings
from ui import addresses

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
"""Signatures with a key pair only: whoever can check them cannot make them."""

_TIMEOUT_S = 10.0
_LEEWAY_S = 60
_KEEP_S = 3600.0
_NOTE_S = 600


@dataclass(frozen=True, slots=True)
class Departure:
    """Where the browser is sent, and the note that it brings back."""

    url: str
    note: str


@dataclass(frozen=True, slots=True)
class Person:
    """Whom the provider vouches for. ``subject`` is the same at every sign-in, whatever else changes."""

    subject: str
    profile: Profile
    username: str
    email_is_verified: bool


class Provider:
    """The provider of the settings. What it publishes about itself is fetched at the first sign-in, and every hour."""

    note_seconds = _NOTE_S

    def __init__(self, settings: Settings, transport: httpx.BaseTransport | None = None) -> None:
        self._settings = settings
        self._issuer = settings.oidc_issuer
        self._way_back = settings.web_url + addresses.FROM_PROVIDER
        self._transport = transport
        self._seal = Fernet(_derived_key(settings))
        self._lock = threading.Lock()
        self._published: Mapping[str, Any] = {}
        self._keys: KeySet | None = None
        self._fetched_at = 0.0

    def begin(self, following: str) -> Departure:
        """Prepare a sign-in that ends at a page; raises Unreachable, or NotPermitted for a provider set up wrongly."""
        published, _ = self._about()
        note = {"state": _secret(), "nonce": _secret(), "verifier": secrets.token_urlsafe(48), "next": following}
        wanted = {
            "response_type": "code",
            "client_id": self._settings.oidc_client_id,
            "redirect_uri": self._way_back,
            "scope": "openid email profile",
            "state": note["state"],
            "nonce": note["nonce"],
            "code_challenge": _challenge(note["verifier"]),
            "code_challenge_method": "S256",
        }
        url = httpx.URL(published["authorization_endpoint"]).copy_merge_params(wanted)
        return Departure(str(url), self._seal.encrypt(json.dumps(note).encode()).decode())

    def complete(self, arrival: Mapping[str, str], note: str) -> tuple[Person, str]:
        """Who came back from the provider, and the page they wanted.

        Raises NotPermitted when anything does not fit, Unreachable when the provider does not answer.
        """
        sent = self._unsealed(note)
        if not hmac.compare_digest(arrival.get("state", "").encode(), sent["state"].encode()):
            raise NotPermitted("The sign-in was not begun in this browser. Begin again.")
        if arrival.get("iss", self._issuer) != self._issuer or "code" not in arrival:
            raise NotPermitted(f"{self._settings.oidc_name} did not let you in.")
        try:
            person = self._person(self._claims(arrival["code"], sent))
        except (JoseError, ValueError, KeyError, TypeError) as exc:
            raise NotPermitted(f"The answer of {self._settings.oidc_name} is not valid. Begin again.") from exc
        except httpx.HTTPError as exc:
            raise self._silent() from exc
        return person, addresses.local(sent["next"])

    def _claims(self, code: str, sent: Mapping[str, str]) -> dict[str, Any]:
        """What the ID token says, and the user info where that lacks a mail address."""
        published, keys = self._about()
        with self._client() as client:
            token = self._token(client, code, sent["verifier"])
            claims = self._checked(token, keys, sent["nonce"])
            if "email" not in claims and "userinfo_endpoint" in published:
                bearer = {"authorization": f"Bearer {token['access_token']}"}
                more = client.get(published["userinfo_endpoint"], headers=bearer).raise_for_status().json()
                if more["sub"] != claims["sub"]:
                    raise ValueError("the user info is about somebody else")
                claims = {**more, **claims}
        return claims

    def _token(self, client: httpx.Client, code: str, verifier: str) -> Mapping[str, Any]:
        """Redeem the code, as the client that the provider knows; a public client has no secret."""
        wanted = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._way_back,
            "client_id": self._settings.oidc_client_id,
            "code_verifier": verifier,
        }
        secret = self._settings.oidc_client_secret.get_secret_value()
        accepted = self._published.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        auth: httpx.Auth = httpx.Auth()
        if secret and "client_secret_basic" in accepted:
            auth = httpx.BasicAuth(quote(self._settings.oidc_client_id, safe=""), quote(secret, safe=""))
        elif secret:
            wanted["client_secret"] = secret
        answer = client.post(self._published["token_endpoint"], data=wanted, auth=auth)
        if answer.status_code in {400, 401}:
            raise ValueError("the provider takes neither code nor client")
        return answer.raise_for_status().json()

    def _checked(self, token: Mapping[str, Any], keys: KeySet, nonce: str) -> dict[str, Any]:
        """The claims of an ID token whose signature, issuer, audience, times and nonce are right."""
        try:
            decoded = jwt.decode(token["id_token"], keys, algorithms=_ALGORITHMS)
        except (JoseError, ValueError):  # the provider may have changed its keys
            _, keys = self._about(is_fresh=True)
            decoded = jwt.decode(token["id_token"], keys, algorithms=_ALGORITHMS)
        options = {"iss": {"essential": True, "value": self._issuer}, "nonce": {"essential": True, "value": nonce}}
        client_id = self._settings.oidc_client_id
        options["aud"] = {"essential": True, "value": client_id}
        parameters = {"nonce": nonce, "client_id": client_id, "access_token": token.get("access_token")}
        claims = CodeIDToken(decoded.claims, decoded.header, options, parameters)
        claims.validate(leeway=_LEEWAY_S)
        return dict(claims)

    def _person(self, claims: Mapping[str, Any]) -> Person:
        def word(*names: str) -> str:
            return next((str(claims[name]).strip() for name in names if claims.get(name)), "")

        first, last = word("given_name"), word("family_name")
        if not (first or last):
            first, _, last = word("name").rpartition(" ")
        profile = Profile(word("email"), first, last, word("phone_number"), word("department"))
        is_verified = claims.get("email_verified") is True or claims.get("email_verified") == "true"
        return Person(str(claims["sub"]), profile, word("preferred_username", "email", "sub"), is_verified)

    def _about(self, is_fresh: bool = False) -> tuple[Mapping[str, Any], KeySet]:
        """What the provider publishes, and its keys; ``is_fresh`` asks it now."""
        with self._lock:
            if self._keys is None or is_fresh or time.monotonic() - self._fetched_at > _KEEP_S:
                self._fetch()
            assert self._keys is not None
            return self._published, self._keys

    def _fetch(self) -> None:
        try:
            with self._client() as client:
                address = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
                published = client.get(address).raise_for_status().json()
                self._check(published)
                self._keys = KeySet.import_key_set(client.get(published["jwks_uri"]).raise_for_status().json())
        except httpx.HTTPError as exc:
            raise self._silent() from exc
        except (JoseError, ValueError, KeyError, TypeError) as exc:
            raise NotPermitted(f"{self._settings.oidc_name} is not set up rightly. Tell an administrator.") from exc
        self._published, self._fetched_at = published, time.monotonic()

    def _check(self, published: Mapping[str, Any]) -> None:
        """Another issuer's document, or an endpoint without TLS where the issuer has it, may be an attacker's."""
        if published["issuer"] != self._issuer:
            raise ValueError("the document is another issuer's")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if urlsplit(published[name]).scheme != urlsplit(self._issuer).scheme:
                raise ValueError(f"{name} is not as safe as the issuer")

    def _client(self) -> httpx.Client:
        return httpx.Client(timeout=_TIMEOUT_S, transport=self._transport, follow_redirects=False)

    def _unsealed(self, note: str) -> Mapping[str, str]:
        try:
            return json.loads(self._seal.decrypt(note.encode(), ttl=_NOTE_S))
        except (InvalidToken, ValueError) as exc:
            raise NotPermitted("The sign-in took too long, or was not begun in this browser. Begin again.") from exc

    def _silent(self) -> AditError:
        return Unreachable(f"{self._settings.oidc_name} does not answer. Try again, or sign in with your password.")


def _secret() -> str:
    return secrets.token_urlsafe(32)


def _challenge(verifier: str) -> str:
    """What only who holds the verifier can have sent (RFC 7636, section 4.2)."""
    return base64.urlsafe_b64encode(sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode()


def _derived_key(settings: Settings) -> bytes:
    key = settings.master_key.get_secret_value().encode()
    return base64.urlsafe_b64encode(hmac.new(key, b"note of a sign-in", sha256).digest())
