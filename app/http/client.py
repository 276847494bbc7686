"""HTTP requests to Clerk and Backboard: the client, one bounded request, and retries of reads."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TypeVar
from urllib.request import getproxies, proxy_bypass

import httpx

from app.errors import ThrottledBy, Unavailable
from app.settings import ConfigurationError


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
    """One for all clients of a process, because reading the certificates takes 40 ms.

    It trusts what certifi lists and what this system trusts: OpenSSL reads SSL_CERT_FILE and SSL_CERT_DIR itself.
    """
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


def build_client(
    base_url: str, *, headers: dict[str, str], timeout: httpx.Timeout, limits: httpx.Limits
) -> httpx.AsyncClient:
    """A client without redirects and without compression: 50 KB of gzip can be 50 MB in memory.

    To an https address it goes through the proxy of HTTPS_PROXY, unless NO_PROXY names the host. Plain HTTP is for
    stand-ins on this machine, which no proxy reaches.
    """
    return httpx.AsyncClient(
        base_url=base_url,
        headers={"User-Agent": "clerk-backboard-sync", "Accept-Encoding": "identity"} | headers,
        timeout=timeout,
        limits=limits,
        follow_redirects=False,
        trust_env=_needs_proxy(base_url),
        verify=tls_context(),
    )


def check_proxy(*urls: str | None) -> bool:
    """Whether requests to one of these addresses may go through a proxy; ConfigurationError if it cannot be used."""
    if not any(url and _needs_proxy(url) for url in urls):
        return False
    proxies = {name: url for name, url in getproxies().items() if name in ("http", "https", "all")}
    unusable = [f"{name.upper()}_PROXY {_PROXY_ADDRESS}" for name, url in proxies.items() if not _is_http(url)]
    if unusable:
        raise ConfigurationError(unusable)
    return not proxies.keys().isdisjoint(("https", "all"))


def goes_through_proxy(url: str) -> bool:
    """Whether requests to this address go through a proxy."""
    return check_proxy(url) and not proxy_bypass(httpx.URL(url).host)


async def reaches_proxy() -> bool:
    """Whether something listens where the environment's proxy should."""
    proxies = getproxies()
    text = proxies.get("https") or proxies["all"]
    address = httpx.URL(text if "://" in text else f"http://{text}")
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        async with asyncio.timeout(PROXY_SECONDS):
            _, writer = await asyncio.open_connection(address.host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


PROXY_SECONDS = 4.0
_PROXY_ADDRESS = "must be the address of an HTTP proxy, such as http://proxy.example.com:3128; SOCKS is not spoken here"


def _needs_proxy(url: str) -> bool:
    return url.startswith("https://")


def _is_http(url: str) -> bool:
    """Whether httpx can use it as a proxy; without a scheme, it is taken for http."""
    try:
        address = httpx.URL(url if "://" in url else f"http://{url}")
    except httpx.InvalidURL:
        return False
    return address.scheme in ("http", "https") and bool(address.host)


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


# OpenSSL's x509_vfy.h.
_CERTIFICATE_PROBLEMS = {
    9: "it is not valid yet",
    10: "it has expired",
    62: "it is another host's",
    64: "it is another host's",
}


def _causes(error: BaseException) -> list[BaseException]:
    """The error and what caused it."""
    causes = [error]
    # An exception that is raised twice can be its own cause.
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    return causes


def is_refused_by_proxy(error: BaseException) -> bool:
    """Whether the proxy answered, and would not connect us."""
    return any(isinstance(cause, httpx.ProxyError) for cause in _causes(error))


def certificate_problem(error: BaseException) -> str | None:
    """What is wrong with the server's certificate, if a connection failed because of it; names no host."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _CERTIFICATE_PROBLEMS.get(cause.verify_code, "no authority that is trusted here has issued it")
    return None


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
