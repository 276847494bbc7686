"""The public keys of Clerk's session tokens: one key from the settings, or the instance's key set (JWKS).

The key set is fetched with our own client, because PyJWT's blocks the event loop while it waits.
"""

import asyncio
import json
from collections.abc import Iterable
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
# RFC 7518 asks for 2048 bits or more; the upper limit keeps a misconfigured key from costing seconds of CPU.
KEY_BITS = (2048, 8192)
# A key id that Clerk has not is not asked for again in this time.
REFRESH_SECONDS = 60.0
# Any other unknown key id is: users with a valid token may be waiting for the key of a rotation, or for Clerk. Tokens
# with invented key ids can cause one request to Clerk in this time and no more, for which they wait as well.
RETRY_SECONDS = 5.0
# How long a token with an unknown key id may wait: until the next fetch is due, for its answer, and a little more.
WAIT_SECONDS = RETRY_SECONDS + FETCH_SECONDS + 0.5
# So many key ids that Clerk has not are remembered.
MOST_ABSENT = 1000
# The set is fetched again after this time, so that a key that Clerk has withdrawn is forgotten.
KEEP_SECONDS = 3600.0


class KeySource(Protocol):
    """Where the public key of a token comes from."""

    async def get_key(self, kid: str, seconds: float) -> RSAPublicKey | None:
        """The key with this id; None if there is none, Unavailable if that cannot be found out in `seconds`."""

    async def close(self) -> None: ...


class StaticKey:
    """The key of the settings. It belongs to one instance, so the key id of a token does not matter."""

    def __init__(self, pem: str) -> None:
        key = load_pem_public_key(pem.encode())
        if not isinstance(key, RSAPublicKey):  # The settings have rejected other keys already.
            raise TypeError(type(key).__name__)
        self._key = key

    async def get_key(self, kid: str, seconds: float) -> RSAPublicKey | None:  # noqa: ARG002  # The protocol's signature.
        return self._key

    async def close(self) -> None:
        pass


def build_jwks_client(issuer: str) -> httpx.AsyncClient:
    return build_client(
        issuer, headers={}, timeout=httpx.Timeout(FETCH_SECONDS), limits=httpx.Limits(max_connections=1)
    )


class ClerkKeysUnavailable(Unavailable):
    """The key of a session token could not be fetched."""

    reason = "clerk_keys_unreachable"


class JwksCache:
    """The instance's key set, kept in memory. All callers that need a fetch share one."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._keys: dict[str, RSAPublicKey] = {}
        # The last fetch that has begun, and the one that begins as soon as it is due.
        self._fetch_task: asyncio.Task[None] | None = None
        self._next_task: asyncio.Task[None] | None = None
        self._failure: str | None = None
        self._cause: Exception | None = None
        # Key ids that a fetch has not found.
        self._absent: set[str] = set()
        self._fetched_at = self._attempted_at = float("-inf")

    async def get_key(self, kid: str, seconds: float) -> RSAPublicKey | None:
        """The key with this id. A key in memory is returned at once, even while Clerk is down.

        None only after a fetch that began when the id was known already: any other may be older than the key. So a
        caller waits for the next one, but not after one that failed: that is Unavailable.
        """
        key = self._keys.get(kid)
        if key is not None:
            if monotonic() - self._fetched_at > KEEP_SECONDS:
                self._next_fetch()
            return key
        if kid in self._absent and monotonic() - self._fetched_at < REFRESH_SECONDS:
            return None
        try:
            async with asyncio.timeout(seconds):
                return await self._fetch_key(kid)
        except TimeoutError:
            raise self._unavailable() from None

    async def close(self) -> None:
        for task in (self._next_task, self._fetch_task):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        await self._client.aclose()

    async def _fetch_key(self, kid: str) -> RSAPublicKey | None:
        if self._fetch_task is not None:
            await asyncio.wait([self._fetch_task])
        if kid not in self._keys:
            if self._failure is not None and self._seconds_to_next() > 0:
                # While Clerk is down, callers do not pile up.
                raise self._unavailable() from self._cause
            await asyncio.wait([self._next_fetch()])
        key = self._keys.get(kid)
        if key is None:
            if self._failure is not None:
                raise self._unavailable() from self._cause
            self._remember_absent([kid])
        return key

    def _unavailable(self) -> ClerkKeysUnavailable:
        return ClerkKeysUnavailable(self._failure, retry_after=max(1, round(self._seconds_to_next())))

    def _seconds_to_next(self) -> float:
        return self._attempted_at + RETRY_SECONDS - monotonic()

    def _remember_absent(self, kids: Iterable[str]) -> None:
        if len(self._absent) >= MOST_ABSENT:
            # An id that is forgotten costs its next token a wait, and nothing else.
            self._absent.clear()
        self._absent.update(kids)

    def _next_fetch(self) -> asyncio.Task[None]:
        """A fetch that has not begun yet."""
        if self._next_task is None:
            self._next_task = asyncio.create_task(self._fetch_when_due())
        return self._next_task

    async def _fetch_when_due(self) -> None:
        await asyncio.sleep(self._seconds_to_next())
        self._fetch_task, self._next_task = self._next_task, None
        self._attempted_at = monotonic()
        await self._fetch()

    async def _fetch(self) -> None:
        """Replace the whole set; after a failure the old one stays."""
        try:
            request = self._client.build_request("GET", PATH)
            keys = _read_set(await fetch(self._client, request, seconds=FETCH_SECONDS, cap=SET_BYTES))
        except (httpx.HTTPError, TimeoutError) as error:
            self._failure, self._cause = "clerk_keys_unreachable", error
        except (UnusableBody, ValueError, RecursionError) as error:
            self._failure, self._cause = "clerk_keys_unreadable", error
        else:
            self._remember_absent(self._keys.keys())
            self._absent -= keys.keys()
            self._keys, self._failure, self._fetched_at = keys, None, monotonic()
            return
        log.error(self._failure)


def _read_set(response: HttpResponse) -> dict[str, RSAPublicKey]:
    """The usable keys of a set by id; ValueError when there is none, since an empty set would reject every token."""
    if response.status != HTTPStatus.OK:
        raise ValueError("not a key set")
    document = json.loads(response.body)
    items = document.get("keys") if isinstance(document, dict) else None
    keys = dict(filter(None, map(_read_key, items))) if isinstance(items, list) else {}
    if not keys:
        raise ValueError("no keys")
    return keys


def _read_key(item: Any) -> tuple[str, RSAPublicKey] | None:
    """A signature key with its id; None for any other key of the set."""
    if not isinstance(item, dict) or item.get("use", "sig") != "sig" or item.get("alg", "RS256") != "RS256":
        return None
    kid = item.get("kid")
    try:
        # Only the public numbers: with a `d` in it, the key would be read as a private one.
        key = RSAAlgorithm.from_jwk({name: item[name] for name in ("kty", "n", "e")})
    except (PyJWTError, KeyError, ValueError, TypeError, AttributeError):
        return None
    shortest, longest = KEY_BITS
    if not isinstance(kid, str) or not isinstance(key, RSAPublicKey) or not shortest <= key.key_size <= longest:
        return None
    return kid, key
