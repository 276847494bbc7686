"""HTTP towards a partner: a client that trusts nothing of the environment, and one bounded exchange."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx

from app.errors import ThrottledBy, Unavailable


class UnusableBody(Exception):
    """The answer's body is larger than it may be, or encoded although that was not asked for."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What a partner answered; `retry_after` is the header as it came."""

    status: int
    body: bytes
    retry_after: str | None = None


def build_client(
    base_url: str, *, headers: dict[str, str], timeout: httpx.Timeout, limits: httpx.Limits
) -> httpx.AsyncClient:
    """A client without proxies or .netrc of the environment, without redirects and without compression.

    50 KB of gzip can be 50 MB in memory.
    """
    return httpx.AsyncClient(
        base_url=base_url,
        headers={"User-Agent": "clerk-backboard-sync", "Accept-Encoding": "identity"} | headers,
        timeout=timeout,
        limits=limits,
        follow_redirects=False,
        trust_env=False,
    )


async def fetch(client: httpx.AsyncClient, request: httpx.Request, *, seconds: float, cap: int) -> HttpResponse:
    """Send a request and read at most `cap` bytes of its answer, all of it within `seconds`.

    httpx's own timeouts are per read, and a drip outlives them. Raises httpx.HTTPError, TimeoutError or UnusableBody.
    """
    async with asyncio.timeout(seconds):
        response = await client.send(request, stream=True)
        try:
            body = await _read(response, cap)
        finally:
            await response.aclose()
    return HttpResponse(response.status_code, body, response.headers.get("Retry-After"))


async def _read(response: httpx.Response, cap: int) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnusableBody
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > cap:
            raise UnusableBody
    return bytes(body)


def is_untrusted(error: BaseException) -> bool:
    """Whether a connection failed because of the other side's certificate: expired, or not that host's."""
    causes = [error]
    # An exception that is raised twice can be its own cause.
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes)


def seconds_to_wait(retry_after: str | None, *, longest: int) -> int:
    """Retry-After in seconds or as a date, kept within 1 and `longest`; 5 when it is missing or garbage."""
    if retry_after is None:
        return Unavailable.retry_after
    if retry_after.isascii() and retry_after.isdigit():
        # Sliced, since int() of thousands of digits is an error of its own.
        return min(longest, max(1, int(retry_after[:6])))
    try:
        until = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError, TypeError):
        return Unavailable.retry_after
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(longest, max(1, round((until - datetime.now(UTC)).total_seconds())))


Result = TypeVar("Result")

# Seconds before each further try; a partner that names a time of its own is given that.
PAUSES = (1.0, 2.0, 4.0)


async def retry_reads(ask: Callable[[], Awaitable[Result]]) -> Result:
    """The answer, asked for a few times; Unavailable at once when it is our key that is refused."""
    for pause in PAUSES:
        try:
            return await ask()
        except Unavailable as error:
            if not error.is_transient:
                raise
            await asyncio.sleep(error.retry_after if isinstance(error, ThrottledBy) else pause)
    return await ask()
