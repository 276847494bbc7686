"""What lives as long as a process, the web process or a command: built from the settings, then opened, then closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from app.backboard import Backboard, build_backboard_client
from app.clerk_api import build_clerk_client
from app.database import LOOKUP_CONNECTIONS, Pool
from app.lifecycle import Lifecycle
from app.provisioning import Provisioning
from app.queries import Queries
from app.session_tokens import SessionTokens, build_session_tokens
from app.settings import Settings

FLIGHT_SECONDS = 12.0
# How many sign-ups may queue for each place before more are refused at once.
WAITING_PER_PLACE = 12
# Profiles are read before a place is taken, so more of them may be under way than users are provisioned.
CLERK_CALLS = 5


@dataclass(frozen=True, slots=True)
class Parts:
    """All of them."""

    queries: Queries
    pool: Pool
    places: Pool
    client: httpx.AsyncClient
    backboard: Backboard
    provisioning: Provisioning
    lifecycle: Lifecycle
    clerk: httpx.AsyncClient | None
    sessions: SessionTokens | None


def build_parts(settings: Settings) -> Parts:
    """Build what the web process and the commands stand on; nothing is connected yet."""
    queries = Queries.load()
    url = settings.database_url.get_secret_value()
    places = settings.provisioning_concurrency
    pool = Pool(url, name="lookup", size=LOOKUP_CONNECTIONS)
    provisioning_pool = Pool(url, name="provisioning", size=places, waiting=places * WAITING_PER_PLACE)
    client = build_backboard_client(
        url=settings.backboard_api_url,
        api_key=settings.backboard_api_key.get_secret_value(),
        # As many again for deletions of users and of sessions, which hold no place while Backboard answers.
        connections=3 * places,
    )
    backboard = Backboard(
        client, name_prefix=settings.assistant_name_prefix, system_prompt=settings.assistant_system_prompt
    )
    provisioning = Provisioning(queries=queries, pool=pool, places=provisioning_pool, backboard=backboard)
    lifecycle = Lifecycle(queries=queries, places=provisioning_pool, backboard=backboard)
    clerk = _build_clerk(settings)
    sessions = build_session_tokens(settings)
    return Parts(queries, pool, provisioning_pool, client, backboard, provisioning, lifecycle, clerk, sessions)


def _build_clerk(settings: Settings) -> httpx.AsyncClient | None:
    if settings.clerk_secret_key is None:
        return None
    key = settings.clerk_secret_key.get_secret_value()
    return build_clerk_client(
        url=settings.clerk_api_url, secret_key=key, connections=settings.provisioning_concurrency * CLERK_CALLS
    )


@asynccontextmanager
async def open_parts(parts: Parts) -> AsyncIterator[None]:
    """Open on entry, close in reverse; a database that is down stops neither."""
    await parts.pool.open()
    await parts.places.open()
    try:
        yield
    finally:
        await parts.provisioning.close(FLIGHT_SECONDS)
        await parts.client.aclose()
        if parts.clerk:
            await parts.clerk.aclose()
        if parts.sessions:
            await parts.sessions.close()
        await asyncio.gather(parts.pool.close(), parts.places.close())
