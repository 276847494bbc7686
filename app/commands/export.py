"""`export`: everything that is held of one user, here and at Backboard, as NDJSON: the answer to an access request.

A line is `{"kind": ..., "document": ...}`: whole rows, and what Backboard sends. Nothing is changed, and memory holds a
page at a time.
"""

import json
import sys
from collections import Counter
from time import monotonic
from typing import Any

import click

from app import log
from app.commands.erase import find_assistants
from app.commands.importing.models import usable_uuid
from app.commands.person import check_person, find_person
from app.commands.progress import PROGRESS_SECONDS
from app.commands.runtime import load_settings, run_until_sigterm
from app.components import Components, build_components, open_components
from app.deadline import Deadline
from app.errors import AssistantUnavailable, DatabaseUnavailable
from app.http.client import retry_reads
from app.postgres.pipeline import Statement
from app.postgres.streaming import read_pages
from app.reasons import meaning_of
from app.settings import Settings


@click.command()
@click.argument("person", metavar="CLERK_ID|EMAIL")
def export(*, person: str) -> None:
    """Print everything that is held of one user, here and at Backboard: a line of JSON for each document.

    Exit codes: 0 this is all, 1 something could not be read, and stderr says what; 2 several users have the address.
    """
    check_person(person)
    settings = load_settings(Settings)
    log.configure(settings.log_format, "error", stream=sys.stderr)
    try:
        missing = run_until_sigterm(run(settings, person), if_stopped="what was printed is not all")
    except DatabaseUnavailable as error:
        raise click.ClickException(f"This is not all: {meaning_of(error)}.") from None
    for what in missing:
        click.echo(f"Missing: {what}", err=True)
    if missing:
        sys.exit(1)


async def run(settings: Settings, person: str) -> list[str]:
    """Print everything, and return in words what is missing."""
    components = build_components(settings)
    async with open_components(components):
        clerk_id = await find_person(components, person)
        work = Export(components, clerk_id)
        await work.run()
    counts = ", ".join(f"{number} {kind}" for kind, number in work.counts.items())
    click.echo(f"{clerk_id}: {counts or 'there is nothing'}", err=True)
    return work.missing


class Export:
    """Prints what is held of one user."""

    def __init__(self, components: Components, clerk_id: str) -> None:
        self._components = components
        self._backboard = components.backboard
        self._clerk_id = clerk_id
        self._own_assistants: set[str] = set()
        # Of the sessions here; Backboard may list them under no assistant of the user.
        self._threads: dict[str, None] = {}
        self.counts: Counter[str] = Counter()
        self.missing: list[str] = []
        self._told_at = monotonic()

    async def run(self) -> None:
        queries, values = self._components.queries, {"clerk_id": self._clerk_id}
        await self._print_rows((queries.list_user_documents, values))
        await self._print_rows((queries.list_user_messages, values))
        try:
            assistants = await retry_reads(
                lambda: find_assistants(self._components, self._clerk_id, self._own_assistants)
            )
        except AssistantUnavailable as error:
            self.missing.append(f"everything at Backboard ({meaning_of(error)})")
            return
        for assistant_id in sorted(assistants):
            await self._print_assistant(assistant_id)
        for thread_id in self._threads:
            await self._print_document("threads", thread_id)

    async def _print_rows(self, statement: Statement) -> None:
        async for rows in read_pages(self._components.query_pool, statement):
            for kind, text in rows:
                if kind == "user":
                    self._own_assistants.add(json.loads(text)["assistant_id"])
                elif kind == "session" and (thread_id := usable_uuid(json.loads(text)["thread_id"])):
                    self._threads[thread_id] = None
                self._print(kind, text)
            if monotonic() - self._told_at > PROGRESS_SECONDS:
                self._told_at = monotonic()
                click.echo(f"{self.counts.total()} documents ...", err=True)

    async def _print_assistant(self, assistant_id: str) -> None:
        await self._print_document("assistants", assistant_id)
        try:
            for memory in await retry_reads(lambda: self._backboard.list_memories(assistant_id, Deadline())):
                self._print("backboard_memory", _json(memory))
        except AssistantUnavailable as error:
            self.missing.append(f"the memories of assistant {assistant_id} ({meaning_of(error)})")
        try:
            threads = await retry_reads(lambda: self._backboard.list_threads(assistant_id, Deadline()))
        except AssistantUnavailable as error:
            self.missing.append(f"the threads of assistant {assistant_id} ({meaning_of(error)})")
            return
        self._threads |= dict.fromkeys(thread.id for thread in threads)

    async def _print_document(self, kind: Any, id_: str) -> None:
        """An assistant, or a thread with its messages."""
        try:
            document = await retry_reads(lambda: self._backboard.get_document(kind, id_, Deadline()))
        except AssistantUnavailable as error:
            self.missing.append(f"the {kind.removesuffix('s')} {id_} ({meaning_of(error)})")
            return
        if document is not None:
            self._print(f"backboard_{kind.removesuffix('s')}", _json(document))

    def _print(self, kind: str, document: str) -> None:
        self.counts[kind] += 1
        click.echo(f'{{"kind": "{kind}", "document": {document}}}')


def _json(document: Any) -> str:
    """Half a surrogate pair, which Backboard hands on and UTF-8 cannot hold, stays the escape that it came as."""
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
