"""The history of a whole service: what its requests leave in the tables, and what its end and its death cost."""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.application import create_app
from tests.ops.rows import RUNNING, deliver, fail
from tests.support.factories import Person, event, user_created
from tests.support.service import Service, connected_to, in_process, settings_of
from tools.processes import ServerProcess
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import status

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]


@pytest.fixture
def recorded(variables: dict[str, str]) -> dict[str, str]:
    return variables | {"OPS_RETENTION_DAYS": "14"}


def history(database: Database) -> list[dict[str, Any]]:
    return database.execute(b"SELECT * FROM deliveries ORDER BY first_at").fetchall()


async def scrape(service: Service) -> dict[str, dict[tuple[str, ...], float]]:
    """The samples of each metric by the values of their labels, without the process's id."""
    text = (await service.client.get("/metrics")).text
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(value for label, value in sample.labels.items() if label != "process")
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


async def test_what_clerk_and_the_chat_backend_did_is_in_the_history(
    recorded: dict[str, str], database: Database, backboard: Sandbox
) -> None:
    """A delivery that failed and healed, an ensure-user that made a user, one of a user who was there, a forged one."""
    first, second = Person(), Person()
    async with in_process(create_app(settings_of(recorded))) as service:
        backboard.next("create", status(500))
        await service.deliver(user_created(first))
        await service.deliver(user_created(first))
        made = await service.ensure(second)
        await service.ensure(second)
        await service.deliver(user_created(first), svix_id="msg_2", secret=b"canary-signing-secret-9999")
        await service.deliver(event("user.created", {"id": "canary"}), svix_id="msg_3")

    healed, ensured, unusable = history(database)
    assert (healed["svix_id"], healed["outcome"], healed["tries"]) == ("msg_1", "created", 2)
    assert (healed["clerk_id"], healed["type"]) == (first.clerk_id, "user.created")
    assert healed["resolved_at"] == healed["last_at"] > healed["first_at"]
    assert healed["backboard_ms"] > 0
    assert (ensured["type"], ensured["outcome"], ensured["clerk_id"]) == ("ensure_user", "created", second.clerk_id)
    assert ensured["request_id"] == made.headers["x-request-id"]
    assert (unusable["svix_id"], unusable["status"], unusable["reason"]) == ("msg_3", 422, "clerk_id")
    counts = database.execute(
        b"SELECT event, outcome, reason, number FROM outcome_counts WHERE slot = 'epoch'"
    ).fetchall()
    assert {tuple(row.values()) for row in counts} == {
        ("ensure_user", "exists", "", 1),
        ("ensure_user", "created", "", 1),
        ("webhook", "created", "", 1),
        ("webhook", "", "signature", 1),
        ("webhook", "", "clerk_id", 1),
        ("webhook", "", "backboard_error", 1),
    }


async def test_nothing_personal_is_in_the_history(recorded: dict[str, str], database: Database) -> None:
    """But the Clerk id: every personal value of the events is a canary."""
    async with in_process(create_app(settings_of(recorded))) as service:
        await service.deliver(user_created(Person()))
        await service.ensure(Person(), email="canary.1@example.com", name="Canaryname")

    for table in ("deliveries", "outcome_counts", "processes", "actions"):
        assert "canary" not in str(database.execute(f"SELECT * FROM {table}".encode()).fetchall()).lower()


async def test_metrics_show_all_processes_together(recorded: dict[str, str], database: Database) -> None:
    """Those of before this process began, and of others; its own have its name."""
    deliver(database, "msg_1", minutes=10)
    deliver(database, "msg_2", minutes=2, type="user.updated")
    fail(database, "msg_3", "backboard_down", minutes=5)
    database.execute(
        b"INSERT INTO outcome_counts VALUES ('epoch', 'webhook', 'created', '', 200, 40, 1.5),"
        b" (now(), 'webhook', 'created', '', 200, 7, 1.5);"
        b"INSERT INTO provisioning_attempts (clerk_id, first_at) VALUES ('user_a', now() - interval '2 hours')"
    )
    async with in_process(create_app(settings_of(recorded))) as service:
        await service.client.get("/healthz")
        found = await scrape(service)

    assert found["clerk_sync_requests_total"] == {("webhook", "created", "200"): 40}
    assert found["clerk_sync_process_requests_total"] == {("healthz", "", "200"): 1}
    assert found["clerk_sync_failing_deliveries"] == {(): 1}
    assert found["clerk_sync_open_doubts"][("provisioning_attempts",)] == 1
    assert 7200 <= found["clerk_sync_oldest_doubt_seconds"][("provisioning_attempts",)] < 7300
    assert found["clerk_sync_breaker_state"] == {("closed",): 1, ("open",): 0, ("probing",): 0}
    assert 120 <= found["clerk_sync_last_event_seconds"][("user.updated",)] < 220
    assert 300 <= found["clerk_sync_last_event_seconds"][("user.created",)] < 400


async def test_a_scrape_without_a_database_shows_the_process(recorded: dict[str, str]) -> None:
    """And nothing that would be wrong of the others."""
    app = create_app(settings_of(recorded | {"DATABASE_URL": "postgresql://app@127.0.0.1:1/app"}))
    async with in_process(app) as service:
        await service.client.get("/healthz")
        found = await scrape(service)

    assert found["clerk_sync_process_requests_total"] == {("healthz", "", "200"): 1}
    assert found["clerk_sync_history_lost_total"] == {(): 0}
    assert {"clerk_sync_requests_total", "clerk_sync_open_doubts", "clerk_sync_silence_seconds"}.isdisjoint(found)


async def test_readyz_knows_the_events_of_other_processes(recorded: dict[str, str], database: Database) -> None:
    """From its first look at the tables on, which it takes at its start."""
    deliver(database, "msg_1", minutes=3)
    async with in_process(create_app(settings_of(recorded))) as service:
        age = None
        for _ in range(100):
            age = (await service.client.get("/readyz")).json()["last_event_seconds"]
            if age is not None:
                break
            await asyncio.sleep(0.05)

    assert age is not None
    assert 180 <= age < 280


async def test_the_history_survives_the_end_of_its_process_and_effects_a_kill(
    start_server: Callable[..., ServerProcess], database: Database
) -> None:
    """SIGTERM writes what is queued. SIGKILL may cost a second of history, and nothing else."""
    database.execute(RUNNING)
    ended, killed = Person(), Person()
    server = start_server(OPS_RETENTION_DAYS="14")
    async with connected_to(server) as service:
        assert (await service.deliver(user_created(ended), svix_id="msg_1")).json() == {"outcome": "created"}
    server.stop()
    server = start_server(OPS_RETENTION_DAYS="14")
    async with connected_to(server) as service:
        assert (await service.deliver(user_created(killed), svix_id="msg_2")).json() == {"outcome": "created"}
    server.kill()

    users = {row["clerk_id"] for row in database.execute(b"SELECT clerk_id FROM users")}
    assert users == {ended.clerk_id, killed.clerk_id}
    assert {row["svix_id"] for row in history(database)} - {"msg_2"} == {"msg_1"}
