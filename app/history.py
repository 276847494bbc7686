"""What was said in the chat's sessions, in the order in which it was said."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.errors import Gone, Missing
from app.queries import Queries
from app.roundtrip import Rows, Statement

# What a page holds of the messages' text, or one message more: as much as a batch may bring.
PAGE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Message:
    """One message, in the order of the columns in every query; `metadata` is JSON text.

    Without `content` it is one that a page has no more room for.
    """

    message_id: UUID
    session_id: UUID
    role: str
    content: str | None
    metadata: str | None
    created_at: datetime
    position: int


@dataclass(frozen=True, slots=True)
class Said:
    """What is to be added to a session; `metadata` is JSON text."""

    role: str
    content: str
    metadata: str | None = None


class Messages:
    """The statements about messages. `owner_id` as in Sessions."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    def insert(self, session_id: UUID, owner_id: str | None, said: Sequence[Said]) -> Statement:
        values = {
            "session_id": session_id,
            "owner_id": owner_id,
            "roles": [one.role for one in said],
            "contents": [one.content for one in said],
            "metadata": [one.metadata for one in said],
        }
        return self._queries.insert_messages, values

    def list(self, session_id: UUID, owner_id: str | None, before: int | None, page_size: int) -> Statement:
        """One more than fit on the page, so that it shows whether there is more."""
        values = {
            "session_id": session_id,
            "owner_id": owner_id,
            "before": before,
            "page_size": page_size + 1,
            "page_bytes": PAGE_BYTES,
        }
        return self._queries.list_messages, values

    def delete(self, message_id: UUID, session_id: UUID, owner_id: str | None) -> Statement:
        values = {"message_id": message_id, "session_id": session_id, "owner_id": owner_id}
        return self._queries.delete_message, values


def listed(rows: Rows, page_size: int) -> tuple[list[Message], bool]:
    """A page of list_messages and whether there is more; Missing without a session, Gone when its user was deleted."""
    if not rows:
        raise Missing
    if rows[0][-1]:
        raise Gone
    found = [Message(*row[:-1]) for row in rows if row[0] is not None]
    page = [one for one in found if one.content is not None][:page_size]
    return page, len(page) < len(found)
