"""The rules of what is written for many callers at once, and how to switch each of them off: see `broken`."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.chat.models import Append, Message, MessageIdConflict, NewMessage
from app.chat.service import ChatService
from app.errors import ServiceError
from app.postgres.kept_connection import STATEMENT_SECONDS, KeptConnection
from app.postgres.pipeline import Rows, Statement, execute
from app.postgres.transaction import BEGIN, COMMIT
from app.users.provisioning import Provisioning

_chat: Any = ChatService
_connection: Any = KeptConnection
_provisioning: Any = Provisioning

# insert_messages without the locks, and without the update that takes one as well.
UNLOCKED_INSERT = b"""
WITH wanted AS (
    SELECT session_id, number
    FROM unnest(%(session_ids)s::UUID[], %(owner_ids)s::TEXT[]) WITH ORDINALITY AS wanted (session_id, owner_id, number)
)
INSERT INTO messages (id, session_id, role, content, metadata, created_at)
SELECT
    coalesce(message.id, gen_random_uuid()), wanted.session_id, message.role, message.content, message.metadata,
    clock_timestamp()
FROM wanted
INNER JOIN unnest(
    %(session_numbers)s::INT[], %(ids)s::UUID[], %(roles)s::TEXT[], %(contents)s::TEXT[], %(documents)s::JSONB[]
)
    WITH ORDINALITY AS message (session_number, id, role, content, metadata, number)
    ON message.session_number = wanted.number
ORDER BY message.number
RETURNING id::TEXT AS message_id, session_id::TEXT, metadata::TEXT AS metadata, created_at, position,
    FALSE AS is_conflict
"""

_under_way: set[asyncio.Task[None]] = set()


def acknowledge_batch_before_commit() -> None:
    """The callers get their answers when the statement is done, and COMMIT comes after that."""

    async def write(self: Any, statement: Statement) -> Rows:
        async with self._turn:
            connection = await self._pool.acquire(STATEMENT_SECONDS)
            try:
                _, rows = await execute(connection, BEGIN, statement, seconds=STATEMENT_SECONDS)
            except BaseException:
                await self._pool.release(connection, broken=True)
                raise
            task = asyncio.create_task(commit(self._pool, connection))
            _under_way.add(task)
            task.add_done_callback(_under_way.discard)
            return rows

    async def commit(pool: Any, connection: Any) -> None:
        try:
            await execute(connection, COMMIT, seconds=STATEMENT_SECONDS)
        except ServiceError:
            await pool.release(connection, broken=True)
        else:
            await pool.release(connection)

    _connection.write = write


def repeat_write() -> None:
    """A batch without an answer is sent again, as a read is."""
    assert KeptConnection.write is not KeptConnection.read
    _connection.write = KeptConnection.read


def forget_ids() -> None:
    """A message gets an id of its own at every repetition, whatever its caller calls it."""
    append = ChatService.append

    async def without_ids(
        self: Any, session_id: Any, owner_id: Any, messages: Sequence[NewMessage], deadline: Any
    ) -> list[Message]:
        return await append(self, session_id, owner_id, [replace(one, id=None) for one in messages], deadline)

    _chat.append = without_ids


def two_versions_in_a_batch() -> None:
    """Two versions of one profile may be in one statement, which stores either of them."""
    init = Provisioning.__init__

    def without_key(self: Any, **words: Any) -> None:
        init(self, **words)
        assert self._updates._key is not None, "the key is elsewhere: the break breaks nothing"
        self._updates._key = None

    _provisioning.__init__ = without_key


def swap_answers() -> None:
    """The answers of a batch are given out in another order than its callers stand in."""
    append_batch = _chat._append_batch

    async def swapped(self: Any, appends: Sequence[Append]) -> list[list[Message] | MessageIdConflict | None]:
        answers: list[list[Message] | MessageIdConflict | None] = await append_batch(self, appends)
        return answers[::-1]

    _chat._append_batch = swapped


def split_append() -> None:
    """The messages of one append are stored one after the other."""
    append = ChatService.append

    async def one_by_one(
        self: Any, session_id: Any, owner_id: Any, messages: Sequence[NewMessage], deadline: Any
    ) -> Any:
        return [one for new in messages for one in await append(self, session_id, owner_id, [new], deadline)]

    _chat.append = one_by_one
