"""The long-lived objects of a process, the web process or a command: built from the settings, opened, closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.backboard.calls import build_backboard_client
from app.backboard.client import Backboard
from app.backboard.slots import DeletionSlots, ProvisioningSlots
from app.clerk.api import ClerkApi, build_clerk_client
from app.clerk.session_tokens import SessionTokens, build_session_tokens
from app.postgres.kept_connection import KeptConnection
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.settings import Settings
from app.users.deletion import UserDeletion
from app.users.provisioning import Provisioning
from app.users.replacement import AssistantReplacement

CLOSE_SECONDS = 12.0
# One for batched reads, one for batched writes.
KEPT_CONNECTIONS = 2
# How many sign-ups may queue for each slot before more are refused at once.
WAITING_PER_SLOT = 12
# Profiles are read before a slot is taken, so more of them may be under way than users are provisioned.
CLERK_CALLS_PER_SLOT = 5


@dataclass(frozen=True, slots=True)
class Components:
    """Everything that lives as long as the process."""

    queries: Queries
    lookup_pool: Pool
    query_pool: Pool
    provisioning_pool: Pool
    reads: KeptConnection
    writes: KeptConnection
    backboard: Backboard
    provisioning_slots: ProvisioningSlots
    provisioning: Provisioning
    replacement: AssistantReplacement
    deletion: UserDeletion
    clerk: ClerkApi | None
    session_tokens: SessionTokens | None

    @property
    def pools(self) -> tuple[Pool, ...]:
        return self.lookup_pool, self.query_pool, self.provisioning_pool

    def deletion_slots(self) -> DeletionSlots:
        """Slots for one kind of deletion: users and sessions do not wait for each other."""
        return DeletionSlots(self.provisioning_pool.size, self.backboard.breaker)


def build_components(settings: Settings) -> Components:
    """Build what the web process and the commands share; nothing is connected yet."""
    queries = Queries.load()
    url, concurrency = settings.database_url.get_secret_value(), settings.provisioning_concurrency
    # The kept connections have a pool of their own: nothing that waits for a connection can take their place.
    lookup_pool = Pool(url, name="lookup", size=KEPT_CONNECTIONS)
    query_pool = Pool(url, name="query", size=settings.query_connections - KEPT_CONNECTIONS)
    provisioning_pool = Pool(url, name="provisioning", size=concurrency, waiting=concurrency * WAITING_PER_SLOT)
    reads, writes = KeptConnection(lookup_pool, queries), KeptConnection(lookup_pool, queries)
    backboard = _build_backboard(settings)
    slots = ProvisioningSlots(provisioning_pool, backboard.breaker)
    return Components(
        queries=queries,
        lookup_pool=lookup_pool,
        query_pool=query_pool,
        provisioning_pool=provisioning_pool,
        reads=reads,
        writes=writes,
        backboard=backboard,
        provisioning_slots=slots,
        provisioning=Provisioning(
            queries=queries, query_pool=query_pool, reads=reads, writes=writes, slots=slots, backboard=backboard
        ),
        replacement=AssistantReplacement(queries=queries, slots=slots, backboard=backboard),
        deletion=UserDeletion(
            queries=queries,
            provisioning_pool=provisioning_pool,
            slots=DeletionSlots(concurrency, backboard.breaker),
            backboard=backboard,
        ),
        clerk=_build_clerk(settings),
        session_tokens=build_session_tokens(settings),
    )


def _build_backboard(settings: Settings) -> Backboard:
    client = build_backboard_client(
        url=settings.backboard_api_url,
        api_key=settings.backboard_api_key.get_secret_value(),
        # As many again for the deletions of users and of sessions.
        connections=3 * settings.provisioning_concurrency,
    )
    return Backboard(client, name_prefix=settings.assistant_name_prefix, system_prompt=settings.assistant_system_prompt)


def _build_clerk(settings: Settings) -> ClerkApi | None:
    if settings.clerk_secret_key is None:
        return None
    key = settings.clerk_secret_key.get_secret_value()
    connections = settings.provisioning_concurrency * CLERK_CALLS_PER_SLOT
    return ClerkApi(build_clerk_client(url=settings.clerk_api_url, secret_key=key, connections=connections))


@asynccontextmanager
async def open_components(components: Components) -> AsyncIterator[None]:
    """Open on entry, close in reverse; a database that is down stops neither."""
    for pool in components.pools:
        await pool.open()
    try:
        yield
    finally:
        await components.provisioning.close(CLOSE_SECONDS)
        await components.reads.close()
        await components.writes.close()
        await components.backboard.close()
        if components.clerk:
            await components.clerk.close()
        if components.session_tokens:
            await components.session_tokens.close()
        await asyncio.gather(*(pool.close() for pool in components.pools))
