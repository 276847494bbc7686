"""The history's writer: what becomes a row, what is counted, what an outage, a full queue or a lost answer costs."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest

from app.errors import DatabaseDown, DatabaseSlow
from app.log_format import Fields
from app.ops import history as module
from app.ops.history import History
from app.ops.upkeep import Upkeep
from app.postgres.pipeline import Rows, Statement
from app.postgres.pool import Pool
from tests.ops.conftest import QUERIES, new_history
from tests.ops.lines import DAYS, ensured, failed, webhook
from tests.support.log_capture import capture_log

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]

CREATED = "created"


def rows(database: Database) -> dict[str, dict[str, Any]]:
    return {row["svix_id"]: row for row in database.execute(b"SELECT * FROM deliveries").fetchall()}


def counted(database: Database, outcome: str) -> int:
    """How many requests had this outcome, by the totals."""
    found = database.execute(
        "SELECT sum(number)::BIGINT AS number FROM outcome_counts WHERE slot = 'epoch' AND outcome = %s", [outcome]
    ).fetchone()
    return (found or {})["number"] or 0


async def write(history: History, *lines: Fields) -> None:
    for line in lines:
        history.record(line, 0.25)
    await history.flush()


@pytest.mark.parametrize("in_one_batch", [True, False], ids=["one write", "a write for each"])
@pytest.mark.parametrize(
    ("tries", "status", "outcome", "is_resolved"),
    [
        ([webhook], 200, "exists", False),
        ([failed], 503, None, False),
        ([failed, failed, failed], 503, None, False),
        ([failed, webhook], 200, "exists", True),
        ([failed, failed, webhook], 200, "exists", True),
        ([webhook, failed], 200, "exists", True),
        ([CREATED, webhook], 200, "created", False),
        ([CREATED, webhook, failed], 200, "created", True),
        ([failed, CREATED, webhook], 200, "created", True),
        ([webhook, CREATED], 200, "created", False),
        (["unusable"], 422, None, False),
        (["unusable", failed], 503, None, False),
    ],
    ids=lambda value: (
        "-".join(getattr(one, "__name__", str(one)) for one in value) if isinstance(value, list) else None
    ),
)
async def test_a_delivery_is_one_row(
    tries: Sequence[Any], status: int, outcome: str, is_resolved: bool, in_one_batch: bool,  # noqa: FBT001
    history: History, database: Database,
) -> None:  # fmt: skip
    """Of the last try until one succeeds; what that has done stays."""
    make: dict[Any, Callable[[], Fields]] = {
        webhook: lambda: webhook("msg_1"),
        failed: lambda: failed("msg_1"),
        CREATED: lambda: webhook("msg_1", outcome="created", assistant_id="assistant"),
        "unusable": lambda: webhook("msg_1", 422, None, reason="type"),
    }
    lines = [make[one]() for one in tries]

    for batch in [lines] if in_one_batch else [[line] for line in lines]:
        await write(history, *batch)

    (row,) = rows(database).values()
    assert (row["status"], row["outcome"], row["tries"]) == (status, outcome, len(tries))
    assert (row["resolved_at"] is not None) is is_resolved
    assert row["first_at"] <= (row["resolved_at"] or row["last_at"]) <= row["last_at"]
    assert (row["assistant_id"] == "assistant") is (outcome == "created")


async def test_the_tries_of_two_processes_come_in_any_order(pool: Pool, settings: Any, database: Database) -> None:
    """A process that waits for its database writes the earlier failure later."""
    first, second = new_history(pool, settings), new_history(pool, settings)
    first.record(failed("msg_1"), 0.1)
    await write(second, webhook("msg_1", outcome="created"))
    await first.flush()

    (row,) = rows(database).values()
    assert (row["status"], row["outcome"], row["tries"]) == (200, "created", 2)
    assert row["resolved_at"] == row["last_at"] > row["first_at"]


@pytest.mark.parametrize(
    ("line", "is_kept"),
    [
        (ensured(201, "created"), True),
        (ensured(503, reason="backboard_down"), True),
        (ensured(200, "exists"), False),
        (ensured(410, "gone", reason="deleted"), False),
        (ensured(401, reason="token"), False),
        ({"event": "webhook", "status": 400, "reason": "signature", "request_id": "x", "duration_ms": 1.0}, False),
        ({"event": "healthz", "status": 200, "request_id": "x", "duration_ms": 1.0}, False),
    ],
    ids=["made", "failed", "exists", "gone", "refused", "forged", "probe"],
)
async def test_what_becomes_a_row_and_what_is_only_counted(
    line: Fields, is_kept: bool, history: History, database: Database  # noqa: FBT001
) -> None:  # fmt: skip
    """Verified deliveries, and what an ensure-user has changed or failed at; every request is counted."""
    await write(history, line)

    kept = rows(database)
    assert bool(kept) is is_kept
    assert all((row["request_id"], row["type"]) == (line["request_id"], "ensure_user") for row in kept.values())
    counts = database.execute(b"SELECT event, number, seconds FROM outcome_counts WHERE slot > 'epoch'").fetchall()
    assert counts == [{"event": line["event"], "number": 1, "seconds": 0.25}]


@pytest.mark.parametrize("in_one_batch", [True, False], ids=["one write", "a write for each"])
async def test_a_failure_does_not_heal_by_another_users_success_under_the_same_request_id(
    in_one_batch: bool, history: History, database: Database  # noqa: FBT001
) -> None:  # fmt: skip
    """The caller chooses X-Request-Id, and may send one for all of its users."""
    same = "the-same-request-id/for-all"
    first = ensured(503, reason="backboard_down", request_id=same)
    second = ensured(201, "created", request_id=same, clerk_id="user_b")
    for batch in [[first, second]] if in_one_batch else [[first], [second]]:
        await write(history, *batch)

    found = {row["clerk_id"]: (row["status"], row["resolved_at"], row["tries"]) for row in rows(database).values()}
    assert found == {"user_a": (503, None, 1), "user_b": (201, None, 1)}
    assert {row["request_id"] for row in rows(database).values()} == {same}


async def test_counts_add_up_over_writes_and_processes(pool: Pool, settings: Any, database: Database) -> None:
    for writer in (new_history(pool, settings), new_history(pool, settings)):
        for _ in range(2):
            await write(writer, webhook("msg_1"), webhook("msg_2"), failed("msg_3"))

    assert counted(database, "exists") == 8
    (row,) = database.execute(b"SELECT number, seconds FROM outcome_counts WHERE slot = 'epoch' AND status = 503")
    assert row == {"number": 4, "seconds": 1.0}


async def test_a_process_has_one_row(history: History, database: Database) -> None:
    """Refreshed by each write, and by none of another process."""
    await write(history, failed("msg_1"))
    await write(history, webhook("msg_1"))

    (row,) = database.execute(b"SELECT * FROM processes").fetchall()
    assert (row["id"], row["host"], row["release"], row["writes"]) == (history.process.id, "web.1", "v7", 2)
    assert row["pools"]["query"]["max"] == 1
    assert row["last_event_at"] is not None


async def test_nothing_is_written_where_it_is_switched_off(pool: Pool, settings: Any, database: Database) -> None:
    history = new_history(pool, settings)
    history.is_on = False
    history.record(failed("msg_1"), 0.1)
    history.start()
    await history.close()

    assert rows(database) == {}
    assert database.execute(b"SELECT * FROM processes").fetchall() == []


class Outage:
    """Lets the writes of a history fail: before they are sent, or after they were committed."""

    def __init__(self, history: History, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_on = False
        self.after_commit = False
        self._run = history._run_transaction
        monkeypatch.setattr(history, "_run_transaction", self._run_or_fail)

    async def _run_or_fail(self, *statements: Statement) -> list[Rows]:
        if self.is_on:
            raise DatabaseDown
        done = await self._run(*statements)
        if self.after_commit:
            self.after_commit = False
            raise DatabaseSlow
        return done


async def test_an_outage_costs_nothing_that_fits_the_queue(
    history: History, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the log says so twice: when it begins, and when the history has caught up."""
    outage = Outage(history, monkeypatch)
    outage.is_on = True
    with capture_log() as configure:
        log = configure()
        for number in range(3):
            await write(history, failed(f"msg_{number}"))
        assert rows(database) == {}
        outage.is_on = False
        await history.flush()
        await history.flush()

    assert set(rows(database)) == {"msg_0", "msg_1", "msg_2"}
    assert counted(database, "") == 3
    assert history.lost == 0
    assert [line.partition("event=")[2].split()[0] for line in log.lines] == ["history_behind", "history_caught_up"]


