"""One campaign: exact faults, then the storm, then the healing, the last deliveries, reconcile, and the judgement."""

import asyncio
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from tools.chaos import lives
from tools.chaos.checker import Evidence, Violation, judge
from tools.chaos.faults import Tally
from tools.chaos.history import History
from tools.chaos.lives import Life, Message
from tools.chaos.nemesis import Nemesis
from tools.chaos.scenarios import Scenarios
from tools.chaos.sender import SECRET_CANARIES
from tools.chaos.stand import Stand, standing

# So many lives at a time, and the wait between two births, in seconds.
LIVES_AT_ONCE = 40
BIRTH_EVERY = (0.04, 0.14)
ASK_EVERY = (0.05, 0.3)
# How often the whole schedule is tried again after the faults have stopped.
REDELIVERIES = 4
RECONCILES = 30
RENAMED = re.compile(r"orphan:\d{4}-\d\d-\d\d:")

Say = Callable[[str], None]


@dataclass
class Result:
    """What the table shows."""

    seed: int
    tally: Tally
    history: History
    users: int
    violations: list[Violation]
    pooled: bool
    healed: float = 0.0
    # Assistants that no live row names: when the storm was over, after the last deliveries, after reconcile.
    orphans: list[int] = field(default_factory=list)
    notes: list[int] = field(default_factory=list)
    reconciles: int = 0


