"""The public keys of Clerk's session tokens: one that the settings hold, or the instance's own set (JWKS).

The set is fetched with our own client, because PyJWT's blocks the whole process while it waits.
"""

import asyncio
import json
from http import HTTPStatus
from time import monotonic
from typing import Any, Protocol

import httpx
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWTError
from jwt.algorithms import RSAAlgorithm

from app import log
from app.errors import Unavailable
from app.http.client import HttpResponse, UnusableBody, build_client, fetch

PATH = "/.well-known/jwks.json"
FETCH_SECONDS = 2.0
SET_BYTES = 256 * 1024
# RFC 7518 asks for 2048 bits or more; the upper end keeps a mistake from costing seconds of arithmetic.
KEY_BITS = (2048, 8192)
# Whoever makes up key ids can cause this many requests to Clerk and no more.
REFRESH_SECONDS = 60.0
# After a failure people with a good token wait, so it is repaired sooner.
RETRY_SECONDS = 5.0
# A key that Clerk has withdrawn is forgotten after this time.
KEEP_SECONDS = 3600.0


class Keys(Protocol):
    """Where a token's key comes from."""

    async def find(self, kid: str, seconds: float) -> RSAPublicKey | None:
        """The key of this id, None if there surely is none; Unavailable when that cannot be told."""

    async def close(self) -> None:
        """Let go of what is open."""


class OneKey:
    """The key of the settings: it belongs to one instance, so the id in a token does not matter."""

    def __init__(self, pem: str) -> None:
        key = load_pem_public_key(pem.encode())
        if not isinstance(key, RSAPublicKey):  # The settings refuse it with a sentence.
            raise TypeError(type(key).__name__)
        self._key = key

    async def find(self, kid: str, seconds: float) -> RSAPublicKey | None:  # noqa: ARG002  # The protocol's signature.
        return self._key

    async def close(self) -> None:
        pass


def build_keys_client(issuer: str) -> httpx.AsyncClient:
    """The HTTP client for the set."""
    return build_client(
        issuer, headers={}, timeout=httpx.Timeout(FETCH_SECONDS), limits=httpx.Limits(max_connections=1)
    )


class ClerkKeysUnavailable(Unavailable):
    """The key of a session token could not be fetched."""

    reason = "clerk_keys_unreachable"


class KeySet:
    """The instance's keys, kept in memory; however many callers wait for a fetch, there is one."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._keys: dict[str, RSAPublicKey] = {}
        self._flight: asyncio.Task[None] | None = None
        self._failed: str | None = None
        self._fetched_at = self._asked_at = float("-inf")

    def __len__(self) -> int:
        return len(self._keys)

    async def find(self, kid: str, seconds: float) -> RSAPublicKey | None:
        """The key of this id. One that is known is answered at once, whatever Clerk's state."""
        key = self._keys.get(kid)
        if key is not None:
            if monotonic() - self._fetched_at > KEEP_SECONDS:
                self._refresh()
            return key
        flight = self._refresh()
        if flight is not None:
            await asyncio.wait([flight], timeout=seconds)
        key = self._keys.get(kid)
        if key is None and (self._failed or (flight is not None and not flight.done())):
            wait = max(1, round(self._asked_at + RETRY_SECONDS - monotonic()))
            raise ClerkKeysUnavailable(self._failed, retry_after=wait)
        return key

    async def close(self) -> None:
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.wait([self._flight])
        await self._client.aclose()

    def _refresh(self) -> asyncio.Task[None] | None:
        """The fetch under way, a new one, or None when the last one is too recent for another."""
        if self._flight is None or self._flight.done():
            pause = RETRY_SECONDS if self._failed else REFRESH_SECONDS
            if monotonic() - self._asked_at < pause:
                return None
            self._asked_at = monotonic()
            self._flight = asyncio.create_task(self._fetch())
        return self._flight

    async def _fetch(self) -> None:
        """Replace the set as a whole; what cannot be read replaces nothing."""
        try:
            request = self._client.build_request("GET", PATH)
            keys = _read_set(await fetch(self._client, request, seconds=FETCH_SECONDS, cap=SET_BYTES))
        except (httpx.HTTPError, TimeoutError):
            self._failed = "clerk_keys_unreachable"
        except (UnusableBody, ValueError, RecursionError):
            self._failed = "clerk_keys_unreadable"
        else:
            self._keys, self._failed, self._fetched_at = keys, None, monotonic()
            return
        log.error(self._failed)


def _read_set(answer: HttpResponse) -> dict[str, RSAPublicKey]:
    """The usable keys of a set; ValueError when there is none, since an empty set would refuse everybody."""
    if answer.status != HTTPStatus.OK:
        raise ValueError("not a key set")
    document = json.loads(answer.body)
    items = document.get("keys") if isinstance(document, dict) else None
    read = (_read_key(item) for item in items) if isinstance(items, list) else ()
    keys = dict(pair for pair in read if pair is not None)
    if not keys:
        raise ValueError("no keys")
    return keys


def _read_key(item: Any) -> tuple[str, RSAPublicKey] | None:
    """A key for signatures with its id; anything else in the set is none of our business."""
    if not isinstance(item, dict) or item.get("use", "sig") != "sig" or item.get("alg", "RS256") != "RS256":
        return None
    kid = item.get("kid")
    try:
        # Only the public numbers: the key would be read as a private one if a `d` stood in there.
        key = RSAAlgorithm.from_jwk({name: item[name] for name in ("kty", "n", "e")})
    except (PyJWTError, KeyError, ValueError, TypeError, AttributeError):
        return None
    shortest, longest = KEY_BITS
    if not isinstance(kid, str) or not isinstance(key, RSAPublicKey) or not shortest <= key.key_size <= longest:
        return None
    return kid, key