async def test_a_lost_answer_to_a_commit_counts_nothing_twice(
    history: History, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row of the process tells which write was the last."""
    outage = Outage(history, monkeypatch)
    for number in range(4):
        outage.after_commit = number % 2 == 0
        await write(history, webhook("msg_1", outcome="created"))
    await history.flush()

    (row,) = rows(database).values()
    assert (row["tries"], counted(database, "created"), history.lost) == (4, 4, 0)


async def test_a_full_queue_keeps_the_newest_failures(
    history: History, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Successes that changed nothing go first, then the oldest; all that is lost is counted and shown."""
    monkeypatch.setattr(module, "QUEUE_LENGTH", 3)
    for line in [webhook("a"), failed("b"), failed("c"), failed("d"), webhook("e"), failed("f")]:
        history.record(line, 0.1)
    await history.flush()

    assert set(rows(database)) == {"c", "d", "f"}
    assert (history.lost, counted(database, "")) == (3, 4)
    assert database.execute(b"SELECT lost, lost_at <= now() AS is_timed FROM processes").fetchall() == [
        {"lost": 3, "is_timed": True}
    ]


async def test_what_can_never_be_written_is_dropped_and_counted(history: History, database: Database) -> None:
    """It would hold back everything behind it for ever."""
    with capture_log() as configure:
        log = configure()
        await write(history, webhook("msg_1", clerk_id="nonsense"))
        await write(history, webhook("msg_2"))

    assert set(rows(database)) == {"msg_2"}
    assert history.lost == 2
    assert "event=bug" in log.text


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 5000, "\u202e\n", "café"])
async def test_a_type_of_any_text_is_stored_as_the_log_writes_it(
    text: str, history: History, database: Database
) -> None:
    """Clerk chooses it, so a verified event may hold anything in it."""
    await write(history, webhook("msg_1", outcome="ignored", type=text))

    (row,) = rows(database).values()
    assert row["type"].isascii()
    assert len(row["type"]) <= 200
    assert history.lost == 0


