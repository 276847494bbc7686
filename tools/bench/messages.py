"""What many messages cost: bytes a row, and the chat's statements in a large table beside a small one.

Statements alone, each in a transaction of its own as the service sends them; `chat` and `paths` measure what the
service adds. What is measured is the CPU time that Postgres takes: a busy machine or a slow disk changes it least.
"""

import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from app.chat.models import Append, HistoryRequest, NewMessage, SessionsRequest
from app.chat.repository import PAGE_BYTES, MessageRepository, SessionRepository
from app.deadline import Deadline
from app.postgres.pipeline import Statement
from app.postgres.queries import Queries
from tools.bench import database, large_chat
from tools.bench.figures import Figure, at_most, compared, interleaved
from tools.bench.rig import Rig

PAGE = 50
BATCH = 32
# Of the table, and of how many are appended with the search index and without.
SMALLER, FEWEST, APPENDED = 100, 1_000, 4_000
WORDS = "the"
# A long search is cut off by the service after a second.
SLOWEST_MS = 20_000

Connection = psycopg.Connection[Any]


class Chat:
    """The statements of the chat on one filled database, for sessions and users drawn at random."""

    def __init__(self, connection: Connection, messages: int) -> None:
        self.connection = connection
        self._messages = messages
        self._rng = random.Random(1)
        queries = Queries.load()
        self._said, self._sessions = MessageRepository(queries), SessionRepository(queries)
        self._session_ids = [one for (one,) in connection.execute("SELECT session_id FROM numbered ORDER BY number")]
        self._user_ids = [one for (one,) in connection.execute("SELECT id FROM users ORDER BY clerk_id")]
        self._clerk_ids = [one for (one,) in connection.execute("SELECT clerk_id FROM users")]
        self._texts = [one for (one,) in connection.execute("SELECT content FROM messages LIMIT 2000")]

    def append(self, sessions: int = 1) -> Statement:
        ids = self._rng.sample(self._session_ids, sessions)
        return self._said.insert(
            [Append(one, None, [NewMessage("user", self._rng.choice(self._texts))], Deadline()) for one in ids]
        )

    def history(self) -> Statement:
        wanted = HistoryRequest(self._rng.choice(self._session_ids), None, None, PAGE, Deadline())
        return self._said.list([wanted], page_bytes=PAGE_BYTES)

    def list(self) -> Statement:
        return self._sessions.list([SessionsRequest(self._rng.choice(self._clerk_ids), None, 21)])

    def search(self, *, heavy: bool, rare: bool) -> Statement:
        """For words that many messages hold, or for the number that one message ends with."""
        user_id = self._user_ids[0] if heavy else self._rng.choice(self._user_ids[1:])
        text = f" {self._rng.randrange(self._messages // 2, self._messages)}" if rare else WORDS
        return self._sessions.search(user_id, text, SessionsRequest("", None, PAGE))

    def cpu(self, statement: Callable[[], Statement], times: int) -> float:
        """Milliseconds of CPU time that Postgres takes for one, planning and commit included; the mean of several."""
        spent = self._cpu_seconds()
        for _ in range(times):
            self.connection.execute(*statement()).fetchall()
        return (self._cpu_seconds() - spent) / times * 1000

    def _cpu_seconds(self) -> float:
        """Of the connection's process; in /proc/PID/stat a tick would be 10 ms. 0 where there is no /proc."""
        try:
            schedstat = Path(f"/proc/{self.connection.info.backend_pid}/schedstat").read_text()
        except OSError:
            return 0.0
        return int(schedstat.split()[0]) / 1e9


