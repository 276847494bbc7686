"""The long-lived objects of a process, the web process or a command: built from the settings, opened, closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.backboard.client import Backboard, build_backboard_client
from app.clerk.api import ClerkApi, build_clerk_client
from app.clerk.session_tokens import SessionTokens, build_session_tokens
from app.postgres.pool import LOOKUP_CONNECTIONS, Pool
from app.postgres.queries import Queries
from app.settings import Settings
from app.users.deletion import Lifecycle
from app.users.provisioning import Provisioning

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
    backboard: Backboard
    provisioning: Provisioning
    lifecycle: Lifecycle
    clerk: ClerkApi | None
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
    return Parts(queries, pool, provisioning_pool, backboard, provisioning, lifecycle, clerk, sessions)


def _build_clerk(settings: Settings) -> ClerkApi | None:
    if settings.clerk_secret_key is None:
        return None
    key = settings.clerk_secret_key.get_secret_value()
    connections = settings.provisioning_concurrency * CLERK_CALLS
    return ClerkApi(build_clerk_client(url=settings.clerk_api_url, secret_key=key, connections=connections))


@asynccontextmanager
async def open_parts(parts: Parts) -> AsyncIterator[None]:
    """Open on entry, close in reverse; a database that is down stops neither."""
    await parts.pool.open()
    await parts.places.open()
    try:
        yield
    finally:
        await parts.provisioning.close(FLIGHT_SECONDS)
        await parts.backboard.close()
        if parts.clerk:
            await parts.clerk.close()
        if parts.sessions:
            await parts.sessions.close()
        await asyncio.gather(parts.pool.close(), parts.places.close())
