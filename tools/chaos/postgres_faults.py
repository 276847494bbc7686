"""What the proxy before Postgres does to the service's round trips: it cuts, stalls and vanishes."""

import asyncio

from tools.chaos.faults import Faults
from tools.sandbox.postgres_proxy import Link, Policy, RoundTrip

# Longer than any of the service's limits.
VANISHED_SECONDS = 20.0

CUT_BEFORE = "cut Postgres, before a statement"
CUT_AFTER = "cut Postgres, after a statement"
COMMIT_LOST = "cut Postgres, before COMMIT"
COMMIT_UNKNOWN = "cut Postgres, after COMMIT"
COMMIT_LATE = "cut Postgres, COMMIT comes late"
VANISH = "Postgres vanishes without FIN"
SLOW = "Postgres slow"
ON_STATEMENT = (CUT_BEFORE, CUT_AFTER, VANISH, SLOW)
ON_COMMIT = (COMMIT_LOST, COMMIT_UNKNOWN, COMMIT_LATE, VANISH, SLOW)
RATES = {
    CUT_BEFORE: 0.012,
    CUT_AFTER: 0.012,
    COMMIT_LOST: 0.015,
    COMMIT_UNKNOWN: 0.015,
    COMMIT_LATE: 0.008,
    VANISH: 0.0015,
    SLOW: 0.02,
}


class PostgresFaults(Policy):
    """One decision for each round trip."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        # How late a COMMIT comes.
        self.late_seconds = (0.2, 2.5)

    async def on_request(self, request: RoundTrip, link: Link) -> None:
        possible = ON_COMMIT if request.is_commit else ON_STATEMENT
        match self.faults.decide(link.transaction, possible):
            case None:
                await link.forward(request.messages)
            case "Postgres slow":
                await asyncio.sleep(self.faults.rng.uniform(0.05, 1.0))
                await link.forward(request.messages)
            case "Postgres vanishes without FIN":
                await self._vanish(request, link)
            case "cut Postgres, after a statement" | "cut Postgres, after COMMIT":
                await link.forward_muted(request.messages)
                link.hang_up()
            case "cut Postgres, COMMIT comes late":
                link.disconnect_client()
                await asyncio.sleep(self.faults.rng.uniform(*self.late_seconds))
                await link.forward_muted(request.messages)
                link.hang_up()
            case _:
                link.hang_up()

    async def _vanish(self, request: RoundTrip, link: Link) -> None:
        link.mute()
        if self.faults.rng.random() < 0.5:
            await link.forward(request.messages)
        await asyncio.sleep(VANISHED_SECONDS)
        link.hang_up()
