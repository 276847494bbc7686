"""An asynchronous client, with a method for each operation of the service."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from types import NoneType, TracebackType
from typing import Any, Self, TypeVar, cast

import httpx

from .problems import Failure, NoAnswer, Problem, read_body
from .requests import bearer, checked_url, given, path, with_id
from .retries import DEFAULT, Attempts, Retries
from .types import (
    BatchRequest,
    ChangeMessageRequest,
    ChangeSessionRequest,
    EnsuredUser,
    MessageAnswer,
    MessageList,
    MessagePage,
    MessageRequest,
    OpenSessionRequest,
    Preferences,
    ScenarioAnswer,
    ScenarioPage,
    ScenarioRequest,
    SearchSessionsRequest,
    SessionAnswer,
    SessionPage,
    StatsAnswer,
)

Answer = TypeVar("Answer")

# Of a DELETE that is sent again: its first answer was lost, and it was done.
_GONE = {"missing", "message_missing", "scenario_missing"}


class AsyncClient:
    """The service at `url`, asked with `token`: one of its SERVICE_TOKENS, or a function that gets a session token.

    `timeout` is in seconds, for connecting and for each wait for a part of an answer; the service takes 12.5 s at most.
    A call raises Problem, or NoAnswer, when `retries` are used up; ValueError is a mistake in its arguments.
    """

    def __init__(
        self,
        url: str,
        token: str | Callable[[], Awaitable[str]],
        *,
        timeout: float = 15.0,
        retries: Retries = DEFAULT,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._token = token
        self._retries = retries
        self._http = httpx.AsyncClient(base_url=checked_url(url), timeout=timeout, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ensure_user(
        self, clerk_id: str | None = None, *, email: str | None = None, name: str | None = None
    ) -> EnsuredUser:
        """Make sure of a user, their row and their assistant; a session token's own user needs no id."""
        body = given(clerk_id=clerk_id, email=email, name=name)
        return await self._call(EnsuredUser, "POST", path("ensure-user"), body)

    async def get_user(self, clerk_id: str) -> EnsuredUser:
        """Read a user; nothing is made."""
        return await self._call(EnsuredUser, "GET", path("users", clerk_id))

    async def get_stats(self, clerk_id: str) -> StatsAnswer:
        return await self._call(StatsAnswer, "GET", path("users", clerk_id, "stats"))

    async def get_preferences(self, clerk_id: str) -> Preferences:
        return await self._call(Preferences, "GET", path("users", clerk_id, "preferences"))

    async def replace_preferences(self, clerk_id: str, preferences: Preferences) -> Preferences:
        return await self._call(Preferences, "PUT", path("users", clerk_id, "preferences"), preferences)

    async def merge_preferences(self, clerk_id: str, preferences: Preferences) -> Preferences:
        """Replace the members that are named, and nothing inside them."""
        return await self._call(Preferences, "PATCH", path("users", clerk_id, "preferences"), preferences)

    async def open_session(
        self, clerk_id: str, session: OpenSessionRequest | None = None, *, idempotency_key: str | None = None
    ) -> SessionAnswer:
        """Open a session; with the key of an earlier call, this is the session of that call."""
        key = str(uuid.uuid4()) if idempotency_key is None else idempotency_key
        return await self._call(SessionAnswer, "POST", path("users", clerk_id, "sessions"), session or {}, key=key)

    async def list_sessions(
        self,
        clerk_id: str,
        *,
        q: str | None = None,
        status: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> SessionPage:
        """List or search sessions, newest activity first; `status` is one or several with commas between."""
        parameters = given(q=q, status=status, limit=limit, cursor=cursor)
        return await self._call(SessionPage, "GET", path("users", clerk_id, "sessions"), parameters=parameters)

    async def search_sessions(self, clerk_id: str, search: SearchSessionsRequest) -> SessionPage:
        """Search them without the text in an address, which proxies log."""
        return await self._call(SessionPage, "POST", path("users", clerk_id, "sessions", "search"), search)

    async def get_session(self, session_id: str) -> SessionAnswer:
        return await self._call(SessionAnswer, "GET", path("sessions", session_id))

    async def change_session(self, session_id: str, changed: ChangeSessionRequest) -> SessionAnswer:
        return await self._call(SessionAnswer, "PATCH", path("sessions", session_id), changed)

    async def delete_session(self, session_id: str) -> None:
        """Delete a session with its messages and its thread."""
        await self._delete(path("sessions", session_id))

    async def list_messages(
        self,
        session_id: str,
        *,
        limit: int | None = None,
        before: str | None = None,
    ) -> MessagePage:
        """Read the last messages, or those before a page; oldest first."""
        parameters = given(limit=limit, before=before)
        return await self._call(MessagePage, "GET", path("sessions", session_id, "messages"), parameters=parameters)

    async def add_message(self, session_id: str, message: MessageRequest) -> MessageAnswer:
        """Add a message; give it an `id` if it is to be repeated by a later call too."""
        return await self._call(MessageAnswer, "POST", path("sessions", session_id, "messages"), with_id(message))

    async def add_messages(self, session_id: str, batch: BatchRequest) -> MessageList:
        """Add several messages, all or nothing."""
        body = {"messages": [with_id(message) for message in batch["messages"]]}
        return await self._call(MessageList, "POST", path("sessions", session_id, "messages", "batch"), body)

    async def change_message(self, session_id: str, message_id: str, changed: ChangeMessageRequest) -> MessageAnswer:
        """Set members of its metadata; one that is None is taken out."""
        return await self._call(MessageAnswer, "PATCH", path("sessions", session_id, "messages", message_id), changed)

    async def delete_message(self, session_id: str, message_id: str) -> None:
        await self._delete(path("sessions", session_id, "messages", message_id))

    async def list_scenarios(
        self, *, include_inactive: bool = False, limit: int | None = None, cursor: str | None = None
    ) -> ScenarioPage:
        parameters = given(include_inactive="true" if include_inactive else None, limit=limit, cursor=cursor)
        return await self._call(ScenarioPage, "GET", path("scenarios"), parameters=parameters)

    async def get_scenario(self, slug: str) -> ScenarioAnswer:
        return await self._call(ScenarioAnswer, "GET", path("scenarios", slug))

    async def put_scenario(self, slug: str, scenario: ScenarioRequest) -> ScenarioAnswer:
        """Make a scenario, or replace the whole of it."""
        return await self._call(ScenarioAnswer, "PUT", path("scenarios", slug), scenario)

    async def delete_scenario(self, slug: str) -> None:
        await self._delete(path("scenarios", slug))

    async def _delete(self, where: str) -> None:
        try:
            await self._call(NoneType, "DELETE", where)
        except Problem as problem:
            if problem.tries == 1 or problem.code not in _GONE:
                raise

    async def _call(
        self,
        _: type[Answer],
        method: str,
        where: str,
        body: Any = None,
        *,
        key: str | None = None,
        parameters: Mapping[str, str | int] | None = None,
    ) -> Answer:
        """Send a request until it is answered; its answer is of the type that the document gives it."""
        attempts = Attempts(self._retries)
        while True:
            headers = bearer(self._token if isinstance(self._token, str) else await self._token())
            if key is not None:
                headers["Idempotency-Key"] = key
            try:
                response = await self._http.request(method, where, json=body, headers=headers, params=parameters)
            except (httpx.LocalProtocolError, httpx.UnsupportedProtocol):
                raise
            except httpx.RequestError as error:
                failure: Failure = NoAnswer(f"no answer of the service: {error or type(error).__name__}")
            else:
                if response.is_success:
                    return cast("Answer", read_body(response))
                failure = Problem(response)
            await asyncio.sleep(attempts.wait_after(failure))
