"""`seed`: people, conversations and messages to develop a front end on. Neither Clerk nor Backboard knows of them."""

import asyncio
import logging
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import click

from app.commands.database import development_url
from app.commands.database import force as force_option
from app.errors import ServiceError
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.postgres.transaction import run_transaction

SECONDS = 5.0

NAMES = ("Ada", "Bo", "Chidi", "Dolores", "Emil", "Fatima", "Grace", "Hiro", "Ines", "Jonas")
TITLES = ("Three days in Lisbon", "New Trip")
SAID = (
    ("user", "I have three days and I like walking."),
    ("assistant", "Then start high and end at the river. Shall I plan the first day?"),
    ("user", "Yes, with a late start."),
)


@click.command()
@force_option
def seed(*, force: bool) -> None:
    """Fill the database with sample users, sessions and messages, to develop on; a second run changes nothing."""
    try:
        number = asyncio.run(insert_samples(development_url(force=force)))
    except ServiceError as error:
        raise click.ClickException(f"Nothing was inserted ({error.reason}); doctor says what is wrong.") from None
    click.echo(f"{number} sample users are there; Clerk and Backboard do not know them.")


async def insert_samples(url: str) -> int:
    """Insert what is missing in one transaction; how many sample users there are."""
    # With nobody to take its warnings, Python prints them, and they quote the address.
    logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())
    pool = Pool(url, name="seed", size=1)
    await pool.open()
    queries = Queries.load()
    users, sessions, messages = _users(), _sessions(), _messages()
    try:
        async with pool.connection(SECONDS) as connection:
            await run_transaction(
                connection,
                queries,
                (queries.insert_sample_users, users),
                (queries.insert_sample_sessions, sessions),
                (queries.insert_sample_messages, messages),
                seconds=SECONDS,
            )
    finally:
        await pool.close()
    return len(NAMES)


def _users() -> dict[str, Any]:
    return {
        "clerk_ids": [_clerk_id(name) for name in NAMES],
        "assistant_ids": [str(_uuid("assistant", name)) for name in NAMES],
        # Some people sign up with a telephone only.
        "emails": [None if name == NAMES[-1] else f"{name.lower()}@example.com" for name in NAMES],
        "names": [f"{name} Sample" for name in NAMES],
    }


def _sessions() -> dict[str, Any]:
    each = [(name, title) for name in NAMES for title in TITLES]
    return {
        "session_ids": [_uuid("session", *one) for one in each],
        "clerk_ids": [_clerk_id(name) for name, _ in each],
        "titles": [title for _, title in each],
        "thread_ids": [str(_uuid("thread", *one)) for one in each],
    }


def _messages() -> dict[str, Any]:
    each = [(name, TITLES[0], str(number)) for name in NAMES for number in range(len(SAID))]
    return {
        "message_ids": [_uuid("message", *one) for one in each],
        "roles": [SAID[int(number)][0] for _, _, number in each],
        "contents": [SAID[int(number)][1] for _, _, number in each],
        "session_ids": [_uuid("session", name, title) for name, title, _ in each],
    }


def _clerk_id(name: str) -> str:
    return f"user_sample{name}"


def _uuid(*words: str) -> UUID:
    """The same id in every run, so that a second one finds everything there."""
    return uuid5(NAMESPACE_URL, "/".join(("sample", *words)))
