"""A day of a service, written into its tables: sign-ups, an outage of Backboard that healed, and what did not heal."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

# The user of the pictures, and one that is half-made.
WELL, HALF_MADE = "user_2nQf7VtBq0aDhW3sK1mZ", "user_2nQh1Ra9LxU4cYp8Ge0T"
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
_DELIVERY = (
    b"INSERT INTO deliveries (svix_id, type, clerk_id, first_at, last_at, tries, status, outcome, reason, assistant_id,"
    b" secret, duration_ms, backboard_ms, db_ms, request_id, resolved_at) VALUES (%(svix_id)s, %(type)s, %(clerk_id)s,"
    b" %(first_at)s, %(last_at)s, %(tries)s, %(status)s, %(outcome)s, %(reason)s, %(assistant_id)s, 0, %(duration_ms)s,"
    b" %(backboard_ms)s, %(db_ms)s, %(request_id)s, %(resolved_at)s)"
)
_COUNT = (
    b"INSERT INTO outcome_counts (slot, event, outcome, reason, status, number, seconds)"
    b" SELECT to_timestamp(floor(extract('epoch' FROM last_at) / 300) * 300), 'webhook', coalesce(outcome, ''),"
    b" coalesce(reason, ''), status, count(*), sum(duration_ms) / 1000 FROM deliveries"
    b" GROUP BY 1, 2, 3, 4, 5 ON CONFLICT DO NOTHING"
)


class Day:
    """Seeded random numbers, so that two runs look alike."""

    def __init__(self, now: datetime) -> None:
        self._random = random.Random(17)  # A picture, not a secret.
        self._now = now

    def rows(self) -> Iterator[dict[str, Any]]:
        """Deliveries, most of them fine; Backboard was down for an hour, and two sign-ups have not healed yet."""
        for minute in range(5, 24 * 60, 4):
            hour = (self._now - timedelta(minutes=minute)).hour
            for _ in range(self._random.randrange(1 + (6 if 7 <= hour <= 21 else 2))):  # noqa: PLR2004  # A day.
                yield self._delivery(minute + self._random.random() * 3, is_outage=500 < minute < 560)  # noqa: PLR2004
        for number, minute in enumerate((41, 33)):
            one = self._delivery(minute, kind="user.created", clerk_id=(HALF_MADE, self._id("user_", 20))[number])
            yield one | {"status": 503, "outcome": None, "reason": "backboard_error", "tries": 4, "assistant_id": None}

    def of(self, clerk_id: str) -> Iterator[dict[str, Any]]:
        """The deliveries of one user: the first sign-up met the outage."""
        first = self._delivery(559, kind="user.created", clerk_id=clerk_id)
        healed = first["first_at"] + timedelta(minutes=7)
        yield first | {"tries": 3, "outcome": "created", "status": 200, "last_at": healed, "resolved_at": healed}
        yield self._delivery(300, kind="user.updated", clerk_id=clerk_id) | {"outcome": "updated"}
        yield self._delivery(42, kind="session.created", clerk_id=clerk_id) | {"outcome": "updated"}

    def _delivery(
        self, minutes: float, *, is_outage: bool = False, kind: str = "", clerk_id: str = ""
    ) -> dict[str, Any]:
        kind = kind or self._random.choice(["user.created", "user.updated", "user.updated", "session.created"])
        at = self._now - timedelta(minutes=minutes)
        outcome = "created" if kind == "user.created" else self._random.choice(["updated", "exists", "updated"])
        failed = is_outage and kind == "user.created"
        return {
            "svix_id": self._id("msg_", 27),
            "type": kind,
            "clerk_id": clerk_id or self._id("user_", 20),
            "first_at": at,
            "last_at": at,
            "tries": 3 if failed else 1,
            "status": 503 if failed else 200,
            "outcome": None if failed else outcome,
            "reason": "backboard_down" if failed else None,
            "assistant_id": None if failed else f"{self._random.getrandbits(128):032x}",
            "duration_ms": self._random.uniform(2, 9) + (280 if kind == "user.created" else 0),
            "backboard_ms": self._random.uniform(180, 320) if kind == "user.created" else None,
            "db_ms": self._random.uniform(0.6, 3),
            "request_id": f"{self._random.getrandbits(128):032x}",
            "resolved_at": at + timedelta(minutes=9) if failed else None,
        }

    def _id(self, prefix: str, length: int) -> str:
        return prefix + "".join(self._random.choices(_LETTERS, k=length))


def fill(url: str, assistant_id: str = "7c1f7a52-3f0e-4f0b-9c56-0d6f8a1b2c3d") -> None:
    """Write the day, as it would be by now."""
    now = datetime.now(UTC)
    day = Day(now)
    with psycopg.connect(url, autocommit=True) as connection:
        rows = [*day.rows(), *day.of(WELL)]
        with connection.cursor() as cursor:
            cursor.executemany(_DELIVERY, rows)
        connection.execute(_COUNT)
        _fill_user(connection, now, assistant_id)
        connection.execute(
            b"INSERT INTO provisioning_attempts (clerk_id, tries, first_at, last_at) VALUES (%s, 4, %s, %s)",
            [HALF_MADE, now - timedelta(minutes=41), now - timedelta(minutes=12)],
        )


def _fill_user(connection: psycopg.Connection[Any], now: datetime, assistant_id: str) -> None:
    row = connection.execute(
        b"INSERT INTO users (clerk_id, assistant_id, email, name, created_at, clerk_updated_at, last_sign_in_at)"
        b" VALUES (%s, %s, 'first@example.com', 'First Example', %s, %s, %s) RETURNING id",
        [WELL, assistant_id, *(now - timedelta(minutes=minutes) for minutes in (552, 300, 42))],
    ).fetchone()
    for minutes, ended in ((290, 250), (42, None)):
        connection.execute(
            b"INSERT INTO sessions (user_id, thread_id, title, status, created_at, last_active_at, ended_at)"
            b" VALUES (%s, gen_random_uuid()::TEXT, 'Example session', %s, %s, %s, %s)",
            [
                *(row or [None]),
                "active" if ended is None else "completed",
                now - timedelta(minutes=minutes),
                now - timedelta(minutes=ended or 30),
                None if ended is None else now - timedelta(minutes=ended),
            ],
        )
    connection.execute(
        b"INSERT INTO actions (at, ended_at, who, action, clerk_id, result) VALUES (%s, now(), 'on-call', 'sync', %s,"
        b" 'Clerk was asked, and the user is ensured: exists.')",
        [now - timedelta(minutes=55), WELL],
    )
