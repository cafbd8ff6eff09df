"""A small OpenID Connect provider on loopback; a test tells it whom to vouch for, and how to lie."""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT, SECRET = "adit-client", "s3cret/with:odd chars"


class Provider:
    """What the provider knows. ``claims`` go before the honest ones; ``is_forged``: with a key never shown."""

    def __init__(self) -> None:
        self.person: dict[str, Any] = {
            "sub": "4711",
            "email": "dora@example.org",
            "email_verified": True,
            "given_name": "Dora",
            "family_name": "Vogel",
            "preferred_username": "dora",
        }
        self.claims: dict[str, Any] = {}
        self.user_info: dict[str, Any] = {}
        self.published: dict[str, Any] = {}
        self.is_forged = False
        self.algorithm = "RS256"
        self.issuer = ""
        self.codes: dict[str, dict[str, str]] = {}
        self.calls: list[str] = []
        self.renew_key()

    def renew_key(self) -> None:
        """Publish another key, under another name."""
        self.key = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4)}, private=True)

    def document(self) -> dict[str, Any]:
        paths = {
            "authorization_endpoint": "/authorize",
            "token_endpoint": "/token",
            "jwks_uri": "/jwks",
            "userinfo_endpoint": "/userinfo",
        }
        return {
            "issuer": self.issuer,
            **{name: self.issuer + path for name, path in paths.items()},
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            **self.published,
        }

    def consent(self, query: dict[str, str]) -> str:
        """Where a person is sent who agrees at once."""
        assert query["client_id"] == CLIENT and query["response_type"] == "code"
        assert set(query["scope"].split()) >= {"openid", "email"}
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state'], 'iss': self.issuer})}"

    def redeem(self, wanted: dict[str, str], authorization: str) -> dict[str, Any] | None:
        """The tokens for a code, once, and for the client and browser that it was made for."""
        asked = self.codes.pop(wanted.get("code", ""), None)
        user, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        challenge = hashlib.sha256(wanted.get("code_verifier", "").encode()).digest()
        is_right = (
            asked is not None
            and (unquote(user), unquote(password)) == (CLIENT, SECRET)
            and asked["redirect_uri"] == wanted.get("redirect_uri")
            and asked["code_challenge"] == _encoded(challenge)
        )
        if not is_right or asked is None:
            return None
        return {"access_token": "access", "token_type": "Bearer", "id_token": self._id_token(asked["nonce"])}

    def _id_token(self, nonce: str) -> str:
        now = int(time.time())
        honest = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce, **self.person}
        claims = {name: value for name, value in {**honest, **self.claims}.items() if value is not None}
        if self.algorithm in {"HS256", "none"}:
            return self._weakly_signed(claims)
        key = RSAKey.generate_key(2048, {"kid": self.key.kid}, private=True) if self.is_forged else self.key
        return jwt.encode({"alg": self.algorithm, "kid": self.key.kid}, claims, key, algorithms=[self.algorithm])

    def _weakly_signed(self, claims: dict[str, Any]) -> str:
        """By nobody, or with the public key as a secret: what careless clients were deceived by."""
        header = {"alg": self.algorithm, "kid": self.key.kid}
        content = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
        secret = bytes(self.key.as_pem(private=False))
        seal = hmac.digest(secret, content.encode(), "sha256") if self.algorithm == "HS256" else b""
        return f"{content}.{_encoded(seal)}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextmanager
def provider() -> Iterator[Provider]:
    """Run a provider as long as the block does."""
    known = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            known.calls.append(parts.path)
            if parts.path == "/authorize":
                self.send_response(302)
                self.send_header("location", known.consent(dict(parse_qsl(parts.query))))
                self.end_headers()
            elif parts.path == "/jwks":
                self.answer(KeySet([known.key]).as_dict(private=False))
            elif parts.path == "/userinfo":
                self.answer(known.user_info if self.headers["authorization"] == "Bearer access" else None)
            else:
                self.answer(known.document())

        def do_POST(self) -> None:
            known.calls.append(self.path)
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            self.answer(known.redeem(dict(parse_qsl(body)), self.headers.get("authorization", "")))

        def answer(self, document: Any) -> None:
            self.send_response(400 if document is None else 200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(document or {"error": "invalid_grant"}).encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known.issuer = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
