"""Hostile clients and their neighbours, side by side over shared connections, and what came of it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from tools.hostile.clients import Address, Ending, Neighbour, attack
from tools.hostile.corpus import Case

NEIGHBOURS = 2
# Between two requests of a neighbour.
PAUSE_SECONDS = 0.002


@dataclass
class Result:
    """The counts of a run; `wrong` and `deaf` name the case and quote what was received."""

    cases: int = 0
    answers: int = 0
    # Answers to neighbours over a connection to the server on which a hostile client was answered as well.
    shared: int = 0
    refused: int = 0
    reconnected: int = 0
    wrong: list[str] = field(default_factory=list)
    deaf: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.wrong or self.deaf)


async def run(lanes: Sequence[Address], cases: Sequence[Case]) -> Result:
    """Send every case once, each lane one after the other, while neighbours ask on the same lane."""
    result = Result()
    waiting = list(enumerate(cases))[::-1]
    async with asyncio.TaskGroup() as running:
        for address in lanes:
            running.create_task(_work(address, waiting, result))
    return result


async def _work(address: Address, waiting: list[tuple[int, Case]], result: Result) -> None:
    neighbours = [Neighbour(address) for _ in range(NEIGHBOURS)]
    hostile: set[bytes] = set()
    while waiting:
        number, case = waiting.pop()
        await asyncio.gather(*(neighbour.ask() for neighbour in neighbours))
        attacking = asyncio.create_task(attack(address, case, number))
        await asyncio.gather(*(_ask_until(attacking, neighbour) for neighbour in neighbours))
        ending = await attacking
        hostile |= ending.upstreams
        name = f"{case.group}: {case.name}"
        if ending.foreign:
            result.wrong.append(f"{name}: the hostile client got {sorted(ending.foreign)}")
        if ending.is_deaf:
            result.deaf.append(f"{name}: the hostile client's connection")
        for neighbour in neighbours:
            _collect(neighbour, name, hostile, result)
        result.cases += 1
    for neighbour in neighbours:
        neighbour.close()


async def _ask_until(attacking: asyncio.Task[Ending], neighbour: Neighbour) -> None:
    """Ask while the attack is under way, and a few times after it."""
    after = 3
    while after:
        after -= attacking.done()
        await neighbour.ask()
        await asyncio.sleep(PAUSE_SECONDS)


def _collect(neighbour: Neighbour, name: str, hostile: set[bytes], result: Result) -> None:
    """Move what a neighbour has noted during a case to the result."""
    result.answers += neighbour.answers
    result.refused += neighbour.refused
    result.reconnected += neighbour.reconnected
    neighbour.answers = neighbour.refused = neighbour.reconnected = 0
    result.shared += sum(upstream in hostile for upstream in neighbour.upstreams)
    result.wrong += [f"{name}: a neighbour: {what}" for what in neighbour.wrong]
    result.deaf += [f"{name}: a neighbour: {what}" for what in neighbour.deaf]
    for noted in (neighbour.upstreams, neighbour.wrong, neighbour.deaf):
        noted.clear()
