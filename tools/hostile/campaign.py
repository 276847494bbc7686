"""Hostile clients and their neighbours, side by side over shared connections, and what came of it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from tools.hostile.clients import Address, Neighbour, attack
from tools.hostile.corpus import Case

NEIGHBOURS = 2
# Between two requests of a neighbour.
PAUSE_SECONDS = 0.002


@dataclass
class Result:
    """The counts of a run; `wrong` and `deaf` name the case and quote what was received."""

    cases: int = 0
    answers: int = 0
    # Answers to neighbours that came over a connection on which a hostile client had been answered before.
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
    hostile_upstreams: set[bytes] = set()
    while waiting:
        number, case = waiting.pop()
        await asyncio.gather(*(neighbour.ask() for neighbour in neighbours))
        attacking = asyncio.create_task(attack(address, case, number))
        asking = [_ask_until(attacking, neighbour, hostile_upstreams, result) for neighbour in neighbours]
        ending, *_ = await asyncio.gather(attacking, *asking)
        hostile_upstreams |= ending.upstreams
        name = f"{case.group}: {case.name}"
        if ending.foreign:
            result.wrong.append(f"{name}: the hostile client got {sorted(ending.foreign)}")
        if ending.is_deaf:
            result.deaf.append(f"{name}: the hostile client's connection")
        _collect(neighbours, name, result)
        result.cases += 1
    for neighbour in neighbours:
        neighbour.close()
        result.answers += neighbour.answers
        result.refused += neighbour.refused
        result.reconnected += neighbour.reconnected


async def _ask_until(attacking: "asyncio.Task[object]", neighbour: Neighbour, hostile: set[bytes], result: Result) -> None:
    """Ask while the attack is under way, and a few times after it, when the connection may be ours."""
    after = 3
    while after:
        after -= attacking.done()
        result.shared += await neighbour.ask() in hostile
        await asyncio.sleep(PAUSE_SECONDS)


def _collect(neighbours: list[Neighbour], name: str, result: Result) -> None:
    """Move what the neighbours have noted to the case under way."""
    for neighbour in neighbours:
        for mine, all_of_them in ((neighbour.wrong, result.wrong), (neighbour.deaf, result.deaf)):
            all_of_them += [f"{name}: a neighbour: {what}" for what in mine]
            mine.clear()
