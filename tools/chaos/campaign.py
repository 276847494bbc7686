"""One campaign: exact faults, the storm, the recovery, the last deliveries, reconcile, and the checker's verdict."""

import asyncio
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from tools.chaos import workload
from tools.chaos.batch_scenarios import BatchScenarios
from tools.chaos.chat import Chat
from tools.chaos.checker import Evidence, check, dangling
from tools.chaos.cluster import Cluster, running_cluster
from tools.chaos.faults import Tally
from tools.chaos.history import History
from tools.chaos.nemesis import Nemesis
from tools.chaos.scenarios import Scenarios
from tools.chaos.sender import SECRETS
from tools.chaos.violation import Violation
from tools.chaos.workload import Event, User
from tools.processes import NotReady

# So many users at a time, and the time between two sign-ups and two calls of the chat backend, in seconds.
USERS_AT_ONCE = 40
SIGN_UP_EVERY = (0.04, 0.14)
ENSURE_EVERY = (0.05, 0.3)
# How often an event is replayed, with the whole schedule each time, after the faults have stopped.
REPLAYS = 4
RECONCILE_RUNS = 30
RENAMED = re.compile(r"orphan:\d{4}-\d\d-\d\d:")

Say = Callable[[str], None]


@dataclass
class Result:
    """What the report shows."""

    seed: int
    tally: Tally
    history: History
    users: int
    violations: list[Violation]
    pooled: bool
    recovered: float = 0.0
    # Assistants that no live row names, and open attempts: after the storm, the last deliveries and reconcile.
    orphans: list[int] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    reconciles: int = 0


