"""Clerk's Backend API: one user, and pages of all users.

Facts: Clerk's OpenAPI file bapi/2026-05-12.yml. The official Python client is not used: it drops the cursor of a
listing silently, and repeats requests for up to an hour.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any

import httpx

from app import log
from app.clerk.documents import read_document
from app.clerk.users import CLERK_ID, Profile, read_profile
from app.deadline import Deadline
from app.errors import InvalidRequest, ThrottledBy, Unavailable
from app.http.client import HttpResponse, UnusableBody, build_client, fetch, retry_reads, seconds_to_wait

API_VERSION = "2026-05-12"
USER_SECONDS = 2.0
PAGE_SECONDS = 20.0
USER_BYTES = 1024 * 1024
# 500 users of a few KB each, and room for their metadata.
PAGE_BYTES = 64 * 1024 * 1024
# Clerk's maximum; it answers a higher limit with ten users and no error.
PAGE_LIMIT = 500
LONGEST_WAIT = 60


class ClerkUnavailable(Unavailable):
    """Clerk gave no definite answer: it is down or slow, or its answer cannot be read."""

    reason = "clerk_error"


class ClerkThrottled(ClerkUnavailable, ThrottledBy):
    reason = "clerk_throttled"


class ClerkKeyRejected(ClerkUnavailable):
    """Clerk refuses our key, or the address is not Clerk's."""

    reason = "clerk_refused"
    is_transient = False


class IncompleteListing(Exception):
    """Clerk's listing lacks users; the text is a sentence for the operator, without its full stop."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of Clerk's users, the oldest first; `cursor` asks for the next page, None ends the listing.

    `ids` holds all users of the page. A user with an id that this service cannot store has no profile.
    """

    ids: list[str]
    profiles: list[Profile]
    cursor: str | None

    @property
    def unusable(self) -> int:
        """The number of users without a profile."""
        return len(self.ids) - len(self.profiles)


def build_clerk_client(*, url: str, secret_key: str, connections: int) -> httpx.AsyncClient:
    return build_client(
        url,
        headers={"Authorization": f"Bearer {secret_key}", "Clerk-API-Version": API_VERSION},
        timeout=httpx.Timeout(PAGE_SECONDS, connect=2.0, pool=2.0),
        limits=httpx.Limits(max_connections=connections),
    )


class ClerkApi:
    """The calls of this service to Clerk; every method raises ClerkUnavailable when there is no definite answer."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def close(self) -> None:
        await self._client.aclose()

    async def get_user(self, clerk_id: str, deadline: Deadline) -> Profile | None:
        """The user's profile; None only when Clerk's own error code says that there is no such user."""
        request = self._client.build_request("GET", f"/users/{clerk_id}")
        response = await self._fetch(request, seconds=deadline.left(USER_SECONDS), cap=USER_BYTES)
        document = _read_json(response)
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        profile = _read_profile(document)
        if profile.clerk_id != clerk_id:
            raise ClerkUnavailable("clerk_unreadable")
        return profile

    async def list_users(self, cursor: str | None) -> Page:
        """A page of users, the oldest first; `cursor` is the one of the page before."""
        parameters = {"limit": str(PAGE_LIMIT), "order_by": "+created_at"}
        if cursor is not None:
            parameters["starting_after"] = cursor
        request = self._client.build_request("GET", "/users", params=parameters)
        users = _read_json(await self._fetch(request, seconds=PAGE_SECONDS, cap=PAGE_BYTES))
        ids = _read_ids(users)
        profiles = [_read_profile(user) for user in users if CLERK_ID.fullmatch(user["id"])]
        return Page(ids, profiles, ids[-1] if len(ids) >= PAGE_LIMIT else None)

    async def count_users(self) -> int:
        """The number of users of the instance."""
        request = self._client.build_request("GET", "/users/count")
        document = _read_json(await self._fetch(request, seconds=PAGE_SECONDS, cap=USER_BYTES))
        count = document.get("total_count") if isinstance(document, dict) else None
        if not isinstance(count, int):
            raise ClerkUnavailable("clerk_unreadable")
        return count

    async def list_all_users(self, expected: int) -> AsyncIterator[Page]:
        """Every user once, page by page; each page is asked for a few times.

        Raises IncompleteListing at the end when Clerk has listed fewer users than it counted before (`expected`)
        and counts now: users may come and go while the pages are read.
        """
        seen: set[str] = set()
        cursor: str | None = None
        while True:
            page = await retry_reads(partial(self.list_users, cursor))
            fresh = [clerk_id for clerk_id in page.ids if clerk_id not in seen]
            yield replace(page, ids=fresh, profiles=[one for one in page.profiles if one.clerk_id not in seen])
            seen.update(fresh)
            if page.cursor is None:
                break
            if not fresh:
                raise IncompleteListing("Clerk's listing repeats itself")
            cursor = page.cursor
        count = min(expected, await retry_reads(self.count_users))
        if len(seen) < count:
            raise IncompleteListing(f"Clerk listed {len(seen)} users, and Clerk counts {count}")

    async def _fetch(self, request: httpx.Request, *, seconds: float, cap: int) -> HttpResponse:
        try:
            with log.timed("clerk_ms"):
                return await fetch(self._client, request, seconds=seconds, cap=cap)
        except UnusableBody as error:
            raise ClerkUnavailable("clerk_unreadable") from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise ClerkUnavailable("clerk_unreachable") from error


def _read_json(response: HttpResponse) -> Any:
    """The document of a 200, or of a 404 about the user; ClerkUnavailable for any other response."""
    try:
        document = read_document(response.body)
    except InvalidRequest:
        document = None
    status = response.status
    if status == HTTPStatus.OK and document is not None:
        return document
    if status == HTTPStatus.NOT_FOUND and _is_user_not_found(document):
        return document
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise ClerkThrottled(retry_after=seconds_to_wait(response.retry_after, longest=LONGEST_WAIT))
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
        log.error("clerk_refused", status=status)
        raise ClerkKeyRejected
    raise ClerkUnavailable


def _is_user_not_found(document: Any) -> bool:
    """Whether a 404 has Clerk's own code; a wrong base URL answers 404 as well."""
    errors = document.get("errors") if isinstance(document, dict) else None
    return isinstance(errors, list) and any(
        isinstance(error, dict) and error.get("code") == "resource_not_found" for error in errors
    )


def _read_ids(users: Any) -> list[str]:
    """The ids of all users of a page; ClerkUnavailable when it is not a page of users."""
    if not isinstance(users, list):
        raise ClerkUnavailable("clerk_unreadable")
    ids: list[Any] = [user.get("id") if isinstance(user, dict) else None for user in users]
    if not all(isinstance(one, str) and one.startswith("user_") for one in ids):
        raise ClerkUnavailable("clerk_unreadable")
    return ids


def _read_profile(user: Any) -> Profile:
    try:
        return read_profile(user, datetime.now(UTC))
    except InvalidRequest as error:
        raise ClerkUnavailable("clerk_unreadable") from error
