"""`seed`: sample users, scenarios, sessions and messages to develop on; Clerk and Backboard do not know them."""

import asyncio
import logging
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import click

from app.commands.database import development_url, force_option
from app.errors import ServiceError
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.postgres.transaction import run_transaction

SECONDS = 5.0

NAMES = ("Ada", "Bo", "Chidi", "Dolores", "Emil", "Fatima", "Grace", "Hiro", "Ines", "Jonas")
TITLES = ("Three days in Lisbon", "New Trip")
SCENARIOS = (
    (
        "city-trip",
        "A few days in a city",
        "Plans walks, food and museums, one day at a time.",
        "You plan city trips. Ask for dates and pace first, then propose one day at a time.",
        "gpt-4o",
    ),
    (
        "packing-list",
        "What to pack",
        "A short list for the weather and the days.",
        "You write packing lists. Ask where and when, and keep the list short.",
        None,
    ),
)
MESSAGES = (
    ("user", "I have three days and I like walking."),
    ("assistant", "Then start high and end at the river. Shall I plan the first day?"),
    ("user", "Yes, with a late start."),
)


@click.command()
@force_option
def seed(*, force: bool) -> None:
    """Fill the database with sample users, scenarios and sessions, to develop on; a second run changes nothing."""
    url = development_url(force=force)
    try:
        present = asyncio.run(insert_samples(url))
    except ServiceError as error:
        raise click.ClickException(f"Nothing was inserted ({error.reason}); doctor says what is wrong.") from None
    click.echo(f"{present} sample users are there; Clerk and Backboard do not know them.")
    if present < len(NAMES):
        click.echo(f"{len(NAMES) - present} were deleted or erased, and stay deleted; reset makes room for all.")


async def insert_samples(url: str) -> int:
    """Insert the missing samples in one transaction; returns how many sample users there are now."""
    # Without a handler, Python prints the pool's warnings, and they quote the address.
    logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())
    pool = Pool(url, name="seed", size=1)
    await pool.open()
    queries = Queries.load()
    statements = (
        (queries.insert_sample_users, _users()),
        (queries.insert_sample_scenarios, _scenarios()),
        (queries.insert_sample_sessions, _sessions()),
        (queries.insert_sample_messages, _messages()),
        (queries.find_users, {"clerk_ids": _users()["clerk_ids"]}),
    )
    try:
        async with pool.connection(SECONDS) as connection:
            *_, found = await run_transaction(connection, queries, *statements, seconds=SECONDS)
    finally:
        await pool.close()
    # A tombstone has no id, and a deleted user's row has the time of the deletion.
    return sum(user_id is not None and deleted_at is None for user_id, *_, deleted_at in found)


def _users() -> dict[str, Any]:
    return {
        "clerk_ids": [_clerk_id(name) for name in NAMES],
        "assistant_ids": [str(_uuid("assistant", name)) for name in NAMES],
        # One has none: some people sign up with a telephone number only.
        "emails": [None if name == NAMES[-1] else f"{name.lower()}@example.com" for name in NAMES],
        "names": [f"{name} Sample" for name in NAMES],
        # Some have none, as users of whom no event has come yet.
        "image_urls": [f"https://img.clerk.com/sample-{name.lower()}" if name < "G" else None for name in NAMES],
    }


def _scenarios() -> dict[str, Any]:
    names = ("slugs", "names", "descriptions", "system_prompts", "models")
    return dict(zip(names, map(list, zip(*SCENARIOS, strict=True)), strict=True))


def _sessions() -> dict[str, Any]:
    sessions = [(name, title) for name in NAMES for title in TITLES]
    return {
        "session_ids": [_uuid("session", name, title) for name, title in sessions],
        "clerk_ids": [_clerk_id(name) for name, _ in sessions],
        "titles": [title for _, title in sessions],
        "thread_ids": [str(_uuid("thread", name, title)) for name, title in sessions],
        "scenario_slugs": [SCENARIOS[0][0] if title == TITLES[0] else None for _, title in sessions],
    }


def _messages() -> dict[str, Any]:
    messages = [(name, number, *message) for name in NAMES for number, message in enumerate(MESSAGES)]
    return {
        "message_ids": [_uuid("message", name, TITLES[0], str(number)) for name, number, _, _ in messages],
        "roles": [role for _, _, role, _ in messages],
        "contents": [content for _, _, _, content in messages],
        "session_ids": [_uuid("session", name, TITLES[0]) for name, _, _, _ in messages],
    }


def _clerk_id(name: str) -> str:
    return f"user_sample{name}"


def _uuid(*words: str) -> UUID:
    """The same id in every run, so that the next run finds the sample in the table."""
    return uuid5(NAMESPACE_URL, "/".join(("sample", *words)))
