"""`python -m app export CLERK_ID|EMAIL`: everything that is held of one user, before an erasure and after it."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.commands.test_erase import converse
from tests.support import commands
from tests.support.factories import Person, user_created
from tests.support.service import Service
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard.faults import status

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]


def run(variables: dict[str, str], *words: str) -> tuple[int, str, str]:
    return commands.run(*words, checkout=commands.ROOT, **variables)


def documents(stdout: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in stdout.splitlines():
        document = json.loads(line)
        assert list(document) == ["kind", "document"]
        yield document["kind"], document["document"]


async def test_everything_is_shown_and_after_an_erasure_nothing(
    service: Service, variables: dict[str, str], database: Database, backboard: Sandbox
) -> None:
    """Found by the address, in any case; the tombstone, which holds the id, is shown at the end too."""
    person, other = Person(), Person()
    for one in (person, other):
        await service.deliver(user_created(one), svix_id=f"msg_{one.number}")
        await converse(service, backboard, one)

    database.execute(
        "INSERT INTO actions (who, action, clerk_id, result) VALUES ('operator', 'sync', %s, 'done')", [person.clerk_id]
    )

    before = run(variables, "export", person.email.upper())
    erased = run(variables, "erase", person.email, "--yes")
    after = run(variables, "export", person.clerk_id)

    # The history writes deliveries behind the answers, whenever it comes to it.
    found = [one for one in documents(before[1]) if one[0] != "delivery"]
    assert before[0] == 0
    assert Counter(kind for kind, _ in found) == {
        "user": 1, "action": 1, "session": 2, "message": 2, "preferences": 1, "deleted_thread": 1, "session_attempt": 1,
        "backboard_assistant": 1, "backboard_thread": 4, "backboard_memory": 2,
    }  # fmt: skip
    assert dict(found)["user"]["email"] == person.email
    assert dict(found)["preferences"]["document"] == {"a": "hello"}
    assert {document["content"] for kind, document in found if kind == "backboard_memory"} == {
        "Canary likes trains", "Canary lives in Lisbon",
    }  # fmt: skip
    assert other.clerk_id not in before[1] + before[2]
    assert person.clerk_id in before[2]
    assert erased[0] == 0
    assert (after[0], {kind for kind, _ in documents(after[1])} - {"delivery"}) == (0, {"tombstone"})


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("lookup", "everything at Backboard"),
        ("list_memories", "the memories of assistant"),
        ("list_threads", "the threads of assistant"),
        ("get_thread", "the thread "),
    ],
)
async def test_what_backboard_does_not_show_is_named(
    service: Service, variables: dict[str, str], backboard: Sandbox, kind: str, words: str
) -> None:
    """Exit 1; what could be read is printed all the same."""
    person = Person()
    await converse(service, backboard, person)
    backboard.always(kind, status(400))

    code, stdout, stderr = run(variables, "export", person.clerk_id)

    assert (code, f"Missing: {words}" in stderr) == (1, True), stderr
    assert "message" in dict(documents(stdout))


async def test_all_memories_are_shown_page_by_page(
    service: Service, variables: dict[str, str], backboard: Sandbox
) -> None:
    person = Person()
    await service.ensure(person)
    backboard.remember(backboard.alive()[0].id, *(f"number {number}" for number in range(230)))

    code, stdout, _ = run(variables, "export", person.clerk_id)

    assert code == 0
    assert len({document["content"] for kind, document in documents(stdout) if kind == "backboard_memory"}) == 230


async def test_half_an_emoji_from_backboard_ends_nothing(
    service: Service, variables: dict[str, str], backboard: Sandbox
) -> None:
    """UTF-8 cannot hold it, and JSON can, as an escape."""
    person = Person()
    await service.ensure(person)
    backboard.remember(backboard.alive()[0].id, "half \ud83d", "whole \U0001f600")

    code, stdout, _ = run(variables, "export", person.clerk_id)

    memories = {document["content"] for kind, document in documents(stdout) if kind == "backboard_memory"}
    assert (code, memories) == (0, {"half \ud83d", "whole \U0001f600"})


@pytest.mark.parametrize("command", ["export", "erase"])
async def test_an_address_that_is_not_one_users_needs_the_id(
    variables: dict[str, str], database: Database, command: str
) -> None:
    """Of several users it shows who they are; of none it says so; a word that is neither is wrong usage."""
    people = Person(), Person()
    for person in people:
        insert = "INSERT INTO users (clerk_id, assistant_id, email) VALUES (%s, %s, 'two@example.com')"
        database.execute(insert, [person.clerk_id, str(person.number)])

    several = run(variables, command, "Two@example.com")
    none = run(variables, command, "none@example.com")
    wrong = run(variables, command, "user_a b")

    assert (several[0], none[0], wrong[0]) == (2, 1, 2)
    assert all(person.clerk_id in several[2] for person in people)
    assert several[1] == ""
    assert "No user has that address" in none[2]
    assert database.execute(b"SELECT count(*) AS n FROM users").fetchone() == {"n": 2}
