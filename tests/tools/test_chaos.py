"""The campaign: a short one holds every promise, and its checker misses none that was broken."""

import asyncio
import contextlib
import random
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tools.chaos import backboard_proxy, lives, postgres_proxy, sender
from tools.chaos.backboard_proxy import BackboardProxy
from tools.chaos.broken import BREAKS
from tools.chaos.campaign import read_logs
from tools.chaos.checker import Evidence, Row, judge
from tools.chaos.faults import Faults, Tally
from tools.chaos.history import DELETED, ENSURE, Operation
from tools.chaos.lives import FIRST_VERSION, Life, Message, Population, created, deleted, updated
from tools.chaos.postgres_proxy import PostgresProxy
from tools.processes import ROOT

SEED = 20261125


def test_a_short_campaign_keeps_every_promise() -> None:
    """Kills, crashes and cuts for twelve seconds; the seed makes the decisions the same every time."""
    words = ["-m", "tools.chaos", "--seed", str(SEED), "--minutes", "0.2"]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    happened = dict(re.findall(r"of them (kill -9|database crashes|cut connections) +([0-9,]+)", done.stdout))
    assert int(happened["kill -9"]) >= 20
    assert int(happened["database crashes"]) >= 1
    assert int(happened["cut connections"]) >= 40


def test_the_same_seed_makes_the_same_decisions() -> None:
    def decisions(seed: int) -> list[object]:
        population = Population(seed)
        dice = population.dice_of("births")
        faults = Faults(population.dice_of("postgres"), Tally(), postgres_proxy.RATES)
        faults.storm = True
        told = [population.somebody(dice) for _ in range(50)]
        return [told, [faults.decide(b"", postgres_proxy.ON_STATEMENT) for _ in range(500)]]

    assert decisions(1) == decisions(1)
    assert decisions(1) != decisions(2)


# --- the checker -----------------------------------------------------------------------------------------------------

LIVING, GONE = "user_living", "user_gone"
ASSISTANT = "0b7d8a3e-0000-4000-8000-000000000001"


def ok(kind: str, clerk_id: str, **more: object) -> Operation:
    changed = {"status": 200, "began": 10.0, "seconds": 0.1} | more
    return Operation(kind, clerk_id, "ok", **changed)  # type: ignore[arg-type]  # Named as in the class.


def all_is_well() -> Evidence:
    """One user who lives and one who is gone."""
    version = FIRST_VERSION + 1
    return Evidence(
        lives={
            LIVING: Life(LIVING, (created(LIVING), updated(LIVING, 1)), asked_for=True),
            GONE: Life(GONE, (created(GONE), deleted(GONE))),
        },
        operations=[
            ok("user.created", LIVING, version=FIRST_VERSION),
            ok("user.updated", LIVING, version=version),
            ok(ENSURE, LIVING, assistant_id=ASSISTANT),
            ok("user.created", GONE, version=FIRST_VERSION),
            ok(DELETED, GONE),
            ok(ENSURE, GONE, status=410, began=20.0),
        ],
        rows=[
            Row(LIVING, ASSISTANT, lives.email(LIVING), lives.name(LIVING, version), version, deleted=False),
            Row(GONE, "deleted", None, None, FIRST_VERSION, deleted=True),
        ],
        tombstones={GONE},
        notes=set(),
        alive={f"clerk:{LIVING}": {ASSISTANT}},
    )


def test_nothing_is_found_where_all_is_well() -> None:
    assert judge(all_is_well()) == []


def no_row(evidence: Evidence) -> None:
    del evidence.rows[0]


def older_version(evidence: Evidence) -> None:
    evidence.rows[0] = replace(evidence.rows[0], version=FIRST_VERSION, name=lives.name(LIVING, FIRST_VERSION))


def another_profile(evidence: Evidence) -> None:
    evidence.rows[0] = replace(evidence.rows[0], name="somebody else")


def another_assistant_answered(evidence: Evidence) -> None:
    evidence.operations.append(ok(ENSURE, LIVING, assistant_id="another"))


def no_tombstone(evidence: Evidence) -> None:
    evidence.tombstones.clear()


def second_row(evidence: Evidence) -> None:
    evidence.rows.append(evidence.rows[0])


def second_assistant(evidence: Evidence) -> None:
    evidence.alive[f"clerk:{LIVING}"].add("another")


def assistant_deleted(evidence: Evidence) -> None:
    evidence.alive.clear()


def assistant_of_who_is_gone(evidence: Evidence) -> None:
    evidence.alive[f"clerk:{GONE}"] = {"another"}


def row_of_a_stranger(evidence: Evidence) -> None:
    evidence.rows.append(Row("user_stranger", "another", None, None, 0, deleted=True))
    evidence.tombstones.add("user_stranger")


