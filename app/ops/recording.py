"""What a web process has for the history: its writer, the upkeep of the tables, and the figures read from them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.metrics import ProcessFigures
from app.ops.figures import FiguresCache
from app.ops.history import History
from app.ops.process import identify
from app.ops.upkeep import Upkeep
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Recording:
    """Everything of the history that lives as long as the process."""

    process: ProcessFigures
    history: History
    upkeep: Upkeep
    figures: FiguresCache

    def start(self) -> None:
        """Begin to write, behind the answers."""
        self.history.start()
        self.upkeep.start()

    async def close(self) -> None:
        """Write what is left; takes at most a few seconds."""
        await self.upkeep.close()
        await self.history.close()


def build_recording(
    settings: Settings, *, queries: Queries, pool: Pool, pools: Sequence[Pool], breaker: Callable[[], str]
) -> Recording:
    """Build it over `pool`, which it uses once a second while a connection is idle; `pools` are those it reports."""
    days, process, stats = settings.ops_retention_days, identify(settings), {one.name: one.stats for one in pools}
    history = History(
        queries=queries, pool=pool, process=process, pool_stats=stats, breaker=breaker, retention_days=days
    )
    return Recording(
        process=ProcessFigures(process.id, breaker, lambda: history.lost),
        history=history,
        upkeep=Upkeep(queries=queries, pool=pool, retention_days=days),
        figures=FiguresCache(queries=queries, pool=pool, has_history=days > 0),
    )
