"""How many connections the service can have at a time, and which settings fit what the database allows."""

import asyncio
from dataclasses import dataclass, replace
from typing import Self

from app import log
from app.errors import DatabaseUnavailable
from app.postgres.pipeline import execute
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.settings import Settings

CHECK_SECONDS = 5.0
AGAIN_SECONDS = 30.0
# The query pool keeps one connection for batched reads and one for batched writes; everything else needs one more.
FEWEST_QUERY_CONNECTIONS = 3
# A release, a backfill and psql; and what Postgres reserves for superusers.
COMMANDS, RESERVED = 5, 3


@dataclass(frozen=True, slots=True)
class ConnectionBudget:
    """The values of WEB_CONCURRENCY, PROVISIONING_CONCURRENCY and QUERY_CONNECTIONS; `page` is what the page needs."""

    processes: int
    concurrency: int
    query: int
    page: int = 0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The operations page reads over one connection of its own."""
        page = int(settings.has_ops_page)
        return cls(settings.web_concurrency, settings.provisioning_concurrency, settings.query_connections, page)

    @property
    def each(self) -> int:
        """Of one process, at most."""
        return self.concurrency + self.query + self.page

    def needed(self, *, dynos: int = 1) -> int:
        """The most that the service can have: twice, because old and new processes overlap in a restart."""
        return 2 * dynos * self.processes * self.each + COMMANDS + RESERVED

    @property
    def formula(self) -> str:
        """How `needed` is computed for one dyno."""
        each = f"{self.concurrency} (PROVISIONING_CONCURRENCY) + {self.query} (QUERY_CONNECTIONS)"
        each += " + 1 (the operations page)" if self.page else ""
        return f"2 x {self.processes} (WEB_CONCURRENCY) x ({each}) + {COMMANDS} + {RESERVED}"

    def remedy(self, allowed: int) -> str:
        """What to set so that one dyno fits `allowed` connections, with as little changed as can be."""
        for processes in range(self.processes, 0, -1):
            for query in (self.query, FEWEST_QUERY_CONNECTIONS):
                others = query + self.page
                concurrency = min(self.concurrency, (allowed - COMMANDS - RESERVED) // (2 * processes) - others)
                if concurrency >= 1:
                    return self._changes(replace(self, processes=processes, concurrency=concurrency, query=query))
        return "take a database with more connections"

    def _changes(self, fitting: "ConnectionBudget") -> str:
        values = {
            "WEB_CONCURRENCY": (self.processes, fitting.processes),
            "PROVISIONING_CONCURRENCY": (self.concurrency, fitting.concurrency),
            "QUERY_CONNECTIONS": (self.query, fitting.query),
        }
        return "set " + " ".join(f"{name}={new}" for name, (old, new) in values.items() if new != old)


async def warn_if_too_small(pool: Pool, queries: Queries, budget: ConnectionBudget) -> None:
    """Log once, as soon as the database answers, if one dyno like this may need more connections than it allows."""
    while True:
        try:
            async with pool.connection(CHECK_SECONDS) as connection:
                (rows,) = await execute(connection, (queries.get_server_facts, {}), seconds=CHECK_SECONDS)
            break
        except DatabaseUnavailable:
            await asyncio.sleep(AGAIN_SECONDS)
    _, _, allowed = rows[0]
    if budget.needed() > allowed:
        log.warning(
            "too_few_connections",
            needed=budget.needed(),
            allowed=allowed,
            reason=budget.formula,
            hint=budget.remedy(allowed),
        )