def run(rig: Rig) -> Iterator[Figure]:
    many = rig.sizes.many_messages
    with ExitStack() as stack:
        fewer = max(many // SMALLER, FEWEST)
        large, small = (_filled(rig, stack, count) for count in (many, fewer))
        yield from _sizes(large)
        yield from _statements(rig, large, small, f"among {fewer:,}")
        yield from _append_with_search_index(rig, large)
        yield from _search_without_index(rig, large)


def _filled(rig: Rig, stack: ExitStack, messages: int) -> Chat:
    url = database.populated(rig, large_chat.users_for(messages))
    connection = stack.enter_context(psycopg.connect(url, autocommit=True, prepare_threshold=None))
    began = time.perf_counter()
    large_chat.fill(connection, messages)
    print(f"{messages:,} messages in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    connection.execute(f"SET statement_timeout = {SLOWEST_MS}".encode())
    return Chat(connection, messages)


def _sizes(chat: Chat) -> Iterator[Figure]:
    """Of the tables that grow with their use; preferences and tombstones are small beside them."""
    (content,) = chat.connection.execute("SELECT avg(octet_length(content))::FLOAT8 FROM messages").fetchone() or (0,)
    for table in ("messages", "sessions", "users"):
        parts = large_chat.bytes_a_row(chat.connection, table)
        total = sum(parts.values())
        against = "its content alone" if table == "messages" else "its heap alone"
        other = content if table == "messages" else parts["heap"]
        yield compared(f"{table}: a row and its indexes", "B", [total], [other], against=against)
        for name, size in parts.items():
            yield compared(f"  {name}", "B", [size], [total], against="all of it")


def _statements(rig: Rig, large: Chat, small: Chat, against: str) -> Iterator[Figure]:
    def cases(chat: Chat) -> dict[str, tuple[Callable[[], Statement], int]]:
        asked = rig.sizes.asked
        return {
            "append": (chat.append, asked),
            f"append to {BATCH} sessions in one statement": (partial(chat.append, BATCH), asked // 3),
            f"history of {PAGE}": (chat.history, asked),
            "sessions of a user": (chat.list, asked),
            "search, a rare text, user of 500": (
                partial(chat.search, heavy=False, rare=True),
                asked // 3,
            ),
            "search, a common word, user of 500": (partial(chat.search, heavy=False, rare=False), asked // 30),
            "search, a rare text, user of a hundredth": (partial(chat.search, heavy=True, rare=True), asked // 3),
            "search, a common word, user of a hundredth": (partial(chat.search, heavy=True, rare=False), asked // 100),
        }

    of_small = cases(small)
    for what, (statement, times) in cases(large).items():
        other = of_small[what][0]
        times = max(1, times)  # noqa: PLW2901  # Of the tiniest sizes, at least one.
        samples = interleaved(
            {
                "large": partial(large.cpu, statement, times),
                "small": partial(small.cpu, other, times),
            },
            rig.sizes.rounds,
        )
        bar = None if what.startswith("search") else at_most(1.5)
        yield compared(what, "ms", samples["large"], samples["small"], against=against, bar=bar)


class AppendCost(NamedTuple):
    """Of one append: CPU time of Postgres in milliseconds, bytes of the write-ahead log."""

    cpu: float
    log: float


def _append_with_search_index(rig: Rig, chat: Chat) -> Iterator[Figure]:
    """With and without the index, in transactions that are rolled back, so without their COMMIT.

    Without images of whole pages in the write-ahead log, which come after each checkpoint and hide the rest.
    """
    _set_page_images(chat.connection, "off")
    count = min(APPENDED, rig.sizes.asked * 10)
    contenders = {indexed: partial(_append_cost, chat, count, indexed=indexed) for indexed in (True, False)}
    samples = interleaved(contenders, rig.sizes.rounds)
    _set_page_images(chat.connection, "on")
    for what, unit, name in (("CPU time", "ms", "cpu"), ("log", "B", "log")):
        ours, others = ([getattr(one, name) for one in samples[indexed]] for indexed in (True, False))
        yield compared(f"append with the search index: {what}", unit, ours, others, against="without it")


def _search_without_index(rig: Rig, chat: Chat) -> Iterator[Figure]:
    """Postgres then reads a user's own messages, session by session."""
    for heavy, who in ((False, "user of 500"), (True, "user of a hundredth")):
        for rare, text in ((True, "rare text"), (False, "common word")):
            search = partial(chat.search, heavy=heavy, rare=rare)
            samples = interleaved(
                {indexed: partial(_search_cost, chat, search, indexed=indexed) for indexed in (False, True)},
                rig.sizes.rounds,
            )
            yield compared(f"{text}, {who}, no search index", "ms", samples[False], samples[True], against="with it")


def _search_cost(chat: Chat, search: Callable[[], Statement], *, indexed: bool) -> float:
    with chat.connection.transaction(force_rollback=True):
        if not indexed:
            chat.connection.execute(f"DROP INDEX {large_chat.SEARCH_INDEX}".encode())
        return chat.cpu(search, 5)


def _set_page_images(connection: Connection, value: str) -> None:
    connection.execute(f"ALTER SYSTEM SET full_page_writes = {value}".encode())
    connection.execute("SELECT pg_reload_conf()")
    connection.execute("CHECKPOINT")


def _append_cost(chat: Chat, count: int, *, indexed: bool) -> AppendCost:
    with chat.connection.transaction(force_rollback=True):
        if not indexed:
            chat.connection.execute(f"DROP INDEX {large_chat.SEARCH_INDEX}".encode())
        before = _log_position(chat.connection)
        cpu = chat.cpu(chat.append, count)
        written = _log_position(chat.connection) - before
    return AppendCost(cpu, written / count)


def _log_position(connection: Connection) -> float:
    """How many bytes were ever written to the write-ahead log."""
    row = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')").fetchone()
    return float(row[0]) if row else 0.0
