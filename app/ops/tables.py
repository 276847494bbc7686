"""The rows of every table, for operators to look at: read-only, a page at a time, found by an id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from app.errors import NotFound
from app.ops.reads import ask, uuid_of
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.postgres.text import storable_text

# Of a table; a row of messages may have a few kilobytes.
PAGE_SIZE = 25
# What users have written: a page covers it until it is clicked.
COVERED = frozenset(("content", "metadata", "sent_metadata", "title", "idempotency_title", "document"))


@dataclass(frozen=True, slots=True)
class TableRows:
    """Rows by column. `following` is the key of the last row, behind which the next page begins; None on the last."""

    table: str
    rows: Sequence[Mapping[str, Any]]
    following: Sequence[str] | None


class Tables:
    """The reads, over the pool of the operators; each raises DatabaseUnavailable."""

    def __init__(self, queries: Queries, pool: Pool) -> None:
        self._queries = queries
        self._pool = pool
        self._statements = _statements(queries)

    @property
    def names(self) -> list[str]:
        return list(self._statements)

    async def rows(self, table: str, word: str | None, after: Sequence[str] | None) -> TableRows:
        """A page of a table, only with the rows that an id stands in, if one is given; NotFound for another table."""
        if table not in self._statements:
            raise NotFound("path")
        text = storable_text(word.strip()) if word else None
        values = {"word": text or None, "uuid": uuid_of(text or ""), "after": after, "page_size": PAGE_SIZE + 1}
        (found,) = await ask(self._pool, self._queries, (self._statements[table], values))
        following = found[PAGE_SIZE - 1][0] if len(found) > PAGE_SIZE else None
        return TableRows(table, [orjson.loads(document) for _, document in found[:PAGE_SIZE]], following)


def _statements(queries: Queries) -> dict[str, bytes]:
    return {
        "users": queries.list_rows_of_users,
        "deleted_users": queries.list_rows_of_deleted_users,
        "provisioning_attempts": queries.list_rows_of_provisioning_attempts,
        "scenarios": queries.list_rows_of_scenarios,
        "sessions": queries.list_rows_of_sessions,
        "messages": queries.list_rows_of_messages,
        "session_attempts": queries.list_rows_of_session_attempts,
        "deleted_threads": queries.list_rows_of_deleted_threads,
        "preferences": queries.list_rows_of_preferences,
        "deliveries": queries.list_rows_of_deliveries,
        "outcome_counts": queries.list_rows_of_outcome_counts,
        "processes": queries.list_rows_of_processes,
        "actions": queries.list_rows_of_actions,
        "migrations": queries.list_rows_of_migrations,
    }