class Campaign:
    def __init__(self, stand: Stand, say: Say) -> None:
        self._stand = stand
        self._say = say
        self._result = Result(stand.seed, stand.tally, stand.history, 0, [], stand.database.pooled)

    async def run(self, seconds: float) -> Result:
        telling = asyncio.create_task(self._tell())
        try:
            self._say("exact faults ...")
            await Scenarios(self._stand).run()
            if seconds:
                self._say("the storm ...")
                await self._storm(seconds)
            self._count()
            self._say("the healing ...")
            await self._heal()
            await self._deliver_the_rest()
            self._count()
            self._stand.sandbox.switches.latency = 0.0
            await self._reconcile()
            self._count()
        finally:
            telling.cancel()
        self._judge()
        return self._result

    async def _heal(self) -> None:
        try:
            self._result.healed = await self._stand.servers.wait_until_ready()
        except TimeoutError:
            self._stand.seen.append(Violation("stuck", "not every server became ready after the last fault"))

    async def _tell(self) -> None:
        began = monotonic()
        while True:
            await asyncio.sleep(5)
            tally, history = self._stand.tally, self._stand.history
            self._say(
                f"{monotonic() - began:4.0f} s  {tally.total():6} faults: {tally.total('kill')} kills,"
                f" {tally.total('database')} crashes, {tally.total('cut')} cuts;"
                f" {len(history.operations)} operations, {history.count('ok')} ok"
            )

    async def _storm(self, seconds: float) -> None:
        nemesis = asyncio.create_task(Nemesis(self._stand).run(seconds))
        until = monotonic() + seconds
        dice = self._stand.population.dice_of("births")
        places = asyncio.Semaphore(LIVES_AT_ONCE)
        asking = asyncio.create_task(self._ask(until))
        async with asyncio.TaskGroup() as living:
            while monotonic() < until:
                await places.acquire()
                life = self._stand.population.somebody(dice)
                living.create_task(self._live(life)).add_done_callback(lambda _: places.release())
                await asyncio.sleep(dice.uniform(*BIRTH_EVERY))
        await asking
        await nemesis

    async def _ask(self, until: float) -> None:
        """The chat backend asks for people whom it has met."""
        dice = self._stand.population.dice_of("chat")
        async with asyncio.TaskGroup() as asking:
            while monotonic() < until:
                await asyncio.sleep(dice.uniform(*ASK_EVERY))
                known = [life for life in list(self._stand.population.lives.values())[-500:] if life.asked_for]
                if known:
                    asking.create_task(self._stand.sender.ensure(dice.choice(known).clerk_id, dice))

    async def _live(self, life: Life) -> None:
        """Tell a life; one message may overlap the next, and both endpoints of a rotation may deliver the same."""
        dice = self._stand.population.dice_of(life.clerk_id)
        sender = self._stand.sender
        async with asyncio.TaskGroup() as telling:
            for message in life.messages:
                delivery = telling.create_task(sender.deliver(message))
                if dice.random() < 0.1:
                    telling.create_task(sender.deliver(message, actor="other endpoint"))
                if not life.overlapping:
                    await delivery
                await asyncio.sleep(dice.uniform(0, 0.05))
            if life.asked_for:
                await sender.ensure(life.clerk_id, dice)

    async def _deliver_the_rest(self) -> None:
        """What was given up is replayed, as an operator would from Clerk's dashboard, until it is taken."""
        places = asyncio.Semaphore(LIVES_AT_ONCE)

        async def finish(life: Life) -> None:
            async with places:
                for message in life.messages:
                    if message not in self._stand.sender.taken and not await self._replay(message):
                        self._stand.seen.append(Violation("stuck", f"{message.kind} of {life.clerk_id}"))
                if life.asked_for and not await self._ensure_at_last(life):
                    self._stand.seen.append(Violation("stuck", f"ensure-user of {life.clerk_id}"))

        await asyncio.gather(*(finish(life) for life in self._stand.population.lives.values()))

    async def _replay(self, message: Message) -> bool:
        for round_ in range(REDELIVERIES):
            if await self._stand.sender.deliver(message, actor=f"replay {round_}"):
                return True
        return False

    async def _ensure_at_last(self, life: Life) -> bool:
        dice = self._stand.population.dice_of(f"{life.clerk_id} at last")
        for _ in range(REDELIVERIES * 8):
            if (await self._stand.sender.ensure(life.clerk_id, dice)).result == "ok":
                return True
            await asyncio.sleep(1.5)
        return False

    async def _reconcile(self) -> None:
        """Twice, and on until nothing is left: a run deletes at most so many."""
        for run in range(1, RECONCILES + 1):
            code, report = await self._reconcile_once()
            self._result.reconciles = run
            if code not in (0, 1):
                self._stand.seen.append(Violation("stuck", f"reconcile ended with {code}"))
                return
            if run > 1 and code == 0 and not report["attempts"]["left"] and not _waiting(report):
                return
        self._stand.seen.append(Violation("stuck", "reconcile never came to an end"))

    async def _reconcile_once(self) -> tuple[int, dict[str, dict[str, int]]]:
        words = ("reconcile", "--apply", "--min-age", "0", "--keep-days", "0", "--json")
        with (self._stand.logs / "reconcile.log").open("ab") as log:
            run = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "app",
                *words,
                cwd=self._stand.logs,
                env=self._stand.environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
            said, _ = await run.communicate()
            log.write(said)
        return await run.wait(), json.loads(said or b"{}")

    def _alive(self) -> dict[str, set[str]]:
        """The living assistants by the name that they were given, also where reconcile has put them aside."""
        alive: dict[str, set[str]] = defaultdict(set)
        for assistant in self._stand.sandbox.made():
            if assistant.deleted_at is None:
                alive[RENAMED.sub("", assistant.name)].add(assistant.id)
        return alive

    def _count(self) -> None:
        held = {row.assistant_id for row in self._stand.database.rows() if not row.deleted}
        self._result.orphans.append(len(set().union(*self._alive().values()) - held))
        self._result.notes.append(len(self._stand.database.notes()))

    def _judge(self) -> None:
        stand = self._stand
        for call in stand.sandbox.calls():
            if call.fault:
                stand.tally.add(f"Backboard says {call.fault.replace('_', ' ')}")
        self._result.users = len(stand.population.lives)
        self._result.violations = judge(
            Evidence(
                lives=stand.population.lives,
                operations=stand.history.operations,
                rows=stand.database.rows(),
                tombstones=stand.database.tombstones(),
                notes=stand.database.notes(),
                alive=self._alive(),
                seen=[
                    *stand.seen,
                    *read_logs(stand.logs),
                    *(Violation("unexpected", what) for what in stand.servers.died),
                ],
            )
        )


def _waiting(report: dict[str, dict[str, int]]) -> bool:
    return any(states["waiting"] for states in report["counts"].values())  # type: ignore[index]


def read_logs(logs: Path) -> list[Violation]:
    """Every line that holds a canary, a secret in the form in which it was given, or a bug."""
    secrets = (*SECRET_CANARIES, *lives.signing_secrets().split(","))
    forbidden = [b"canary", *(secret.lower().encode() for secret in secrets)]
    found = []
    for log in sorted(logs.iterdir()):
        for number, line in enumerate(log.read_bytes().lower().splitlines(), 1):
            if any(text in line for text in forbidden):
                found.append(Violation("leak", f"{log.name}, line {number}"))
            if b"event=bug" in line or b"traceback" in line:
                where = b" ".join(re.findall(rb"(?:error|place)=\S+", line)).decode()
                found.append(Violation("unexpected", f"{log.name}, line {number}: a bug {where}".rstrip()))
    return found


async def run(seed: int, seconds: float, broken: str | None, say: Say) -> Result:
    async with standing(seed, broken) as stand:
        return await Campaign(stand, say).run(seconds)