def assistant_of_a_stranger(evidence: Evidence) -> None:
    evidence.alive["clerk:user_stranger"] = {"another"}


def live_row_beside_the_tombstone(evidence: Evidence) -> None:
    evidence.tombstones.add(LIVING)


def answered_for_who_is_gone(evidence: Evidence) -> None:
    evidence.operations.append(ok(ENSURE, GONE, began=20.0))


def note_left(evidence: Evidence) -> None:
    evidence.notes.add(LIVING)


def late_answer(evidence: Evidence) -> None:
    evidence.operations.append(ok("user.updated", LIVING, seconds=12.6))


def no_retry_after(evidence: Evidence) -> None:
    evidence.operations.append(replace(ok("user.updated", LIVING, status=503), result="fail"))


def server_error(evidence: Evidence) -> None:
    evidence.operations.append(replace(ok("user.updated", LIVING, status=500), result="fail"))


def reset_by_a_living_process(evidence: Evidence) -> None:
    evidence.operations.append(replace(ok("user.updated", LIVING, status=0, reset=True), result="unknown"))


def canary_in_an_answer(evidence: Evidence) -> None:
    evidence.operations.append(ok("user.updated", LIVING, leaked=True))


def name_of_who_is_gone(evidence: Evidence) -> None:
    evidence.rows[1] = replace(evidence.rows[1], name="Canary")


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (no_row, "lost"),
        (older_version, "lost"),
        (another_profile, "lost"),
        (another_assistant_answered, "lost"),
        (no_tombstone, "lost"),
        (second_row, "duplicate"),
        (second_assistant, "duplicate"),
        (assistant_deleted, "dangling"),
        (assistant_of_who_is_gone, "orphan"),
        (row_of_a_stranger, "phantom"),
        (assistant_of_a_stranger, "phantom"),
        (live_row_beside_the_tombstone, "resurrected"),
        (answered_for_who_is_gone, "resurrected"),
        (note_left, "stuck"),
        (late_answer, "slow"),
        (no_retry_after, "silent"),
        (server_error, "unexpected"),
        (reset_by_a_living_process, "reset"),
        (canary_in_an_answer, "leak"),
        (name_of_who_is_gone, "leak"),
    ],
)
def test_the_checker_finds_what_was_planted(plant: Callable[[Evidence], None], kind: str) -> None:
    evidence = all_is_well()

    plant(evidence)

    assert kind in {violation.kind for violation in judge(evidence)}


@pytest.mark.parametrize(
    "line",
    [
        lives.email(LIVING),
        lives.name(LIVING, FIRST_VERSION),
        lives.API_KEY,
        lives.TOKEN,
        lives.DATABASE_PASSWORD,
        lives.SECRETS[1].decode(),
        lives.signing_secrets().split(",")[1],
    ],
)
def test_a_canary_in_a_log_is_a_leak(tmp_path: Path, line: str) -> None:
    """Secrets also in the form in which they are configured."""
    (tmp_path / "server-0.log").write_text(f"level=info clerk_id={LIVING}\nlevel=error said={line}\n")

    assert read_logs(tmp_path) == [("leak", "server-0.log, line 2")]


@pytest.mark.parametrize(
    ("line", "where"),
    [("level=error event=bug error=KeyError", " error=keyerror"), ("Traceback (most recent call last):", "")],
)
def test_a_bug_in_a_log_is_seen(tmp_path: Path, line: str, where: str) -> None:
    """Also where the answer was a 503 like any other; with its class and its place, where the line has them."""
    (tmp_path / "server-1.log").write_text(line)

    assert read_logs(tmp_path) == [("unexpected", f"server-1.log, line 1: a bug{where}")]


@pytest.mark.parametrize(
    ("kind", "status", "content", "leaked"),
    [
        ("user.created", 200, {"outcome": "created"}, False),
        ("user.created", 503, {"detail": lives.email(LIVING)}, True),
        (ENSURE, 200, {"clerk_id": LIVING, "email": lives.email(LIVING), "name": "Canary"}, False),
        (ENSURE, 200, {"clerk_id": LIVING, "email": lives.email(GONE), "name": "Canary"}, True),
        (ENSURE, 200, {"clerk_id": GONE, "email": None, "name": None}, True),
        (ENSURE, 410, {"detail": lives.TOKEN}, True),
    ],
)
def test_an_answer_says_nothing_of_anybody_else(kind: str, status: int, content: object, leaked: bool) -> None:  # noqa: FBT001
    answer = httpx.Response(status, json=content)

    assert sender.leaks(answer, Message("msg_1", kind, LIVING, b"")) is leaked