async def test_the_end_of_a_process_writes_what_is_left(history: History, database: Database) -> None:
    history.start()
    history.record(failed("msg_1"), 0.1)
    await history.close()

    assert set(rows(database)) == {"msg_1"}


async def test_an_end_without_a_database_says_what_is_lost(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    Outage(history, monkeypatch).is_on = True
    with capture_log() as configure:
        log = configure()
        history.start()
        history.record(failed("msg_1"), 0.1)
        await history.close()

    assert "event=history_lost count=2" in log.text


async def test_a_bug_does_not_end_the_writer(history: History, database: Database) -> None:
    await write(history, {"event": "webhook", "svix_id": "msg_1", "status": 200})
    await write(history, webhook("msg_2"))

    assert set(rows(database)) == {"msg_2"}


@pytest.mark.parametrize(
    ("rows_of_user", "is_known"),
    [
        ("INSERT INTO deleted_users VALUES ('user_a', now() + interval '1 second')", False),
        # The user's deletion itself ends after its tombstone.
        ("INSERT INTO deleted_users VALUES ('user_a', now() - interval '1 second')", True),
        # Deleted at Clerk, and not erased.
        (
            (
                "INSERT INTO deleted_users VALUES ('user_a', now() + interval '1 second');"
                "INSERT INTO users (clerk_id, assistant_id, deleted_at) VALUES ('user_a', 'x', now())"
            ),
            True,
        ),
        ("INSERT INTO deleted_users VALUES ('user_b', now() + interval '1 second')", True),
    ],
    ids=["erased", "deleted without a row", "deleted", "another user"],
)
async def test_a_try_from_before_an_erasure_does_not_bring_the_id_back(
    rows_of_user: str, is_known: bool, history: History, database: Database  # noqa: FBT001
) -> None:  # fmt: skip
    """The queue is written up to a second later, and after an outage much later."""
    database.execute(rows_of_user.encode())
    made = webhook("msg_1", outcome="created", assistant_id="assistant-of-user_a")
    await write(history, made, failed("msg_2"), ensured(503, reason="backboard_down"))

    found = rows(database).values()
    assert {row["clerk_id"] for row in found} == ({"user_a"} if is_known else {None})
    assert ("user_a" in str(found)) is is_known
    assert {row["resolved_at"] is None for row in found if row["status"] == 503} == {is_known}


@pytest.mark.parametrize("seed", range(3))
async def test_random_deliveries_with_failures_and_redeliveries(
    seed: int, pool: Pool, settings: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the history calls created are the users that were made, and no failure is resolved without a success."""
    draw = random.Random(seed)
    writers = [new_history(pool, settings) for _ in range(3)]
    outages = [Outage(writer, monkeypatch) for writer in writers]
    made: set[str] = set()
    successes: set[str] = set()
    for _ in range(300):
        svix_id, writer = f"msg_{draw.randrange(40)}", draw.choice(writers)
        if draw.random() < 0.4:
            writer.record(failed(svix_id), 0.1)
        else:
            writer.record(webhook(svix_id, outcome="exists" if svix_id in made else "created"), 0.1)
            made.add(svix_id)
            successes.add(svix_id)
        if draw.random() < 0.2:
            outages[draw.randrange(3)].is_on = draw.random() < 0.4
            outages[draw.randrange(3)].after_commit = draw.random() < 0.3
            await draw.choice(writers).flush()
    for writer, outage in zip(writers, outages, strict=True):
        outage.is_on = outage.after_commit = False
        await writer.flush()
        await writer.flush()

    found = rows(database)
    assert {svix_id for svix_id, row in found.items() if row["outcome"] == "created"} == made
    assert counted(database, "created") == len(made)
    assert {svix_id for svix_id, row in found.items() if row["resolved_at"]} <= successes
    assert {svix_id for svix_id, row in found.items() if row["status"] == 503} == set(found) - successes
    assert sum(row["tries"] for row in found.values()) == 300


@pytest.mark.parametrize(
    ("statement", "is_healed"),
    [
        ("INSERT INTO users (clerk_id, assistant_id) VALUES ('user_a', 'x')", True),
        ("INSERT INTO deleted_users (clerk_id) VALUES ('user_a')", True),
        ("INSERT INTO users (clerk_id, assistant_id) VALUES ('user_b', 'x')", False),
    ],
    ids=["a row", "a tombstone", "another user's row"],
)
@pytest.mark.parametrize("kind", ["ensure_user", "user.created", "user.updated", "user.deleted"])
async def test_a_failure_heals_with_the_users_row(
    kind: str, statement: str, is_healed: bool, history: History, pool: Pool, database: Database  # noqa: FBT001
) -> None:  # fmt: skip
    """An ensure-user is never repeated under its id. An update or a deletion is not done by the row being there."""
    line = ensured(503, reason="backboard_down") if kind == "ensure_user" else failed("msg_1", type=kind)
    await write(history, line)
    database.execute(statement.encode())

    healed = await Upkeep(queries=QUERIES, pool=pool, retention_days=DAYS).resolve()

    (row,) = rows(database).values()
    is_healed = is_healed and kind in ("ensure_user", "user.created")
    assert (row["resolved_at"] is not None, healed) == (is_healed, int(is_healed))


async def test_what_is_old_is_deleted(
    pool: Pool, history: History, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deliveries in chunks until none is left; never the totals."""
    monkeypatch.setattr("app.ops.upkeep.CHUNK", 2)
    await write(history, *(webhook(f"msg_{number}") for number in range(5)))
    for statement in (
        f"UPDATE deliveries SET last_at = now() - interval '{DAYS} days 1 minute'",
        "UPDATE outcome_counts SET slot = now() - interval '91 days' WHERE slot > 'epoch'",
        "UPDATE processes SET seen_at = now() - interval '25 hours'",
        "INSERT INTO actions (at, who, action, result) VALUES (now() - interval '91 days', 'x', 'sync', 'x')",
    ):
        database.execute(statement.encode())
    await write(history, webhook("young"))

    await Upkeep(queries=QUERIES, pool=pool, retention_days=DAYS).delete_old()

    assert set(rows(database)) == {"young"}
    assert counted(database, "exists") == 6
    (left,) = database.execute(b"SELECT count(*) AS old FROM outcome_counts WHERE slot > 'epoch'").fetchall()
    assert left["old"] == 1
    assert database.execute(b"SELECT * FROM actions").fetchall() == []


async def test_only_one_process_deletes(pool: Pool, history: History, database: Database) -> None:
    """The others leave it to that one, at once."""
    await write(history, webhook("msg_1"))
    database.execute(b"UPDATE deliveries SET last_at = now() - interval '100 days'")
    with database.transaction():
        database.execute(b"SELECT pg_advisory_xact_lock(hashtextextended('app:history', 0))")
        await Upkeep(queries=QUERIES, pool=pool, retention_days=DAYS).delete_old()

    assert set(rows(database)) == {"msg_1"}
