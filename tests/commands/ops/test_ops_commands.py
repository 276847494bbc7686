"""`status`, `user` and `events`: what the operator's page shows, for a terminal and as JSON."""

import json
from typing import Any

import click
import psycopg
import pytest

from app.commands.ops.events import Age
from tests.ops.rows import RUNNING, deliver, fail, sign_up
from tests.support import commands

Database = psycopg.Connection[dict[str, Any]]


@pytest.fixture
def seeded(database: Database, variables: dict[str, str]) -> dict[str, str]:
    """Two users, one of them waits, and one failure that has healed; the address is all that the commands need."""
    database.execute(RUNNING)
    sign_up(database)
    deliver(database, "msg_1", outcome="created", minutes=90)
    fail(database, "msg_2", "database_slow", minutes=200, clerk_id="user_b")
    fail(database, "msg_3", "backboard_down", minutes=10, resolved_at="now", clerk_id="user_b")
    return {"DATABASE_URL": variables["DATABASE_URL"]}


def run(seeded: dict[str, str], *words: str) -> tuple[int, str, str]:
    return commands.run(*words, checkout=commands.ROOT, **seeded)


def test_status_says_what_is_wrong_whom_it_hurts_and_what_to_do(seeded: dict[str, str], database: Database) -> None:
    """And exits with 0 only if all is well."""
    code, output, errors = run(seeded, "status")
    as_json = json.loads(run(seeded, "status", "--json")[1])
    database.execute(b"DELETE FROM deliveries WHERE svix_id = 'msg_2'")
    well = run(seeded, "status")

    assert (code, errors, well[0]) == (1, "", 0)
    assert (
        "Postgres did not answer in time. 1 person waits until Clerk's next try. `python -m app doctor`"
        in output.splitlines()[0]
    )
    assert (as_json["is_well"], as_json["sentence"]) == (False, output.splitlines()[0])
    assert well[1].splitlines()[0].startswith("All is well. Last event 10 minutes ago.")


@pytest.mark.parametrize("word", ["user_a", "canary.1@example.com", "msg_1"])
def test_user_says_whether_the_user_can_chat(word: str, seeded: dict[str, str]) -> None:
    """By any id, or by e-mail address."""
    code, output, errors = run(seeded, "user", word)

    assert (code, errors) == (0, "")
    assert output.splitlines()[0] == "user_a has an assistant and can chat."
    assert "user.created: created (200)  msg_1" in output


def test_user_prints_json(seeded: dict[str, str]) -> None:
    """With the row's columns by name."""
    code, output, _ = run(seeded, "user", "user_a", "--json")

    (page,) = json.loads(output)
    assert (code, page["can_chat"], page["user"]["assistant_id"]) == (0, True, "assistant-of-user_a")


def test_user_who_is_unknown_is_a_failure(seeded: dict[str, str]) -> None:
    assert run(seeded, "user", "user_nobody") == (1, "", "Error: Nothing is known of that here.\n")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], ["msg_3", "msg_1", "msg_2"]),
        (["--failing"], ["msg_2"]),
        (["--since", "2h"], ["msg_3", "msg_1"]),
        (["--limit", "1"], ["msg_3"]),
    ],
    ids=" ".join,
)
def test_events_are_listed_newest_first(options: list[str], found: list[str], seeded: dict[str, str]) -> None:
    _, output, _ = run(seeded, "events", *options)
    _, as_json, _ = run(seeded, "events", *options, "--json")

    assert [one["svix_id"] for one in json.loads(as_json)] == found
    assert [word for line in output.splitlines() for word in line.split() if word.startswith("msg_")] == found


@pytest.mark.parametrize(
    "since", ["2", "h", "2 h", "-1h", "2w", "\u0662h", "", "9999999d", "999999d", "739000d", "36526d"]
)
def test_an_age_that_cannot_be_read_is_wrong_usage(since: str) -> None:
    with pytest.raises(click.UsageError):
        Age().convert(since, None, None)


def test_a_database_that_is_down_is_named() -> None:
    """With what to do, instead of a trace."""
    code, output, errors = commands.run("status", DATABASE_URL="postgresql://app@127.0.0.1:1/app")

    assert (code, output) == (1, "")
    assert errors.startswith("Error: The database cannot be used: nothing listens at that host and port. ")