# --- the proxies -----------------------------------------------------------------------------------------------------

pytestmark = pytest.mark.anyio


def parse(statement: bytes) -> bytes:
    """A Parse message, as libpq sends it."""
    return b"P" + (len(statement) + 8).to_bytes(4) + b"\0" + statement + b"\0\0\0"


SYNC = b"S\0\0\0\4"
START_UP = b"\0\0\0\x08\0\3\0\0"
READY = b"Z\0\0\0\5I"


class Recorder:
    """A server that keeps what it hears, and answers each Sync and each HTTP request."""

    def __init__(self, answer: bytes, after: tuple[bytes, ...]) -> None:
        self.heard = b""
        self._answer, self._after = answer, after

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.heard += data
            if data.endswith(self._after):
                writer.write(self._answer)
        writer.close()


@contextlib.asynccontextmanager
async def behind(recorder: Recorder) -> AsyncIterator[tuple[Recorder, int]]:
    """A recorder and the port on which it listens."""
    server = await asyncio.start_server(recorder, "127.0.0.1", 0)
    try:
        yield recorder, server.sockets[0].getsockname()[1]
    finally:
        server.close()


def faults(action: str) -> Faults:
    planned = Faults(random.Random(1), Tally(), {})
    planned.plan(action, "user_1")
    return planned


async def what_a_client_hears(port: int, *sent: bytes) -> bytes:
    """Everything until the connection ends, however it ends; between two things sent, an answer is waited for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    with contextlib.suppress(ConnectionError):
        for data in sent:
            writer.write(data)
            if data is not sent[-1]:
                heard += await reader.readexactly(len(READY))
        while data := await reader.read(65536):
            heard += data
    writer.close()
    return heard


@pytest.mark.parametrize(
    ("action", "commit_heard"),
    [(postgres_proxy.COMMIT_LOST, False), (postgres_proxy.COMMIT_UNKNOWN, True), (postgres_proxy.COMMIT_LATE, True)],
)
@pytest.mark.parametrize("commit", [parse(b"COMMIT") + SYNC, b"Q\0\0\0\x0bCOMMIT\0"], ids=["extended", "simple"])
async def test_a_commit_is_cut_before_or_after_it_was_heard(
    action: str,
    commit_heard: bool,  # noqa: FBT001
    commit: bytes,
) -> None:
    """The client never hears of it, and only the server knows."""
    async with behind(Recorder(READY, (SYNC, b"COMMIT\0"))) as (recorder, port):
        proxy = PostgresProxy(lambda: asyncio.open_connection("127.0.0.1", port), faults(action))
        await proxy.start()
        try:
            insert = parse(b"INSERT user_1") + SYNC
            said = await what_a_client_hears(proxy.port, START_UP + insert, commit)
            await asyncio.sleep(3.0 if action == postgres_proxy.COMMIT_LATE else 0.1)
        finally:
            await proxy.stop()

    assert said == READY
    assert (b"COMMIT" in recorder.heard) is commit_heard
    assert proxy.faults.tally.counts == {action: 1}


@pytest.mark.parametrize(
    ("action", "request_heard", "answer_heard"),
    [
        (backboard_proxy.CUT_BEFORE, False, b""),
        (backboard_proxy.CUT_AFTER, True, b""),
        (backboard_proxy.CUT_MIDDLE, True, b"HTTP/1.1 200 OK\r\nContent-L"),
    ],
)
async def test_an_exchange_is_cut_before_within_or_after(
    action: str,
    request_heard: bool,  # noqa: FBT001
    answer_heard: bytes,
) -> None:
    """Whether Backboard has done it shows at Backboard only."""
    async with behind(Recorder(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", (b"user_1",))) as (recorder, port):
        proxy = BackboardProxy(port, faults(action))
        await proxy.start()
        try:
            said = await what_a_client_hears(proxy.port, b"POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\nuser_1")
        finally:
            await proxy.stop()

    assert said == answer_heard
    assert (b"POST" in recorder.heard) is request_heard
    assert proxy.faults.tally.counts == {action: 1}


def test_each_break_says_how_it_is_caught() -> None:
    """Ten rules; without any of them the campaign fails (`./dev chaos --break all`)."""
    assert len(BREAKS) == 10
    assert {broken.caught_as for broken in BREAKS.values()} == {
        "lost",
        "duplicate",
        "dangling",
        "resurrected",
        "starved",
        "slow",
    }


@pytest.mark.parametrize("name", BREAKS)
def test_each_break_finds_what_it_breaks(name: str) -> None:
    """In the service as it is now: a break that no longer fits stops before the campaign can pass it."""
    words = ["-m", "tools.chaos.nursery", name]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, check=True)

    assert done.stdout == b"ready\n"