class Campaign:
    def __init__(self, cluster: Cluster, say: Say) -> None:
        self._cluster = cluster
        self._say = say
        seed, pooled = cluster.workload.seed, cluster.database.pooled
        self._result = Result(seed, cluster.tally, cluster.history, 0, [], pooled)

    async def run(self, seconds: float) -> Result:
        reporting = asyncio.create_task(self._report_progress())
        try:
            self._say("exact faults ...")
            await asyncio.gather(Scenarios(self._cluster).run(), BatchScenarios(self._cluster).run())
            self._cluster.postgres_faults.forget_plans()
            if seconds:
                self._say("the storm ...")
                await self._storm(seconds)
            self._count()
            self._say("the recovery ...")
            await self._recover()
            await self._deliver_the_rest()
            self._count()
            self._cluster.sandbox.switches.latency = 0.0
            # Now, since reconcile replaces an assistant that is gone. Those that Backboard has lost it has to replace.
            kept = [row for row in self._cluster.database.rows() if row.assistant_id not in self._cluster.vanished]
            self._cluster.noticed += dangling(kept, self._alive())
            await self._reconcile()
            self._count()
        finally:
            reporting.cancel()
        self._check()
        return self._result

    async def _recover(self) -> None:
        try:
            self._result.recovered = await self._cluster.servers.wait_until_ready()
        except NotReady:
            self._cluster.noticed.append(Violation("stuck", "not every server became ready after the last fault"))

    async def _report_progress(self) -> None:
        began = monotonic()
        while True:
            await asyncio.sleep(5)
            tally, history = self._cluster.tally, self._cluster.history
            self._say(
                f"{monotonic() - began:4.0f} s  {tally.total():6} faults: {tally.total('kill')} kills,"
                f" {tally.total('database')} crashes, {tally.total('cut')} cuts;"
                f" {len(history.operations)} operations, {history.count('ok')} ok"
            )

    async def _storm(self, seconds: float) -> None:
        nemesis = asyncio.create_task(Nemesis(self._cluster).run(seconds))
        until = monotonic() + seconds
        rng = self._cluster.workload.random_for("sign-ups")
        limit = asyncio.Semaphore(USERS_AT_ONCE)
        beside = [
            asyncio.create_task(self._ensure_known_users(until)),
            asyncio.create_task(Chat(self._cluster).run(until)),
        ]
        async with asyncio.TaskGroup() as delivering:
            while monotonic() < until:
                await limit.acquire()
                user = self._cluster.workload.new_user(rng)
                delivering.create_task(self._deliver(user)).add_done_callback(lambda _: limit.release())
                await asyncio.sleep(rng.uniform(*SIGN_UP_EVERY))
        await asyncio.gather(*beside, nemesis)

    async def _ensure_known_users(self, until: float) -> None:
        """The chat backend calls ensure-user for some of the latest users."""
        rng = self._cluster.workload.random_for("chat")
        async with asyncio.TaskGroup() as ensuring:
            while monotonic() < until:
                await asyncio.sleep(rng.uniform(*ENSURE_EVERY))
                known = [user for user in list(self._cluster.workload.users.values())[-500:] if user.ensured]
                if known:
                    ensuring.create_task(self._cluster.sender.ensure(rng.choice(known).clerk_id, rng))

    async def _deliver(self, user: User) -> None:
        """Deliver a user's events; one may overlap the next, and a second endpoint may get the same."""
        rng = self._cluster.workload.random_for(user.clerk_id)
        sender = self._cluster.sender
        async with asyncio.TaskGroup() as delivering:
            for event in user.events:
                delivery = delivering.create_task(sender.deliver(event))
                if rng.random() < 0.1:
                    delivering.create_task(sender.deliver(event, actor="other endpoint"))
                if not user.overlapping:
                    await delivery
                await asyncio.sleep(rng.uniform(0, 0.05))
            if user.ensured:
                await sender.ensure(user.clerk_id, rng)

    async def _deliver_the_rest(self) -> None:
        """Replay what the sender has given up, as an operator would from Clerk's dashboard, until it is accepted."""
        limit = asyncio.Semaphore(USERS_AT_ONCE)

        async def finish(user: User) -> None:
            async with limit:
                for event in user.events:
                    if event not in self._cluster.sender.accepted and not await self._replay(event):
                        self._cluster.noticed.append(Violation("stuck", f"{event.kind} of {user.clerk_id}"))
                if user.ensured and not await self._ensure_at_last(user):
                    self._cluster.noticed.append(Violation("stuck", f"ensure-user of {user.clerk_id}"))

        await asyncio.gather(*(finish(user) for user in self._cluster.workload.users.values()))

    async def _replay(self, event: Event) -> bool:
        for round_ in range(REPLAYS):
            if await self._cluster.sender.deliver(event, actor=f"replay {round_}"):
                return True
        return False

    async def _ensure_at_last(self, user: User) -> bool:
        rng = self._cluster.workload.random_for(f"{user.clerk_id} at last")
        for _ in range(REPLAYS * 8):
            if (await self._cluster.sender.ensure(user.clerk_id, rng)).result == "ok":
                return True
            await asyncio.sleep(1.5)
        return False

    async def _reconcile(self) -> None:
        """Run it twice, and on until nothing is left: a run deletes at most so many."""
        for run in range(1, RECONCILE_RUNS + 1):
            code, report = await self._reconcile_once()
            self._result.reconciles = run
            if code not in (0, 1):
                self._cluster.noticed.append(Violation("stuck", f"reconcile ended with {code}"))
                return
            if run > 1 and code == 0 and not report["attempts"]["left"] and not _waiting(report):
                return
        self._cluster.noticed.append(Violation("stuck", "reconcile never came to an end"))

    async def _reconcile_once(self) -> tuple[int, dict[str, dict[str, int]]]:
        words = ("reconcile", "--apply", "--min-age", "0", "--keep-days", "0", "--json")
        with (self._cluster.logs / "reconcile.log").open("ab") as log:
            run = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "app",
                *words,
                cwd=self._cluster.logs,
                env=self._cluster.environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
            said, _ = await run.communicate()
            log.write(said)
        return await run.wait(), json.loads(said or b"{}")

    def _alive(self) -> dict[str, set[str]]:
        """The living assistants by their original name, also where reconcile has renamed them."""
        alive: dict[str, set[str]] = defaultdict(set)
        for assistant in self._cluster.sandbox.made():
            if assistant.deleted_at is None:
                alive[RENAMED.sub("", assistant.name)].add(assistant.id)
        return alive

    def _count(self) -> None:
        held = {row.assistant_id for row in self._cluster.database.rows() if not row.deleted}
        self._result.orphans.append(len(set().union(*self._alive().values()) - held))
        self._result.attempts.append(len(self._cluster.database.attempts()))

    def _check(self) -> None:
        cluster = self._cluster
        for call in cluster.sandbox.calls():
            if call.fault:
                cluster.tally.add(f"Backboard says {call.fault.replace('_', ' ')}")
        self._result.users = len(cluster.workload.users)
        self._result.violations = check(
            Evidence(
                users=cluster.workload.users,
                operations=cluster.history.operations,
                rows=cluster.database.rows(),
                tombstones=cluster.database.tombstones(),
                attempts=cluster.database.attempts(),
                alive=self._alive(),
                messages=cluster.database.messages(),
                miscounted=cluster.database.miscounted(),
                history=cluster.database.history(),
                noticed=[
                    *cluster.noticed,
                    *read_logs(cluster.logs),
                    *(Violation("unexpected", what) for what in cluster.servers.died()),
                ],
                vanished=cluster.vanished,
            )
        )


def _waiting(report: dict[str, dict[str, int]]) -> bool:
    return any(states["waiting"] for states in report["counts"].values())  # type: ignore[index]


def read_logs(logs: Path) -> list[Violation]:
    """Every line that holds a canary, a secret in its configured form, or a bug."""
    secrets = (*SECRETS, *workload.signing_secrets().split(","))
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
    async with running_cluster(seed, broken) as cluster:
        return await Campaign(cluster, say).run(seconds)
