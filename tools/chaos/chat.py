"""Conversations during the storm: two chat backends write to a session, a third reads it, and Clerk renames its user.

Each of them goes to any server, so several processes write to one session at once, and one process has the writes of
many sessions and the changes of many users to put into one statement. Messages under ids
are sent until they are answered. One without an id is sent once: the service may have stored it, and two of it would be
the backend's fault.
"""

import asyncio
import random
from dataclasses import dataclass
from time import monotonic

from tools.chaos import workload
from tools.chaos.cluster import Cluster
from tools.chaos.workload import User

CONVERSATIONS = 6
BACKENDS = 2
# Of each backend in one conversation.
APPENDS = 25
# How often an append is one of messages under ids.
WITH_IDS = 0.6
# Seconds between two steps of one actor.
APPEND_EVERY, READ_EVERY, CHANGE_EVERY = (0.0, 0.06), (0.05, 0.3), (0.1, 0.5)
# How many versions of a profile are delivered at once, in any order.
VERSIONS = 5
# How often a message is one that the service stores by itself: a long one, or one with an escape of JSON in it.
ALONE, LONG, ESCAPE = 0.1, "x" * 8_001, r"\u0000"


@dataclass(frozen=True, slots=True)
class Conversation:
    clerk_id: str
    session_id: str


class Chat:
    def __init__(self, cluster: Cluster) -> None:
        self._workload = cluster.workload
        self._sender = cluster.sender
        self._deliveries: set[asyncio.Task[bool]] = set()

    async def run(self, until: float) -> None:
        """Hold conversations, several at a time and one after the other, until this time."""
        await asyncio.gather(*(self._converse(until) for _ in range(CONVERSATIONS)))
        await asyncio.gather(*self._deliveries)

    async def _converse(self, until: float) -> None:
        while monotonic() < until:
            conversation = await self._open(until)
            if conversation is None:
                return
            over = asyncio.Event()
            beside = asyncio.gather(self._read(conversation, over), self._change(conversation, over))
            await asyncio.gather(*(self._write(conversation, backend, until) for backend in range(BACKENDS)))
            over.set()
            await beside

    async def _open(self, until: float) -> Conversation | None:
        clerk_id = self._workload.new_clerk_id()
        self._workload.add(User(clerk_id, (), ensured=True))
        rng = self._workload.random_for(f"{clerk_id} opens")
        while monotonic() < until:
            opened = await self._sender.open_session(clerk_id, rng)
            if opened.result == "ok":
                return Conversation(clerk_id, opened.session_id)
            await asyncio.sleep(rng.uniform(0.1, 0.5))
        return None

    async def _write(self, conversation: Conversation, backend: int, until: float) -> None:
        rng = self._workload.random_for(f"{conversation.clerk_id} backend {backend}")
        for number in range(APPENDS):
            if monotonic() >= until:
                return
            texts = some_texts(conversation.clerk_id, rng, backend, number)
            send = self._sender.append_until_answered if rng.random() < WITH_IDS else self._sender.append
            await send(conversation.clerk_id, conversation.session_id, texts, rng)
            await asyncio.sleep(rng.uniform(*APPEND_EVERY))

    async def _read(self, conversation: Conversation, over: asyncio.Event) -> None:
        rng = self._workload.random_for(f"{conversation.clerk_id} reader")
        while not over.is_set():
            await self._sender.read(conversation.clerk_id, conversation.session_id, rng)
            await asyncio.sleep(rng.uniform(*READ_EVERY))

    async def _change(self, conversation: Conversation, over: asyncio.Event) -> None:
        """Deliver versions of the profile in any order, half of the time all to one server, and read the profile."""
        clerk_id = conversation.clerk_id
        rng = self._workload.random_for(f"{clerk_id} changes")
        while not over.is_set():
            events = self._workload.change(clerk_id, VERSIONS)
            rng.shuffle(events)
            server = self._sender.any_server(rng) if rng.random() < 0.5 else None  # Half.
            for event in events:
                delivery = asyncio.create_task(self._sender.deliver(event, to=server))
                self._deliveries.add(delivery)
            await asyncio.sleep(rng.uniform(*CHANGE_EVERY))
            await self._sender.ensure(clerk_id, rng)


def some_texts(clerk_id: str, rng: random.Random, *words: object) -> list[str]:
    """One message or up to eight, now and then one that the service does not store together with others'."""
    count = rng.choice((1, 1, 1, 2, 8))
    texts = [workload.text(clerk_id, *words, place) for place in range(count)]
    number = rng.random()
    if number < ALONE:
        texts[-1] += ESCAPE if number < ALONE / 2 else LONG
    return texts
