"""Deleting a session: the rows first, then the thread, which a row remembers in between."""

from typing import Any

import psycopg
import pytest

from tests.support.factories import Person
from tests.support.service import Chat, Service
from tools.sandbox.backboard import Sandbox
from tools.sandbox.faults import drops

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]


def deleted_threads(database: Database) -> list[str]:
    return [row["thread_id"] for row in database.execute("SELECT thread_id FROM deleted_threads").fetchall()]


async def test_a_deletion_that_failed_at_backboard_is_finished_by_the_next_request(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """The session is gone at once; its thread is remembered until it is deleted too."""
    chat = Chat(service.client)
    session = (await chat.open(Person())).json()
    path = f"/sessions/{session['id']}"
    backboard.next("delete_thread", drops())

    first, read = await chat.delete(path), await chat.get(path)
    remembered = deleted_threads(database)
    second, third = await chat.delete(path), await chat.delete(path)

    assert [first.status_code, read.status_code, second.status_code, third.status_code] == [503, 404, 204, 404]
    assert remembered == [session["thread_id"]]
    assert (deleted_threads(database), backboard.threads()) == ([], [])
