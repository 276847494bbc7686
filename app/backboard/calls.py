"""One call to Backboard: it is sent, its status is judged, and the circuit breaker learns of the outcome."""

from http import HTTPStatus
from typing import Any

import httpx

from app import log
from app.backboard.circuit_breaker import CircuitBreaker
from app.backboard.models import is_not_found, raise_for_status, read_json
from app.deadline import Deadline
from app.errors import (
    AssistantMissing,
    AssistantUnavailable,
    CertificateRejected,
    NoFreeConnection,
    NotSent,
    OutcomeUnknown,
    Rejected,
    Throttled,
)
from app.http.client import HttpResponse, UnusableBody, build_client, certificate_problem, fetch
from app.http.tracing import trace_headers

CREATE_SECONDS = 6.0
# With less time than this, a create would probably end with an unknown outcome.
CREATE_NEEDS_SECONDS = 2.0

# An assistant echoes its prompt, perhaps twice.
ASSISTANT_BYTES = 256 * 1024

_NOTHING_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.LocalProtocolError,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


def build_backboard_client(*, url: str, api_key: str, connections: int) -> httpx.AsyncClient:
    """The HTTP client for Backboard.

    Idle connections are dropped early: a POST on one that Backboard has just closed has an unknown outcome.
    """
    return build_client(
        url,
        headers={"X-API-Key": api_key},
        timeout=httpx.Timeout(CREATE_SECONDS, connect=2.0, write=2.0, pool=1.0),
        limits=httpx.Limits(max_connections=connections, keepalive_expiry=4.0),
    )


class Calls:
    """Raises AssistantUnavailable or a class below it."""

    def __init__(self, client: httpx.AsyncClient, breaker: CircuitBreaker) -> None:
        self._client = client
        self._breaker = breaker

    async def close(self) -> None:
        await self._client.aclose()

    async def create(
        self, path: str, body: dict[str, str], deadline: Deadline, *, of_assistant: bool = False
    ) -> HttpResponse:
        """Send a create, and once more only if it was not sent; `of_assistant` as in `get_list`."""
        try:
            seconds = deadline.left(CREATE_SECONDS, at_least=CREATE_NEEDS_SECONDS)
            answer = await self.send("POST", path, json=body, seconds=seconds, missing_ok=of_assistant, is_last=False)
        except NotSent:
            seconds = deadline.left(CREATE_SECONDS, at_least=CREATE_NEEDS_SECONDS)
            answer = await self.send("POST", path, json=body, seconds=seconds, missing_ok=of_assistant)
        if answer.status == HTTPStatus.NOT_FOUND:
            raise AssistantMissing
        return answer

    async def get_list(
        self, path: str, params: dict[str, str | int], *, seconds: float, cap: int, of_assistant: bool = False
    ) -> list[Any]:
        """A listing's items as they came; OutcomeUnknown for a body that is no list.

        `of_assistant`: the path is below an assistant's, so Backboard's own 404 is an AssistantMissing.
        """
        answer = await self.send("GET", path, params=params, seconds=seconds, cap=cap, missing_ok=of_assistant)
        if answer.status == HTTPStatus.NOT_FOUND:
            raise AssistantMissing
        items = read_json(answer)
        if not isinstance(items, list):
            raise OutcomeUnknown("backboard_unreadable")
        return items

    async def send(
        self,
        method: str,
        path: str,
        *,
        seconds: float,
        cap: int = ASSISTANT_BYTES,
        missing_ok: bool = False,
        is_last: bool = True,
        **content: Any,
    ) -> HttpResponse:
        """Send one request and judge its status; the circuit breaker learns of every outcome.

        Without `is_last`, a request that was not sent is sent once more, so it does not count as a failure yet.
        """
        try:
            request = self._client.build_request(method, path, headers=trace_headers(), **content)
            answer = await self._fetch(request, seconds=seconds, cap=cap)
            if not (missing_ok and is_not_found(answer)):
                raise_for_status(answer)
        except Throttled as error:
            self._breaker.throttled(error.retry_after)
            raise
        except Rejected as error:
            if error.is_misconfiguration:
                log.error(error.reason, status=error.answer_status)
            if error.refuses_key:
                self._breaker.failed(method, refused=True)
            else:
                self._breaker.succeeded(method)
            raise
        except NoFreeConnection:
            raise
        except AssistantUnavailable as error:
            if is_last or not isinstance(error, NotSent):
                self._breaker.failed(method)
                if isinstance(error, CertificateRejected):
                    log.error(error.reason)
            raise
        self._breaker.succeeded(method)
        return answer

    async def _fetch(self, request: httpx.Request, *, seconds: float, cap: int) -> HttpResponse:
        try:
            with log.timed("backboard_ms"):
                return await fetch(self._client, request, seconds=seconds, cap=cap)
        except UnusableBody as error:
            raise OutcomeUnknown("backboard_unreadable") from error
        except httpx.PoolTimeout as error:
            # Our own connections were all in use: that says nothing about Backboard.
            raise NoFreeConnection from error
        except _NOTHING_SENT as error:
            raise (CertificateRejected if certificate_problem(error) else NotSent) from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise OutcomeUnknown("backboard_timeout") from error
        except httpx.HTTPError as error:
            raise OutcomeUnknown("backboard_dropped") from error
