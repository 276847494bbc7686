"""The sessions and messages of another program, after its users: in pages, each in a short transaction of its own."""

from collections.abc import Iterator, Mapping
from itertools import groupby

from app.commands.importing.mapping import SKIP, Words
from app.commands.importing.models import ForeignMessage, ForeignSession, Summary, new_id, usable_uuid
from app.commands.importing.patience import Patience
from app.components import Components
from app.postgres.pipeline import Rows, Statement
from app.postgres.text import storable_text
from app.postgres.transaction import LOCK_MS, run_transaction

STATEMENT_MS = 60_000
SECONDS = 65.0
# Characters of text in one statement, unless a message alone has more.
PAGE_CHARACTERS = 1_000_000


class ChatImport:
    """Takes over pages of sessions and of messages; every call may be repeated."""

    def __init__(
        self,
        components: Components,
        summary: Summary,
        patience: Patience,
        *,
        clerk_ids: Mapping[str, str],
        roles: Words,
        statuses: Words,
        shared_threads: Mapping[str, str],
        dry_run: bool = False,
    ) -> None:
        """`clerk_ids` has the users who are here, by their key there and by their Clerk id."""
        self._queries = components.queries
        self._pool = components.provisioning_pool
        self._summary = summary
        self._patience = patience
        self._clerk_ids = clerk_ids
        self._roles = roles
        self._statuses = statuses
        self._shared_threads = shared_threads
        self._dry_run = dry_run
        # The sessions that are not taken over by rule, so that their messages are not missed.
        self._left_out: set[str] = set()

    async def take_sessions(self, page: list[ForeignSession]) -> None:
        """Write a page of sessions, a user's at a time."""
        self._summary.sessions.there += len(page)
        for user_key, group in groupby(page, lambda session: session.user_key):
            sessions = [session for session in group if self._is_wanted(session)]
            clerk_id = self._clerk_ids.get(user_key or "")
            if clerk_id is not None and sessions:
                await self._write_sessions(clerk_id, sessions)

    def _is_wanted(self, session: ForeignSession) -> bool:
        why = None
        if session.user_key not in self._clerk_ids:
            why = "sessions of users who were not taken over"
        elif self._statuses.get(session.status) == SKIP:
            why = "sessions with a status that was skipped"
        if why is not None:
            self._left_out.add(session.key)
            self._summary.left_out[why] += 1
            return False
        if session.status is not None and self._statuses.get(session.status) is None:
            self._left_out.add(session.key)
            self._summary.miss(f"sessions with the status {self._statuses.undecided(session.status)}", session.key)
            return False
        return True

    async def _write_sessions(self, clerk_id: str, sessions: list[ForeignSession]) -> None:
        threads = [self._thread(session) for session in sessions]
        states = [self._status(session) for session in sessions]
        if self._dry_run:
            self._summary.sessions.here += len(sessions)
            return
        user = {"clerk_id": clerk_id}
        values = {
            "clerk_id": clerk_id,
            "session_ids": [new_id("session", session.key) for session in sessions],
            "thread_ids": threads,
            "titles": [session.title and storable_text(session.title) for session in sessions],
            "statuses": states,
            "created_ats": [session.created_at for session in sessions],
            "last_actives": [session.last_active_at for session in sessions],
            "ended_ats": [
                None if state == "active" else session.ended_at or session.last_active_at
                for session, state in zip(sessions, states, strict=True)
            ],
        }
        *_, written, anyones, here = await self._run(
            (self._queries.lock_sessions, user),
            (self._queries.lock_user, user),
            (self._queries.insert_imported_sessions, values),
            (self._queries.lock_imported_sessions, {"session_ids": values["session_ids"], "owner_id": None}),
            (self._queries.lock_imported_sessions, {"session_ids": values["session_ids"], "owner_id": clerk_id}),
        )
        self._summary.sessions.new += sum(is_new for _, is_new in written)
        self._summary.sessions.here += len(here)
        self._miss_absent(sessions, anyones=anyones, here=here)

    def _miss_absent(self, sessions: list[ForeignSession], *, anyones: Rows, here: Rows) -> None:
        """Name the sessions that could not be written, and leave out their messages."""
        for session in sessions:
            row = (new_id("session", session.key),)
            if row not in here:
                is_taken = row in anyones
                self._left_out.add(session.key)
                self._summary.miss(
                    "sessions with an id that another user's session has here"
                    if is_taken
                    else "sessions of users deleted here",
                    session.key,
                )

    def _thread(self, session: ForeignSession) -> str | None:
        """The thread, unless another session has it: the deletion of one would empty the other."""
        thread_id = usable_uuid(session.thread_id)
        if thread_id is None:
            if session.thread_id is not None:
                self._summary.left_out["threads with an id that is no UUID"] += 1
            return None
        if self._shared_threads.get(thread_id, session.key) != session.key:
            self._summary.left_out["threads that an earlier session has as well"] += 1
            return None
        return thread_id

    def _status(self, session: ForeignSession) -> str:
        return self._statuses.get(session.status) or ("completed" if session.ended_at else "active")

    async def take_messages(self, page: list[ForeignMessage]) -> None:
        """Write a page of messages, in their order."""
        self._summary.messages.there += len(page)
        wanted = [message for message in page if self._is_said(message)]
        for part in _parts(wanted):
            await self._write_messages(part)

    def _is_said(self, message: ForeignMessage) -> bool:
        why = None
        if not message.has_session:
            why = "messages of a session that does not exist"
        elif message.session_key is None or message.session_key in self._left_out:
            why = "messages of sessions that were not taken over"
        elif self._roles.get(message.role) == SKIP:
            why = "messages with a role that was skipped"
        elif message.content is None:
            why = "messages without content"
        elif self._roles.get(message.role) is None:
            self._summary.miss(f"messages with the role {self._roles.undecided(message.role)}", message.key)
            return False
        elif message.drops_metadata:
            self._summary.left_out["metadata that is no object or too large"] += 1
        if why is not None:
            self._summary.left_out[why] += 1
        return why is None

    async def _write_messages(self, messages: list[ForeignMessage]) -> None:
        if self._dry_run:
            self._summary.messages.here += len(messages)
            return
        session_ids = [new_id("session", message.session_key or "") for message in messages]
        values = {
            "message_ids": [new_id("message", message.key) for message in messages],
            "session_ids": session_ids,
            "roles": [self._roles.get(message.role) for message in messages],
            "contents": [message.content for message in messages],
            "documents": [message.metadata for message in messages],
            "created_ats": [message.created_at for message in messages],
        }
        _, counts = await self._run(
            (self._queries.lock_imported_sessions, {"session_ids": list(set(session_ids)), "owner_id": None}),
            (self._queries.insert_imported_messages, values),
        )
        ((stored, present),) = counts
        self._summary.messages.new += stored
        self._summary.messages.here += present

    async def _run(self, *statements: Statement) -> list[Rows]:
        async def run() -> list[Rows]:
            async with self._pool.connection() as connection:
                return await run_transaction(
                    connection, self._queries, *statements, seconds=SECONDS, lock_ms=LOCK_MS, statement_ms=STATEMENT_MS
                )

        return await self._patience.call(run)


def _parts(messages: list[ForeignMessage]) -> Iterator[list[ForeignMessage]]:
    """The messages in parts of at most PAGE_CHARACTERS."""
    part: list[ForeignMessage] = []
    size = 0
    for message in messages:
        size += len(message.content or "") + len(message.metadata or "")
        if part and size > PAGE_CHARACTERS:
            yield part
            part, size = [], len(message.content or "")
        part.append(message)
    if part:
        yield part
