"""The steps of docs/backup.md: a dump is restored beside a Backboard and a Clerk that went on after it."""

import re
import shlex
import subprocess

import psycopg
import pytest
from psycopg.rows import dict_row

from app.commands.reconcile import command
from app.postgres.migrations import migrate
from tests.commands.reconcile.drifting import DEFAULT_GRACE, Database, add_to_clerk, sign_up
from tests.docs.pages import page
from tests.support.databases import temporary_database
from tests.support.factories import event, user_created
from tests.support.service import Chat, Service, settings_of
from tools.sandbox.backboard import Sandbox
from tools.sandbox.binaries import find_binaries
from tools.sandbox.clerk import Clerk

pytestmark = pytest.mark.anyio


def as_on_the_page(program: str, url: str, **files: bytes | None) -> bytes:
    """Run the page's own command line of a program, without its redirections; return what it prints."""
    (line,) = re.findall(rf"^ *({program} .*)$", page("docs/backup.md"), re.MULTILINE)
    words = shlex.split(line.replace('"$DATABASE_URL"', url).partition(" > ")[0].replace(" backup.dump", ""))
    path = find_binaries() / words[0]
    done = subprocess.run([path, *words[1:]], input=files.get("stdin"), check=True, capture_output=True)
    return done.stdout


async def test_after_a_restore_reconcile_brings_back_what_happened_since_the_backup(
    service: Service, clerk: Clerk, database: Database, backboard: Sandbox, with_clerk: dict[str, str], direct_url: str
) -> None:
    """Each live user has the assistant of before, and the deleted one none."""
    stayed, changed, deleted = await sign_up(service, clerk, 3)
    session = (await Chat(service.client).open(stayed)).json()
    await Chat(service.client).say(session, "user", "Said before the backup")
    database.execute("UPDATE users SET created_at = now() - interval '2 days'")
    dump = as_on_the_page("pg_dump", direct_url)
    (new,) = await sign_up(service, clerk)
    add_to_clerk(clerk, changed, updated_at=1_700_000_000_500, first_name="Canarynew")
    await service.deliver(user_created(changed, updated_at=1_700_000_000_500, first_name="Canarynew"))
    clerk.remove_user(deleted.clerk_id)
    await service.deliver(event("user.deleted", {"id": deleted.clerk_id, "deleted": True}))
    assistants = {one.name: one.id for one in backboard.alive()}

    with temporary_database(direct_url) as restored:
        as_on_the_page("pg_restore", restored, stdin=dump)
        await migrate(restored)
        settings = settings_of(with_clerk | {"DATABASE_URL": restored})
        report = await command.run(settings, all_users=True, apply=True, grace_periods=DEFAULT_GRACE)
        with psycopg.connect(restored, row_factory=dict_row) as connection:
            live = connection.execute("SELECT * FROM users WHERE deleted_at IS NULL").fetchall()
            messages = connection.execute("SELECT content FROM messages").fetchall()

    assert report.clean
    assert {row["clerk_id"]: row["assistant_id"] for row in live} == {
        person.clerk_id: assistants[person.assistant_name] for person in (stayed, changed, new)
    }
    assert {one.name: one.id for one in backboard.alive()} == assistants
    assert next(row["name"] for row in live if row["clerk_id"] == changed.clerk_id).startswith("Canarynew")
    assert [row["content"] for row in messages] == ["Said before the backup"]
