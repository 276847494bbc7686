"""HTTP requests to Clerk and Backboard: the client, one bounded request, and retries of reads."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TypeVar

import httpx

from app.errors import ThrottledBy, Unavailable


class UnusableBody(Exception):
    """The response body is too large, or encoded although the request did not accept that."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response, read to its end; `retry_after` is the header, unparsed."""

    status: int
    body: bytes
    retry_after: str | None = None


@cache
def tls_context() -> ssl.SSLContext:
    """One for all clients of a process, because reading the certificates takes 40 ms."""
    return httpx.create_ssl_context(trust_env=False)


def build_client(
    base_url: str, *, headers: dict[str, str], timeout: httpx.Timeout, limits: httpx.Limits
) -> httpx.AsyncClient:
    """A client without the environment's proxies and .netrc, without redirects and without compression.

    50 KB of gzip can be 50 MB in memory.
    """
    return httpx.AsyncClient(
        base_url=base_url,
        headers={"User-Agent": "clerk-backboard-sync", "Accept-Encoding": "identity"} | headers,
        timeout=timeout,
        limits=limits,
        follow_redirects=False,
        trust_env=False,
        verify=tls_context(),
    )


async def fetch(client: httpx.AsyncClient, request: httpx.Request, *, seconds: float, cap: int) -> HttpResponse:
    """Send a request and read at most `cap` bytes of the response, all within `seconds`.

    httpx applies its timeouts to each read, so a server that drips bytes would never time out. Raises
    httpx.HTTPError, TimeoutError or UnusableBody.
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


def is_certificate_error(error: BaseException) -> bool:
    """Whether a connection failed because the server's certificate is expired or belongs to another host."""
    causes = [error]
    # An exception that is raised twice can be its own cause.
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes)


def seconds_to_wait(retry_after: str | None, *, longest: int) -> int:
    """Retry-After, in seconds or as a date, limited to 1 to `longest`; the default when it is missing or malformed."""
    if retry_after is None:
        return Unavailable.retry_after
    if retry_after.isascii() and retry_after.isdigit():
        # Sliced, since int() refuses thousands of digits.
        return min(longest, max(1, int(retry_after[:6])))
    try:
        until = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError, TypeError):
        return Unavailable.retry_after
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(longest, max(1, round((until - datetime.now(UTC)).total_seconds())))


Result = TypeVar("Result")

# Seconds before each retry; where the response carries a Retry-After, that counts instead.
PAUSES = (1.0, 2.0, 4.0)


async def retry_reads(read: Callable[[], Awaitable[Result]]) -> Result:
    """Call `read` until it succeeds, a few times at most; an error that is not transient is raised at once."""
    for pause in PAUSES:
        try:
            return await read()
        except Unavailable as error:
            if not error.is_transient:
                raise
            await asyncio.sleep(error.retry_after if isinstance(error, ThrottledBy) else pause)
    return await read()
