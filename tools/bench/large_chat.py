"""Fills the chat's tables with as many messages as a suite wants, and measures what a row takes on disk.

A user has ten sessions of fifty messages, and the first user has a hundredth of all messages in a hundred sessions.
Messages of different sessions follow one another at random, as in a service that many use at once, so the rows of one
session lie far apart. The text is English prose, the help of Python's language reference, cut at random places: what a
search index costs depends on how a language repeats itself. Half of the messages are short like a user's (median 60
characters) and half longer like an assistant's (300); the lengths are log-normal.
"""

from pydoc_data.topics import topics
from typing import Any

import psycopg

MESSAGES_A_SESSION = 50
SESSIONS_A_USER = 10
HEAVY_SESSIONS = 100
# A piece of the prose, and how far apart two pieces begin, in characters.
_PIECE, _STEP = 4_000, 400
_AT_ONCE = 250_000

SEARCH_INDEX = "messages_content_trgm_idx"
CREATE_SEARCH_INDEX = f"CREATE INDEX {SEARCH_INDEX} ON messages USING gin (content gin_trgm_ops)"

_PREPARE = f"""
CREATE UNLOGGED TABLE prose (number INT PRIMARY KEY, content TEXT STORAGE PLAIN NOT NULL);
CREATE UNLOGGED TABLE numbered (number INT PRIMARY KEY, session_id UUID NOT NULL);
DROP INDEX {SEARCH_INDEX};
"""
_SESSIONS = """
WITH added AS (
    INSERT INTO sessions (user_id, last_active_at, title, thread_id)
    SELECT
        users.id, clock_timestamp(),
        substr(prose.content, 1 + (series.number * 37) %% 3900, 8 + (random() * 40)::INT),
        gen_random_uuid()::TEXT
    FROM generate_series(1, %(sessions)s) AS series (number)
    INNER JOIN (SELECT id, row_number() OVER (ORDER BY clerk_id) AS number FROM users) AS users
        ON users.number = CASE
            WHEN series.number <= %(heavy)s THEN 1 ELSE 2 + (series.number - %(heavy)s - 1) / %(each)s
        END
    INNER JOIN prose ON prose.number = series.number %% %(pieces)s
    ORDER BY series.number
    RETURNING id
)
INSERT INTO numbered (number, session_id)
SELECT row_number() OVER (), id FROM added
"""
# exp(mean + deviation * normal) is log-normal, and the normal number is Box and Muller's.
_MESSAGES = """
INSERT INTO messages (session_id, role, content, created_at)
SELECT
    numbered.session_id,
    CASE WHEN drawn.number %% 2 = 0 THEN 'assistant' ELSE 'user' END,
    substr(prose.content, drawn.start, drawn.length) || ' ' || drawn.number,
    clock_timestamp()
FROM (
    SELECT
        number, (random() * 2000)::INT AS start, (random() * (%(pieces)s - 1))::INT AS piece,
        least(2000, 8 + exp(
            ln(CASE WHEN number %% 2 = 0 THEN 300 ELSE 60 END)
            + 0.7 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())
        ))::INT AS length,
        CASE
            WHEN random() < 0.01 THEN 1 + floor(random() * %(heavy)s)
            ELSE 1 + %(heavy)s + floor(random() * (%(sessions)s - %(heavy)s))
        END::INT AS session
    FROM generate_series(%(first)s::INT, %(last)s::INT) AS number
) AS drawn
INNER JOIN numbered ON numbered.number = drawn.session
INNER JOIN prose ON prose.number = drawn.piece
"""

_PARTS = """
SELECT 'heap', pg_relation_size(oid) + coalesce(pg_relation_size(nullif(reltoastrelid, 0)), 0)
FROM pg_class WHERE oid = %(table)s::REGCLASS
UNION ALL
SELECT indexrelid::REGCLASS::TEXT, pg_relation_size(indexrelid) FROM pg_index WHERE indrelid = %(table)s::REGCLASS
"""


def users_for(messages: int) -> int:
    """How many users so many messages need."""
    return 2 + messages // (MESSAGES_A_SESSION * SESSIONS_A_USER)


def fill(connection: psycopg.Connection[Any], messages: int) -> None:
    """Fill a database that has the users; the search index is dropped first and made at the end."""
    # Rows are made in one order each time, and the foreign key would be looked up for each.
    connection.execute("SET session_replication_role = replica; SET maintenance_work_mem = '1GB'; SELECT setseed(0.5)")
    connection.execute(_PREPARE)
    text = " ".join(" ".join(topics.values()).split())
    pieces = [text[start : start + _PIECE] for start in range(0, len(text) - _PIECE, _STEP)]
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO prose VALUES (%s, %s)", list(enumerate(pieces)))
    sessions = HEAVY_SESSIONS + (users_for(messages) - 2) * SESSIONS_A_USER
    given = {"sessions": sessions, "heavy": HEAVY_SESSIONS, "each": SESSIONS_A_USER, "pieces": len(pieces)}
    connection.execute(_SESSIONS, given)
    connection.execute("ANALYZE prose, numbered")
    for first in range(1, messages + 1, _AT_ONCE):
        connection.execute(_MESSAGES, given | {"first": first, "last": min(messages, first + _AT_ONCE - 1)})
    connection.execute(CREATE_SEARCH_INDEX)
    connection.execute("VACUUM ANALYZE")
    connection.execute("CHECKPOINT")
    connection.execute("RESET session_replication_role")


def bytes_a_row(connection: psycopg.Connection[Any], table: str) -> dict[str, float]:
    """What a row takes in a table (`heap`) and in each of its indexes, with what they leave free."""
    (count,) = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() or (0,)
    return {name: size / max(1, count) for name, size in connection.execute(_PARTS, {"table": table}).fetchall()}
