"""A stand-in of Clerk's Frontend API: it signs session tokens, and serves the keys to check them with."""

import base64
import gzip
import json
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.factories import Person

SESSION = "cl_B7d4PD111AAA"
KEY_ID = "ins_canary1"


def new_key(bits: int = 2048) -> RSAPrivateKey:
    return generate_private_key(65537, bits)


def pem_of(key: RSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def jwk_of(key: RSAPrivateKey, kid: str, **changed: Any) -> dict[str, Any]:
    """The public key as it stands in a key set."""
    numbers = key.public_key().public_numbers()
    return {
        "use": "sig",
        "kty": "RSA",
        "kid": kid,
        "alg": "RS256",
        "n": _text(numbers.n),
        "e": _text(numbers.e),
    } | changed


def _text(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8)).rstrip(b"=").decode()


def without(claims: dict[str, Any]) -> dict[str, Any]:
    """Claims, less those that are None."""
    return {name: value for name, value in claims.items() if value is not None}


class ClerkIssuer:
    """An instance on loopback. What a test sets is what the next request sees."""

    def __init__(self) -> None:
        self.key = new_key()
        self.keys: list[Any] = [jwk_of(self.key, KEY_ID)]
        self.status = 200
        # Instead of the key set.
        self.body: bytes | None = None
        self.headers: dict[str, str] = {}
        self.compressed = False
        # How many spaces stand behind the key set.
        self.padding = 0
        self.delay = 0.0
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def claims(self, person: Person, **changed: Any) -> dict[str, Any]:
        """The claims of a session token; keyword arguments replace them, and None takes one out."""
        now = int(time.time())
        claims = {
            "azp": "https://app.example.com",
            "exp": now + 60,
            "fva": [1, -1],
            "iat": now,
            "iss": self.url,
            "nbf": now - 10,
            "sid": "sess_canary",
            "sts": "active",
            "sub": person.clerk_id,
            "v": 2,
        }
        return without(claims | changed)

    def token(self, person: Person, *, header: dict[str, Any] | None = None, **changed: Any) -> str:
        """A session token, signed with the current key."""
        headers = {"cat": SESSION, "kid": KEY_ID} | (header or {})
        return jwt.encode(self.claims(person, **changed), self.key, algorithm="RS256", headers=headers)

    def __enter__(self) -> Self:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.requests.append(self.path)
                time.sleep(issuer.delay)
                body = json.dumps({"keys": issuer.keys}).encode() if issuer.body is None else issuer.body
                body += b" " * issuer.padding
                if issuer.compressed:
                    body = gzip.compress(body)
                self.send_response(issuer.status)
                for name, value in {"Content-Length": str(len(body)), **issuer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                with suppress(ConnectionError):  # Whoever asked may have left.
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.delay = 0.0
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
