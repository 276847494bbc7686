"""Clerk's Backend API: one user, and pages of all users.

Facts: Clerk's OpenAPI file bapi/2026-05-12.yml. The official Python client is not used: it drops the cursor of a
listing silently, and repeats for up to an hour.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any

import httpx

from app import log
from app.clerk.users import CLERK_ID, Profile, profile_of
from app.deadline import Deadline
from app.errors import InvalidRequest, ThrottledBy, Unavailable
from app.http.client import HttpResponse, UnusableBody, build_client, fetch, retry_reads, seconds_to_wait

API_VERSION = "2026-05-12"
USER_SECONDS = 2.0
PAGE_SECONDS = 20.0
USER_BYTES = 1024 * 1024
# 500 users of a few KB each, and room for their metadata.
PAGE_BYTES = 64 * 1024 * 1024
# The largest that Clerk takes; above it, Clerk answers with ten and no error.
PAGE_LIMIT = 500
LONGEST_WAIT = 60


class ClerkUnavailable(Unavailable):
    """Clerk did not say whether there is such a user: down, slow, or its answer cannot be read."""

    reason = "clerk_error"


class ClerkThrottled(ClerkUnavailable, ThrottledBy):
    reason = "clerk_throttled"


class ClerkKeyRejected(ClerkUnavailable):
    """Clerk refuses our key, or the address is not Clerk's."""

    reason = "clerk_refused"
    is_transient = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some of Clerk's users in the order of their creation; `cursor` asks for the next page, None ends it.

    `ids` are everybody's; whose id is longer or other than a Clerk user's is not among the profiles.
    """

    ids: list[str]
    profiles: list[Profile]
    cursor: str | None

    @property
    def unusable(self) -> int:
        """How many have no profile."""
        return len(self.ids) - len(self.profiles)


def build_clerk_client(*, url: str, secret_key: str, connections: int) -> httpx.AsyncClient:
    """The HTTP client for Clerk."""
    return build_client(
        url,
        headers={"Authorization": f"Bearer {secret_key}", "Clerk-API-Version": API_VERSION},
        timeout=httpx.Timeout(PAGE_SECONDS, connect=2.0, pool=2.0),
        limits=httpx.Limits(max_connections=connections),
    )


class ClerkApi:
    """What the service asks of Clerk; every method raises ClerkUnavailable when there is no definite answer."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def close(self) -> None:
        await self._client.aclose()

    async def get_user(self, clerk_id: str, deadline: Deadline) -> Profile | None:
        """The user's profile, or None if Clerk says for certain that there is no such user."""
        request = self._client.build_request("GET", f"/users/{clerk_id}")
        status, document = await self._call(request, seconds=deadline.left(USER_SECONDS), cap=USER_BYTES)
        if status == HTTPStatus.NOT_FOUND:
            return None
        profile = _profile(document)
        if profile.clerk_id != clerk_id:
            raise ClerkUnavailable("clerk_unreadable")
        return profile

    async def list_users(self, cursor: str | None) -> Page:
        """A page of users, the oldest first; `cursor` is what the page before said."""
        parameters = {"limit": str(PAGE_LIMIT), "order_by": "+created_at"}
        if cursor is not None:
            parameters["starting_after"] = cursor
        request = self._client.build_request("GET", "/users", params=parameters)
        _, document = await self._call(request, seconds=PAGE_SECONDS, cap=PAGE_BYTES)
        ids = _ids(document)
        profiles = [_profile(item) for item in document if CLERK_ID.fullmatch(item["id"])]
        return Page(ids, profiles, ids[-1] if len(ids) >= PAGE_LIMIT else None)

    async def count_users(self) -> int:
        """How many users the instance has."""
        request = self._client.build_request("GET", "/users/count")
        _, document = await self._call(request, seconds=PAGE_SECONDS, cap=USER_BYTES)
        count = document.get("total_count") if isinstance(document, dict) else None
        if not isinstance(count, int):
            raise ClerkUnavailable("clerk_unreadable")
        return count

    async def _call(self, request: httpx.Request, *, seconds: float, cap: int) -> tuple[int, Any]:
        """Status and document of a 200, or of a 404 that speaks of the user and not of the address."""
        try:
            with log.timed("clerk_ms"):
                answer = await fetch(self._client, request, seconds=seconds, cap=cap)
        except UnusableBody as error:
            raise ClerkUnavailable("clerk_unreadable") from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise ClerkUnavailable("clerk_unreachable") from error
        return answer.status, _document(answer)


def _document(answer: HttpResponse) -> Any:
    try:
        document = json.loads(answer.body.decode())
    except (ValueError, RecursionError):
        document = None
    status = answer.status
    if status == HTTPStatus.OK and document is not None:
        return document
    if status == HTTPStatus.NOT_FOUND and _speaks_of_user(document):
        return document
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise ClerkThrottled(retry_after=seconds_to_wait(answer.retry_after, longest=LONGEST_WAIT))
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
        # A wrong base URL answers 404 as well; only Clerk's own code says that the user is unknown.
        log.error("clerk_refused", status=status)
        raise ClerkKeyRejected
    raise ClerkUnavailable


def _speaks_of_user(document: Any) -> bool:
    errors = document.get("errors") if isinstance(document, dict) else None
    return isinstance(errors, list) and any(
        isinstance(error, dict) and error.get("code") == "resource_not_found" for error in errors
    )


def _ids(document: Any) -> list[str]:
    """Everybody's id in a page; ClerkUnavailable when it is not a page of users."""
    if not isinstance(document, list):
        raise ClerkUnavailable("clerk_unreadable")
    ids: list[Any] = [item.get("id") if isinstance(item, dict) else None for item in document]
    if not all(isinstance(one, str) and one.startswith("user_") for one in ids):
        raise ClerkUnavailable("clerk_unreadable")
    return ids


def _profile(item: Any) -> Profile:
    try:
        return profile_of(item, datetime.now(UTC))
    except InvalidRequest as error:
        raise ClerkUnavailable("clerk_unreadable") from error


class IncompleteListing(Exception):
    """Clerk's listing lacks users; the text is a sentence for a person, without its full stop."""


async def count_of_clerk(clerk: ClerkApi) -> int:
    """How many users Clerk counts."""
    return await retry_reads(clerk.count_users)


async def pages_of_clerk(clerk: ClerkApi, counted: int) -> AsyncIterator[Page]:
    """Every user once, page by page.

    Raises IncompleteListing at the end when they are fewer than `counted` before and after.
    """
    seen: set[str] = set()
    cursor: str | None = None
    while True:
        page = await retry_reads(partial(clerk.list_users, cursor))
        fresh = [clerk_id for clerk_id in page.ids if clerk_id not in seen]
        yield replace(page, ids=fresh, profiles=[one for one in page.profiles if one.clerk_id not in seen])
        seen.update(fresh)
        if page.cursor is None:
            break
        if not fresh:
            raise IncompleteListing("Clerk's listing repeats itself")
        cursor = page.cursor
    # Users may come and go while the pages are read.
    count = min(counted, await count_of_clerk(clerk))
    if len(seen) < count:
        raise IncompleteListing(f"Clerk listed {len(seen)} users, and Clerk counts {count}")


async def user_at_clerk(clerk: ClerkApi, clerk_id: str) -> Profile | None:
    """One user, None by Clerk's definite word."""
    return await retry_reads(lambda: clerk.get_user(clerk_id, Deadline()))
