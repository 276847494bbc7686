"""What operators ask of the database; every answer is one read-only transaction in one round trip."""

import json
from dataclasses import astuple, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from app.clerk.users import CLERK_ID
from app.ops.models import (
    Action,
    Delivery,
    DeliveryCursor,
    DeliveryFilter,
    DeliveryPage,
    Doubt,
    DoubtAge,
    DoubtKind,
    EventAge,
    FailureGroup,
    OutcomeCount,
    Overview,
    Process,
    Refusal,
    Subject,
)
from app.ops.timeline import timeline
from app.ops.user_models import SessionTimes, UserFacts, UserPage
from app.ops.words import DOUBTS, findings, news, reason_of, sentence, user_verdict
from app.postgres.pipeline import Rows, Statement, execute
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.postgres.text import storable_text
from app.postgres.transaction import COMMIT, local_timeouts
from app.users.models import User

BEGIN: Statement = (b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", {})
STATEMENT_MS = 2000
SECONDS = 3.0
# A process refreshes its row every five seconds.
SILENT_SECONDS = 30
CHART_HOURS = 24
PAGE_SIZE = 50
UNDER_WAY = "under way"
# Of a user's page.
MOST_ENTRIES = 200


class OpsReads:
    """The reads, over a pool that no caller of the service waits for; each raises DatabaseUnavailable."""

    def __init__(self, queries: Queries, pool: Pool) -> None:
        self._queries = queries
        self._pool = pool

    async def overview(self) -> Overview:
        """Whether all is well, and the figures behind it."""
        queries = self._queries
        failing, failures, refused, events, doubts, processes, chart = await self._ask(
            (queries.count_failing, {}),
            (queries.list_failures, {}),
            (queries.list_refusals, {}),
            (queries.list_last_events, {}),
            (queries.list_doubt_ages, {}),
            (queries.list_processes, {"silent_seconds": SILENT_SECONDS}),
            (queries.list_outcomes, {"hours": CHART_HOURS}),
        )
        groups, ages, all_processes = _groups(failures), _ages(doubts), _processes(processes)
        found = findings(groups, [Refusal(*row) for row in refused], ages, all_processes)
        last_events, now = [EventAge(*row) for row in events], datetime.now(UTC)
        counts = [OutcomeCount(*row) for row in chart]
        return Overview(
            sentence=sentence(found, last_events, now),
            is_well=not found,
            findings=found,
            news=news(all_processes, now),
            failing=failing[0][0],
            people_failing=failing[0][1],
            failures=groups,
            last_events=last_events,
            doubts=ages,
            processes=all_processes,
            sign_ups=sum(count.number for count in counts if count.outcome == "created"),
            chart=counts,
        )

    async def find(self, text: str) -> list[Subject]:
        """What an operator may mean: an e-mail address, or the id of anything that belongs to a user or a delivery."""
        word = storable_text(text.strip())
        (rows,) = await self._ask((self._queries.find_subjects, {"word": word, "uuid": uuid_of(word)}))
        return [Subject(*row) for row in rows]

    async def user_page(self, clerk_id: str) -> UserPage | None:
        """All about one user; None for a malformed id and for one of which nothing is known here."""
        if not CLERK_ID.fullmatch(clerk_id):
            return None
        queries, user = self._queries, {"clerk_id": clerk_id}
        rows, facts_rows, delivered, times, acted = await self._ask(
            (queries.find_users, {"clerk_ids": [clerk_id]}),
            (queries.get_user_facts, user),
            self._list_deliveries(DeliveryFilter(clerk_id=clerk_id), None, MOST_ENTRIES),
            (queries.list_session_times, user | {"page_size": MOST_ENTRIES}),
            (queries.list_actions, user | {"before_id": None, "page_size": MOST_ENTRIES}),
        )
        person = next((User(*row) for row in rows if row[0] is not None), None)
        facts, deliveries = UserFacts(*facts_rows[0]), [Delivery(*row) for row in delivered]
        if person is None and facts.deleted_at is None and facts.tries is None and not deliveries:
            return None
        sessions, actions = [SessionTimes(*row) for row in times], [Action(*row) for row in acted]
        verdict = user_verdict(person, facts, deliveries, datetime.now(UTC))
        return UserPage(
            clerk_id=clerk_id,
            verdict=verdict.text,
            can_chat=verdict.can_chat,
            user=person,
            facts=facts,
            deliveries=deliveries,
            sessions=sessions,
            actions=actions,
            timeline=timeline(person, facts, deliveries, sessions, actions),
        )

    async def deliveries(
        self, wanted: DeliveryFilter, cursor: DeliveryCursor | None = None, *, page_size: int = PAGE_SIZE
    ) -> DeliveryPage:
        """A page of the history, newest first."""
        (rows,) = await self._ask(self._list_deliveries(wanted, cursor, page_size + 1))
        found = [Delivery(*row) for row in rows]
        if len(found) <= page_size:
            return DeliveryPage(found, None)
        last = found[page_size - 1]
        return DeliveryPage(found[:page_size], DeliveryCursor(last.last_at, last.svix_id))

    async def types(self) -> list[str]:
        """The types that deliveries have."""
        (rows,) = await self._ask((self._queries.list_last_events, {}))
        return [row[0] for row in rows]

    async def delivery(self, svix_id: str) -> Delivery | None:
        """One delivery; None where the history does not have it, or no longer."""
        (rows,) = await self._ask((self._queries.find_delivery, {"svix_id": storable_text(svix_id)}))
        return Delivery(*rows[0]) if rows else None

    async def doubts(self, *, page_size: int = PAGE_SIZE) -> list[Doubt]:
        """What may have been left unfinished, oldest first."""
        (rows,) = await self._ask((self._queries.list_doubts, {"page_size": page_size}))
        return [_doubt(*row) for row in rows]

    async def processes(self) -> list[Process]:
        """The processes, those first that are alive."""
        (rows,) = await self._ask((self._queries.list_processes, {"silent_seconds": SILENT_SECONDS}))
        return _processes(rows)

    async def action(self, number: int) -> Action | None:
        """One of the actions; None where there is none of this number, or no longer."""
        found = await self.actions(before_id=number + 1, page_size=1)
        return found[0] if found and found[0].id == number else None

    async def actions(self, *, before_id: int | None = None, page_size: int = PAGE_SIZE) -> list[Action]:
        """What operators have done, newest first; `before_id` is the last id of the page before."""
        values = {"clerk_id": None, "before_id": before_id, "page_size": page_size}
        (rows,) = await self._ask((self._queries.list_actions, values))
        return [Action(*row) for row in rows]

    def _list_deliveries(self, wanted: DeliveryFilter, cursor: DeliveryCursor | None, page_size: int) -> Statement:
        names = ("clerk_id", "type", "outcome", "reason", "status", "failing", "since", "until")
        values: dict[str, Any] = dict(zip(names, astuple(wanted), strict=True))
        values |= {"before_at": cursor and cursor.last_at, "before_id": cursor and cursor.svix_id}
        return self._queries.list_deliveries, values | {"page_size": page_size}

    async def _ask(self, *statements: Statement) -> list[Rows]:
        return await ask(self._pool, self._queries, *statements)


async def ask(pool: Pool, queries: Queries, *statements: Statement) -> list[Rows]:
    """The rows of each statement, read in one transaction that can write nothing."""
    async with pool.connection() as connection:
        timeouts = local_timeouts(queries, statement_ms=STATEMENT_MS)
        rows = await execute(connection, BEGIN, timeouts, *statements, COMMIT, seconds=SECONDS)
    return rows[2:-1]


def record_action(queries: Queries, who: str, action: str, clerk_id: str | None) -> Statement:
    """The statement that remembers what an operator begins; `who` is cut to 200 characters."""
    values = {"who": storable_text(who)[:200], "action": action, "clerk_id": clerk_id, "result": UNDER_WAY}
    return queries.insert_action, values


def uuid_of(text: str) -> UUID | None:
    """The UUID that a text is; None for any other."""
    try:
        return UUID(text)
    except ValueError:
        return None


def _groups(rows: Rows) -> list[FailureGroup]:
    groups = []
    for reason, deliveries, people, since, last_at in rows:
        known = reason_of(reason)
        groups.append(FailureGroup(reason or "", deliveries, people, since, last_at, known.meaning, known.remedy))
    return groups


def _doubt(kind: DoubtKind, *columns: Any) -> Doubt:
    clerk_id, session_id, since, last_at, tries = columns
    known = DOUBTS[kind]
    return Doubt(kind, clerk_id, session_id, since, last_at, tries, known.meaning, known.remedy)


def _ages(rows: Rows) -> list[DoubtAge]:
    return [DoubtAge(*row) for row in rows]


def _processes(rows: Rows) -> list[Process]:
    return [replace(Process(*row), pools=json.loads(row[7])) for row in rows]
