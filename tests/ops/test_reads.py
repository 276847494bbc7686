"""What operators read about deliveries, users and the whole."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from app.ops.models import DeliveryFilter
from app.ops.reads import OpsReads, record_action
from app.postgres.pipeline import execute
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from tests.ops.rows import LONG_AGO, deliver, fail, sign_up

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]

QUERIES = Queries.load()


async def test_an_empty_history_is_well(reads: OpsReads) -> None:
    overview = await reads.overview()

    assert (overview.is_well, overview.failing, overview.sign_ups) == (True, 0, 0)
    assert overview.sentence == "All is well. No event of Clerk's has come yet."


async def test_the_overview_says_when_the_last_event_came(reads: OpsReads, database: Database) -> None:
    """Of Clerk: an ensure-user says nothing about Clerk."""
    deliver(database, "msg_1", minutes=3.5)
    deliver(database, "x", type="ensure_user", outcome="created")

    overview = await reads.overview()

    assert overview.sentence == "All is well. Last event 3 minutes ago."
    assert {event.type for event in overview.last_events} == {"user.created", "ensure_user"}


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("DELETE FROM processes", "No process has reported in the last day. Nothing is known of it. Start the service"),
        ("UPDATE processes SET seen_at = '2025-05-03 12:00Z'", "Since 3 May 2025: No process is running. "),
        ("UPDATE processes SET seen_at = now() - interval '31 seconds'", "Since "),
        ("UPDATE processes SET breaker = 'open'", "Backboard fails. New users wait, existing ones are served. "),
        ("UPDATE processes SET breaker = 'probing'", "Backboard fails. New users wait, existing ones are served. "),
    ],
)
async def test_the_processes_may_be_what_is_wrong(
    statement: str, sentence: str, reads: OpsReads, database: Database
) -> None:
    database.execute(statement.encode())

    overview = await reads.overview()

    assert not overview.is_well
    assert overview.sentence.startswith(sentence)


@pytest.mark.parametrize(("age", "is_said"), [("1 minute", True), ("59 minutes", True), ("61 minutes", False)])
async def test_what_the_history_lacks_is_news_for_an_hour(
    age: str, is_said: bool, reads: OpsReads, database: Database  # noqa: FBT001
) -> None:  # fmt: skip
    """No user misses anything, so all is well."""
    database.execute(f"UPDATE processes SET lost = 3, lost_at = now() - interval '{age}'".encode())

    overview = await reads.overview()

    assert overview.is_well
    assert [one.partition(",")[0] for one in overview.news] == ["The history lacks 3 entries"] * is_said


REFUSED = "INSERT INTO outcome_counts VALUES (now() - interval '{0}', '{1}', '', '{2}', {3}, 3, 0.1)"
SECRET = (
    "3 deliveries were refused, and none was accepted since: No signature matches a signing secret. If Clerk sent them"
)


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (("20 minutes", "webhook", "signature", 400), SECRET),
        (
            ("1 minute", "webhook", "stale", 400),
            "3 deliveries were refused, and none was accepted since: The signature",
        ),
        (("61 minutes", "webhook", "signature", 400), None),
        (("20 minutes", "webhook", "headers", 400), None),
        (("20 minutes", "ensure_user", "token", 401), None),
        # A verified event came ten minutes ago.
        (("40 minutes", "webhook", "signature", 400), None),
    ],
    ids=["signature", "clock", "long ago", "scanner", "caller", "an event since"],
)
async def test_all_is_not_well_while_deliveries_are_refused(
    refused: tuple[Any, ...], said: str | None, reads: OpsReads, database: Database
) -> None:
    """But a forged one among real ones is no finding."""
    database.execute(REFUSED.format(*refused).encode())
    deliver(database, "msg_1", minutes=30)
    deliver(database, "x", type="ensure_user", outcome="created", minutes=0)

    overview = await reads.overview()

    assert (overview.is_well, len(overview.findings)) == (said is None, int(said is not None))
    assert said is None or said in overview.sentence
    assert said != SECRET or "Is the signing secret right? If Clerk sent it, compare CLERK_WEBHOOK" in overview.sentence


@pytest.mark.parametrize("reason", ["clerk_id", "data", "type", "json"])
async def test_an_event_that_cannot_be_used_is_a_finding_for_a_day(
    reason: str, reads: OpsReads, database: Database
) -> None:
    """The person in it waits; a later try that is usable ends it."""
    for number, minutes in enumerate((60 * 25, 30, 10)):
        unusable = {"status": 422, "outcome": None, "reason": reason, "clerk_id": None, "type": None}
        deliver(database, f"msg_{number}", minutes=minutes, **unusable)

    before = await reads.overview()
    database.execute(b"UPDATE deliveries SET status = 200, outcome = 'exists' WHERE svix_id <> 'msg_0'")
    after = await reads.overview()

    (finding,) = before.findings
    assert finding.what.startswith("2 events of Clerk's could not be used: ")
    assert (finding.hurts, finding.reason) == ("the people in them wait", reason)
    assert (before.is_well, after.is_well) == (False, True)


async def test_an_outage_of_postgres_that_is_over_is_told_as_past(reads: OpsReads, database: Database) -> None:
    """What says so comes from Postgres."""
    fail(database, "msg_1", "database_down", first_at=LONG_AGO, last_at=LONG_AGO)

    assert (await reads.overview()).sentence.startswith(
        "From 3 May 2025 to 3 May 2025: Postgres could not be reached. 1 person waits until Clerk's next try. "
    )


async def test_an_erasure_leaves_type_and_time_of_the_last_event(
    reads: OpsReads, pool: Pool, database: Database
) -> None:
    """And nothing of the user; what failed does not go on failing."""
    deliver(database, "msg_1", minutes=3, outcome="created", assistant_id="a-of-user_a", request_id="r-user_a")
    deliver(database, "msg_2", minutes=5)
    fail(database, "msg_3", "backboard_down", minutes=9, type="user.updated")
    deliver(database, "msg_4", minutes=8, type="session.created")
    deliver(database, "msg_5", minutes=7, type="session.created", clerk_id="user_b")
    deliver(database, "msg_6", minutes=1, type=None, status=422, outcome=None)
    before = (await reads.overview()).last_events

    erase = (QUERIES.delete_user_deliveries, {"clerk_id": "user_a"})
    async with pool.connection() as connection:
        await execute(connection, erase, seconds=3)

    after = await reads.overview()
    left = database.execute(b"SELECT * FROM deliveries WHERE svix_id <> 'msg_5'").fetchall()
    assert [(one.type, one.last_at) for one in after.last_events] == [(one.type, one.last_at) for one in before]
    assert (after.failing, after.findings) == (0, [])
    assert sorted(row["type"] for row in left) == ["user.created", "user.updated"]
    assert not any(word in str(left) for word in ("user_a", "msg_"))


async def test_a_long_silence_is_said(reads: OpsReads, database: Database) -> None:
    """A quiet weekend is no fault, and looks like an endpoint that Clerk has disabled."""
    deliver(database, "msg_1", minutes=60 * 49)

    sentence = (await reads.overview()).sentence

    assert sentence.startswith("All is well. Last event 2 days ago: if people signed up")


async def test_the_overview_says_whom_it_hurts_and_what_to_do(reads: OpsReads, database: Database) -> None:
    """Failures are grouped by their reason; what has healed is left out."""
    for number in range(3):
        fail(database, f"msg_{number}", "backboard_refused", clerk_id=f"user_{number}", first_at=LONG_AGO)
    fail(database, "msg_4", "database_slow", clerk_id="user_0")
    fail(database, "msg_5", "database_slow", resolved_at="now")

    overview = await reads.overview()

    assert [(group.reason, group.deliveries, group.people) for group in overview.failures] == [
        ("backboard_refused", 3, 3),
        ("database_slow", 1, 1),
    ]
    assert (overview.failing, overview.people_failing, overview.is_well) == (4, 3, False)
    assert overview.sentence == (
        "Since 3 May 2025: Backboard refused the request; nothing was made. 3 people wait."
        " An error line has the status. 401, 402, 403: BACKBOARD_API_KEY or the account. 404: BACKBOARD_API_URL."
        " And 1 more thing is wrong."
    )


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (DeliveryFilter(), ["d", "c", "b", "a"]),
        (DeliveryFilter(failing=True), ["c"]),
        (DeliveryFilter(type="user.updated"), ["b"]),
        (DeliveryFilter(outcome="exists"), ["b", "a"]),
        (DeliveryFilter(reason="database_slow"), ["d"]),
        (DeliveryFilter(status=503), ["d", "c"]),
        (DeliveryFilter(clerk_id="user_b"), ["b"]),
        (DeliveryFilter(failing=True, type="user.updated"), []),
    ],
    ids=str,
)
async def test_deliveries_are_filtered(
    wanted: DeliveryFilter, found: list[str], reads: OpsReads, database: Database
) -> None:
    deliver(database, "a", minutes=40)
    deliver(database, "b", minutes=30, type="user.updated", clerk_id="user_b")
    fail(database, "c", "backboard_error", minutes=20)
    fail(database, "d", "database_slow", minutes=10, resolved_at="now")

    page = await reads.deliveries(wanted)
    recent = await reads.deliveries(replace(wanted, since=datetime.now(UTC) - timedelta(minutes=25)))

    assert [one.svix_id for one in page.deliveries] == found
    assert [one.svix_id for one in recent.deliveries] == [svix_id for svix_id in found if svix_id in "cd"]
    assert page.following is None


async def test_pages_of_deliveries_meet_without_a_gap(reads: OpsReads, database: Database) -> None:
    """Also among deliveries of one instant."""
    for number in range(7):
        deliver(database, f"msg_{number}")
    seen, cursor = [], None
    while True:
        page = await reads.deliveries(DeliveryFilter(), cursor, page_size=3)
        seen += [one.svix_id for one in page.deliveries]
        cursor = page.following
        if cursor is None:
            break

    assert seen == [f"msg_{number}" for number in reversed(range(7))]


async def test_a_user_who_has_a_row_can_chat(reads: OpsReads, database: Database) -> None:
    sign_up(database)
    deliver(database, "msg_1")

    page = await reads.user_page("user_a")

    assert page is not None
    assert (page.verdict, page.can_chat) == ("has an assistant and can chat", True)
    assert {entry.kind for entry in page.timeline} == {"row", "delivery"}
    assert page.user is not None
    assert page.user.assistant_id == "assistant-of-user_a"


RECONCILE = "`python -m app reconcile`, and with --apply if its table is right"
ROW = "INSERT INTO users (clerk_id, assistant_id) VALUES ('user_a', 'x');"
TOMBSTONE = "INSERT INTO deleted_users (clerk_id, deleted_at) VALUES ('user_a', '2025-05-03 12:00Z');"
ATTEMPT = "INSERT INTO provisioning_attempts (clerk_id, last_at) VALUES ('user_a', '2025-05-03 12:00Z');"
SETTLED = "INSERT INTO provisioning_attempts (clerk_id, resolved_at) VALUES ('user_a', now());"
HALF_MADE = "half-made: create sent 3 May 2025, outcome unknown; heals at the next event"
DELETED = "deleted 3 May 2025; "
HALF_DELETED = f"{DELETED}at Backboard perhaps not yet: heals at Clerk's next try; else {RECONCILE}"
TWO = f"has an assistant and can chat; a second assistant may exist: needs repair: {RECONCILE}"


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        (ATTEMPT, HALF_MADE),
        (TOMBSTONE, f"{DELETED}nothing brings them back"),
        (TOMBSTONE + SETTLED, f"{DELETED}nothing brings them back"),
        (TOMBSTONE + ATTEMPT, HALF_DELETED),
        (ROW + TOMBSTONE, f"{DELETED}nothing brings them back"),
        (ROW + SETTLED, TWO),
    ],
    ids=["half-made", "deleted", "deleted and settled", "half deleted", "deleted with a row", "two assistants"],
)
async def test_a_verdict_in_words(rows: str, verdict: str, reads: OpsReads, database: Database) -> None:
    database.execute(rows.encode())

    page = await reads.user_page("user_a")

    assert page is not None
    assert page.verdict == verdict


async def test_a_user_of_whom_only_failures_are_known_waits(reads: OpsReads, database: Database) -> None:
    fail(database, "msg_1", "backboard_down")

    page = await reads.user_page("user_a")

    assert page is not None
    assert page.verdict.startswith("has no row: the last delivery failed ")
    assert "(backboard_down)" in page.verdict


@pytest.mark.parametrize("clerk_id", ["user_unknown", "", "user_\0", "org_1", "user_a\n"])
async def test_of_an_unknown_user_there_is_no_page(clerk_id: str, reads: OpsReads) -> None:
    assert await reads.user_page(clerk_id) is None


async def test_anything_that_has_an_id_is_found(reads: OpsReads, database: Database) -> None:
    """By e-mail in any case, and with blanks round it."""
    sign_up(database)
    database.execute(
        b"WITH talk AS (INSERT INTO sessions (user_id, thread_id) SELECT id, 'thread-1' FROM users RETURNING id)"
        b" INSERT INTO messages (role, content, session_id) SELECT 'user', 'x', id FROM talk"
    )
    ids = database.execute(b"SELECT id::TEXT, session_id::TEXT FROM messages").fetchone()
    assert ids is not None
    deliver(database, "msg_1")
    words = {
        "user": "user_a",
        "email": " canary.1@EXAMPLE.com ",
        "assistant": "assistant-of-user_a",
        "thread": "thread-1",
        "session": ids["session_id"],
        "message": ids["id"],
        "delivery": "msg_1",
        "request": "request-msg_1",
    }

    found = {what: await reads.find(word) for what, word in words.items()}

    kinds = {"email": "user", "request": "delivery"}
    assert {what: [one.kind for one in subjects] for what, subjects in found.items()} == {
        what: [kinds.get(what, what)] for what in words
    }
    assert {one.clerk_id for subjects in found.values() for one in subjects} == {"user_a"}


@pytest.mark.parametrize("text", ["", "nothing", "%", "a\0b", "\ud800", "'", "x" * 10_000])
async def test_what_is_not_there_is_not_found(text: str, reads: OpsReads, database: Database) -> None:
    sign_up(database)

    assert await reads.find(text) == []


async def test_doubts_say_whether_they_heal(reads: OpsReads, database: Database) -> None:
    sign_up(database)
    database.execute(
        b"INSERT INTO provisioning_attempts (clerk_id) VALUES ('user_b');"
        b"INSERT INTO session_attempts (session_id, clerk_id) VALUES (gen_random_uuid(), 'user_a');"
        b"INSERT INTO deleted_threads (session_id, user_id, thread_id) SELECT gen_random_uuid(), id, 't' FROM users"
    )

    doubts = await reads.doubts()
    ages = (await reads.overview()).doubts

    assert {doubt.kind: doubt.clerk_id for doubt in doubts} == {
        "sign_up": "user_b",
        "session": "user_a",
        "thread": "user_a",
    }
    assert all(doubt.remedy.startswith(("Heals", "Needs repair")) for doubt in doubts)
    assert {age.table: age.number for age in ages} == dict.fromkeys(
        ("provisioning_attempts", "session_attempts", "deleted_threads"), 1
    )


async def test_a_doubt_older_than_an_hour_is_a_finding(reads: OpsReads, database: Database) -> None:
    """A younger one may be a request under way."""
    database.execute(b"INSERT INTO session_attempts (session_id, clerk_id) VALUES (gen_random_uuid(), 'user_a')")
    before = await reads.overview()
    database.execute(b"UPDATE session_attempts SET noted_at = now() - interval '61 minutes'")

    after = await reads.overview()

    assert (before.is_well, after.is_well) == (True, False)
    assert after.sentence.startswith("1 doubt is open in session_attempts, the oldest for 1 hour. ")


async def test_an_action_is_listed_with_its_operator(reads: OpsReads, pool: Pool) -> None:
    async with pool.connection() as connection:
        for number in range(3):
            await execute(connection, record_action(QUERIES, f"operator {number}", "sync", "user_a"), seconds=3)

    first = await reads.actions(page_size=2)
    second = await reads.actions(before_id=first[-1].id, page_size=2)

    assert [(one.who, one.result) for one in (*first, *second)] == [(f"operator {n}", "under way") for n in (2, 1, 0)]
