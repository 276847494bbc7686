"""Scenarios: what the operator lets conversations begin from, read and written with one short statement each."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple

from app.chat.models import NewScenario, Scenario
from app.chat.statements import Statements
from app.deadline import Deadline
from app.errors import ConstraintViolated, Fault, InvalidRequest, NotFound, ServiceError
from app.postgres.pool import Pool
from app.postgres.queries import Queries

# The key by which a session names its scenario.
SCENARIO_KEY = "sessions_scenario_slug_fkey"


class ScenarioInUse(ServiceError):
    """Sessions name the scenario, and would lose their prompt with it."""

    status = HTTPStatus.CONFLICT
    reason = "scenario_in_use"


def not_active() -> InvalidRequest:
    """For a new session: its scenario is retired, or there is none."""
    return InvalidRequest("scenario", Fault(pointer="#/scenario"))


class PutScenario(NamedTuple):
    """A scenario as it is stored now, and whether there was none of its slug before."""

    scenario: Scenario
    is_new: bool


class ScenarioService:
    """Reads and writes scenarios; those of many sessions are found at once."""

    def __init__(self, *, queries: Queries, query_pool: Pool) -> None:
        self._queries = queries
        self._statements = Statements(query_pool, queries)

    async def find(self, slugs: Iterable[str], deadline: Deadline) -> dict[str, Scenario]:
        """The scenarios of these slugs, as far as there are any; without a slug, the database is not asked."""
        wanted = sorted(set(slugs))
        if not wanted:
            return {}
        (rows,) = await self._statements.send((self._queries.find_scenarios, {"slugs": wanted}), deadline=deadline)
        return {row[0]: Scenario(*row) for row in rows}

    async def get(self, slug: str, deadline: Deadline) -> Scenario:
        """One scenario; NotFound without one."""
        found = await self.find([slug], deadline)
        if slug not in found:
            raise NotFound("scenario_missing")
        return found[slug]

    async def list(
        self, *, after: str | None, page_size: int, include_inactive: bool, deadline: Deadline
    ) -> list[Scenario]:
        """A page of scenarios in the order of their slugs."""
        values = {"after": after, "page_size": page_size, "include_inactive": include_inactive}
        (rows,) = await self._statements.send((self._queries.list_scenarios, values), deadline=deadline)
        return [Scenario(*row) for row in rows]

    async def put(self, slug: str, new: NewScenario, deadline: Deadline) -> PutScenario:
        """Store a scenario under a slug, over the one that is there."""
        values = {"slug": slug, **new._asdict()}
        (rows,) = await self._statements.send((self._queries.set_scenario, values), deadline=deadline)
        *columns, is_new = rows[0]
        return PutScenario(Scenario(*columns), is_new=is_new)

    async def delete(self, slug: str, deadline: Deadline) -> None:
        """Delete a scenario; NotFound without one, ScenarioInUse if a session names it."""
        try:
            (rows,) = await self._statements.send((self._queries.delete_scenario, {"slug": slug}), deadline=deadline)
        except ConstraintViolated as error:
            if error.constraint == SCENARIO_KEY:
                raise ScenarioInUse from error
            raise
        if not rows:
            raise NotFound("scenario_missing")
