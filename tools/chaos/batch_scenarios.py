"""Exact faults where one statement serves many callers: appends and changes of known users."""

import asyncio
from collections.abc import Sequence

from tools.chaos import postgres_faults, workload
from tools.chaos.chat import ESCAPE, Conversation
from tools.chaos.cluster import Cluster
from tools.chaos.servers import Server
from tools.chaos.workload import User
from tools.processes import NotReady

RACES = 6
# As many as are stored together with others', and as are stored by themselves.
RACING_MESSAGES = (100, 200)
NEIGHBOURS, ROUNDS = 8, 5
VERSIONS = 6
# How often a session is asked for.
OPENINGS = 30
# What a statement is recognised by.
_UPDATE = "UPDATE users"


# The words of an append, and whether its messages have ids.
_FAULTY = (
    (["alone" + ESCAPE], False),
    (["one", "two", "three"], False),
    (["one", "two", "three" + ESCAPE], True),
)
_ACTIONS = dict.fromkeys((*postgres_faults.ON_STATEMENT, *postgres_faults.ON_COMMIT))


class BatchScenarios:
    """On the two servers that `Scenarios` leaves alone; appends and changes at one each.

    A write alone is a statement without a COMMIT to cut at; a planned fault of a COMMIT then waits in vain.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._workload, self._sender = cluster.workload, cluster.sender
        self._postgres = cluster.postgres_faults
        self._servers = cluster.servers.all[2:4]
        self._rng = cluster.workload.random_for("batches")

    async def run(self) -> None:
        appending, changing = self._servers
        await asyncio.gather(self._faulty_appends(appending), self._faulty_changes(changing))
        await self._two_writers()
        await self._neighbours(self._servers[0])
        await self._versions_at_once(self._servers[0])

    async def _faulty_appends(self, server: Server) -> None:
        """The last message of an append names the statement that meets the fault; the append before it opens the way.

        One that the service stores by itself, in a transaction, has a COMMIT that can be cut.
        """
        for action in _ACTIONS:
            for words, with_ids in _FAULTY:
                conversation = await self._open()
                await self._append(conversation, ["before"], server)
                # Without the escape, which is escaped once more on its way.
                self._postgres.plan(action, workload.text(conversation.clerk_id, words[-1].removesuffix(ESCAPE)))
                await self._append(conversation, words, server, with_ids=with_ids)
                await self._append(conversation, ["after"], server)
                await self._read(conversation, server)

    async def _faulty_changes(self, server: Server) -> None:
        for action in _ACTIONS:
            clerk_id = (await self._open()).clerk_id
            before, faulty = self._workload.change(clerk_id, 2)
            await self._sender.deliver(before, to=server)
            self._postgres.plan(action, clerk_id, _UPDATE)
            await self._sender.deliver(faulty, to=server)
            await self._sender.ensure(clerk_id, self._rng, to=server)

    async def _two_writers(self) -> None:
        """Two processes add many messages to one session at a time, while others read it."""
        conversation = await self._open()
        for race in range(RACES):
            numbers = range(RACING_MESSAGES[race % 2])
            await asyncio.gather(
                *(
                    self._append(
                        conversation,
                        [f"{race} {server.number} {number}" for number in numbers],
                        server,
                        with_ids=race >= RACES // 2,
                    )
                    for server in self._servers
                ),
                *(self._read(conversation, server) for server in self._servers),
            )
            await self._read(conversation, self._servers[0])

    async def _neighbours(self, server: Server) -> None:
        """Without a fault, every append to one server at a time is stored, and answered with its own messages."""
        conversations = [await self._open() for _ in range(NEIGHBOURS)]
        for number in range(ROUNDS):
            await asyncio.gather(*(self._append(one, [f"{number} a", f"{number} b"], server) for one in conversations))
            await asyncio.gather(*(self._read(one, server) for one in conversations))

    async def _versions_at_once(self, server: Server) -> None:
        """Versions of one profile reach one process at a time, in any order."""
        for _ in range(NEIGHBOURS):
            clerk_id = (await self._open()).clerk_id
            events = self._workload.change(clerk_id, VERSIONS)
            self._rng.shuffle(events)
            await asyncio.gather(*(self._sender.deliver(event, to=server) for event in events))
            await self._sender.ensure(clerk_id, self._rng, to=server)

    async def _open(self) -> Conversation:
        """A new user with a session; repeated, since other scenarios take Backboard away for a while."""
        clerk_id = self._workload.new_clerk_id()
        self._workload.add(User(clerk_id, (), ensured=True))
        for number in range(OPENINGS):
            opened = await self._sender.open_session(clerk_id, self._rng, to=self._servers[number % 2])
            if opened.result == "ok":
                return Conversation(clerk_id, opened.session_id)
            await asyncio.sleep(1)
        raise NotReady(f"the session of {clerk_id} was never opened")

    async def _append(
        self, conversation: Conversation, words: Sequence[str], server: Server, *, with_ids: bool = False
    ) -> None:
        """One message for each word, or words, by which it is known in its session."""
        texts = [workload.text(conversation.clerk_id, word) for word in words]
        send = self._sender.append_until_answered if with_ids else self._sender.append
        await send(conversation.clerk_id, conversation.session_id, texts, self._rng, to=server)

    async def _read(self, conversation: Conversation, server: Server) -> None:
        await self._sender.read(conversation.clerk_id, conversation.session_id, self._rng, to=server)
