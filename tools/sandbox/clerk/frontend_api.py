"""A stand-in of Clerk's Frontend API: it signs session tokens, and serves the keys to check them with."""

import asyncio
import base64
import gzip
import json
import time
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tools.sandbox import wire
from tools.sandbox.faults import behaves
from tools.sandbox.http import Response
from tools.sandbox.loopback import HOST, LoopbackServer

# The category of Clerk's session tokens, as it stands in their header.
SESSION = "cl_B7d4PD111AAA"
KEY_ID = "ins_canary1"


class User(Protocol):
    """The user of a session token."""

    @property
    def clerk_id(self) -> str: ...


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
        "n": _base64(numbers.n),
        "e": _base64(numbers.e),
    } | changed


def session_claims(clerk_id: str, issuer: str, **changed: Any) -> dict[str, Any]:
    """The claims of a session token; keyword arguments replace them, and None takes one out."""
    now = int(time.time())
    claims = {
        "azp": "https://app.example.com",
        "exp": now + 60,
        "fva": [1, -1],
        "iat": now,
        "iss": issuer,
        "nbf": now - 10,
        "sid": "sess_canary",
        "sts": "active",
        "sub": clerk_id,
        "v": 2,
    } | changed
    return {name: value for name, value in claims.items() if value is not None}


def session_token(
    key: RSAPrivateKey, clerk_id: str, issuer: str, *, header: dict[str, Any] | None = None, **changed: Any
) -> str:
    """A session token, signed; `changed` as in `session_claims`."""
    headers = {"cat": SESSION, "kid": KEY_ID} | (header or {})
    return jwt.encode(session_claims(clerk_id, issuer, **changed), key, algorithm="RS256", headers=headers)


def _base64(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8)).rstrip(b"=").decode()


class ClerkIssuer(LoopbackServer):
    """An instance on loopback; what a test sets is what the next request gets."""

    def __init__(self) -> None:
        super().__init__()
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
        return f"http://{HOST}:{self.port}"

    def claims(self, user: User, **changed: Any) -> dict[str, Any]:
        """The claims of a session token; keyword arguments replace them, and None takes one out."""
        return session_claims(user.clerk_id, self.url, **changed)

    def token(self, user: User, *, header: dict[str, Any] | None = None, **changed: Any) -> str:
        """A session token, signed with the current key."""
        return session_token(self.key, user.clerk_id, self.url, header=header, **changed)

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await wire.read_request(reader)
        if request is None:
            return False
        self.requests.append(request.path)
        await asyncio.sleep(self.delay)
        body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
        body += b" " * self.padding
        response = Response(self.status, gzip.compress(body) if self.compressed else body, tuple(self.headers.items()))
        return await wire.send(reader, writer, request, response, behaves())
