"""The chaos campaign: a short one finds no violation, and its checker misses none that is planted."""

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

from tools.chaos import backboard_proxy, postgres_faults, sender, workload
from tools.chaos.backboard_proxy import BackboardProxy
from tools.chaos.broken import BREAKS
from tools.chaos.campaign import read_logs
from tools.chaos.checker import Evidence, HistoryEntry, Row, check
from tools.chaos.faults import Faults, Tally
from tools.chaos.history import APPEND, DELETED, ENSURE, READ, Operation
from tools.chaos.postgres_faults import PostgresFaults
from tools.chaos.workload import FIRST_VERSION, Event, User, Workload, created, deleted, updated
from tools.processes import ROOT
from tools.sandbox.postgres_proxy import PostgresProxy

SEED = 20261125


def test_a_short_campaign_keeps_every_promise() -> None:
    """Exact faults, then kills, crashes and cuts for six seconds; the seed makes the decisions the same every time."""
    words = ["-m", "tools.chaos", "--seed", str(SEED), "--minutes", "0.1"]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    happened = dict(re.findall(r"of them (kill -9|database crashes|cut connections) +([0-9,]+)", done.stdout))
    assert int(happened["kill -9"]) >= 10
    assert int(happened["database crashes"]) >= 1
    assert int(happened["cut connections"]) >= 20


def test_the_same_seed_makes_the_same_decisions() -> None:
    def decisions(seed: int) -> list[object]:
        users = Workload(seed)
        rng = users.random_for("sign-ups")
        faults = Faults(users.random_for("postgres"), Tally(), postgres_faults.RATES)
        faults.storm = True
        return [
            [users.new_user(rng) for _ in range(50)],
            [faults.decide(b"", postgres_faults.ON_STATEMENT) for _ in range(500)],
        ]

    assert decisions(1) == decisions(1)
    assert decisions(1) != decisions(2)


# --- the checker -----------------------------------------------------------------------------------------------------

LIVING_USER, DELETED_USER = "user_living", "user_deleted"
ASSISTANT = "0b7d8a3e-0000-4000-8000-000000000001"


def ok(kind: str, clerk_id: str, **more: object) -> Operation:
    changed = {"status": 200, "began": 10.0, "seconds": 0.1} | more
    return Operation(kind, clerk_id, "ok", **changed)  # type: ignore[arg-type]  # Named as in the class.


def consistent_evidence() -> Evidence:
    """A living user and a deleted one."""
    version = FIRST_VERSION + 1
    return Evidence(
        users={
            LIVING_USER: User(LIVING_USER, (created(LIVING_USER), updated(LIVING_USER, 1)), ensured=True),
            DELETED_USER: User(DELETED_USER, (created(DELETED_USER), deleted(DELETED_USER))),
        },
        operations=[
            ok("user.created", LIVING_USER, version=FIRST_VERSION),
            ok("user.updated", LIVING_USER, version=version),
            ok(ENSURE, LIVING_USER, assistant_id=ASSISTANT, version=version, began=20.0),
            ok("user.created", DELETED_USER, version=FIRST_VERSION),
            ok(DELETED, DELETED_USER),
            ok(ENSURE, DELETED_USER, status=410, began=20.0),
        ],
        rows=[
            Row(
                LIVING_USER,
                ASSISTANT,
                workload.email(LIVING_USER),
                workload.name(LIVING_USER, version),
                version,
                deleted=False,
            ),
            Row(DELETED_USER, "deleted", None, None, FIRST_VERSION, deleted=True),
        ],
        tombstones={DELETED_USER},
        attempts=set(),
        alive={f"clerk:{LIVING_USER}": {ASSISTANT}},
        history=[
            HistoryEntry("msg_2", "user.created", LIVING_USER, 200, "created", resolved=True),
            HistoryEntry("request", "ensure_user", LIVING_USER, 503, None, resolved=True),
        ],
    )


def test_the_checker_finds_nothing_in_consistent_evidence() -> None:
    assert check(consistent_evidence()) == []


def no_row(evidence: Evidence) -> None:
    del evidence.rows[0]


def older_version(evidence: Evidence) -> None:
    evidence.rows[0] = replace(evidence.rows[0], version=FIRST_VERSION, name=workload.name(LIVING_USER, FIRST_VERSION))


def another_profile(evidence: Evidence) -> None:
    evidence.rows[0] = replace(evidence.rows[0], name="another")


def another_assistant_returned(evidence: Evidence) -> None:
    evidence.operations.append(ok(ENSURE, LIVING_USER, assistant_id="another"))


def older_profile_returned(evidence: Evidence) -> None:
    """The row is right at the end, but was not in between."""
    evidence.operations.append(ok(ENSURE, LIVING_USER, assistant_id=ASSISTANT, version=FIRST_VERSION, began=20.0))


def no_tombstone(evidence: Evidence) -> None:
    evidence.tombstones.clear()


def second_row(evidence: Evidence) -> None:
    evidence.rows.append(evidence.rows[0])


def second_assistant(evidence: Evidence) -> None:
    evidence.alive[f"clerk:{LIVING_USER}"].add("another")


def assistant_deleted(evidence: Evidence) -> None:
    evidence.alive.clear()


def assistant_of_a_deleted_user(evidence: Evidence) -> None:
    evidence.alive[f"clerk:{DELETED_USER}"] = {"another"}


def row_of_an_unknown_user(evidence: Evidence) -> None:
    evidence.rows.append(Row("user_unknown", "another", None, None, 0, deleted=True))
    evidence.tombstones.add("user_unknown")


def assistant_of_an_unknown_user(evidence: Evidence) -> None:
    evidence.alive["clerk:user_unknown"] = {"another"}


def live_row_beside_the_tombstone(evidence: Evidence) -> None:
    evidence.tombstones.add(LIVING_USER)


def deleted_user_served(evidence: Evidence) -> None:
    evidence.operations.append(ok(ENSURE, DELETED_USER, began=20.0))


def attempt_left(evidence: Evidence) -> None:
    evidence.attempts.add(LIVING_USER)


def late_response(evidence: Evidence) -> None:
    evidence.operations.append(ok("user.updated", LIVING_USER, seconds=12.6))


def miscounted_session(evidence: Evidence) -> None:
    evidence.miscounted.append("session_1")


def made_in_the_history_only(evidence: Evidence) -> None:
    evidence.history.append(HistoryEntry("msg_1", "user.created", "user_unknown", 200, "created", resolved=False))


def healed_in_the_history_only(evidence: Evidence) -> None:
    evidence.history.append(HistoryEntry("msg_1", "user.updated", LIVING_USER, 503, None, resolved=True))


def no_retry_after(evidence: Evidence) -> None:
    evidence.operations.append(replace(ok("user.updated", LIVING_USER, status=503), result="fail"))


def server_error(evidence: Evidence) -> None:
    evidence.operations.append(replace(ok("user.updated", LIVING_USER, status=500), result="fail"))


def session_not_found(evidence: Evidence) -> None:
    evidence.operations.append(replace(ok(APPEND, LIVING_USER, status=404), result="fail"))


def reset_by_a_running_process(evidence: Evidence) -> None:
    evidence.operations.append(replace(ok("user.updated", LIVING_USER, status=0, reset=True), result="unknown"))


def canary_in_a_response(evidence: Evidence) -> None:
    evidence.operations.append(ok("user.updated", LIVING_USER, leaked=True))


def name_of_a_deleted_user(evidence: Evidence) -> None:
    evidence.rows[1] = replace(evidence.rows[1], name="Canary")


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (no_row, "lost"),
        (older_version, "lost"),
        (another_profile, "lost"),
        (another_assistant_returned, "lost"),
        (older_profile_returned, "lost"),
        (no_tombstone, "lost"),
        (second_row, "duplicate"),
        (second_assistant, "duplicate"),
        (assistant_deleted, "dangling"),
        (assistant_of_a_deleted_user, "orphan"),
        (row_of_an_unknown_user, "phantom"),
        (assistant_of_an_unknown_user, "phantom"),
        (live_row_beside_the_tombstone, "resurrected"),
        (deleted_user_served, "resurrected"),
        (attempt_left, "stuck"),
        (late_response, "slow"),
        (miscounted_session, "miscounted"),
        (no_retry_after, "silent"),
        (server_error, "unexpected"),
        (session_not_found, "unexpected"),
        (reset_by_a_running_process, "reset"),
        (canary_in_a_response, "leak"),
        (name_of_a_deleted_user, "leak"),
        (made_in_the_history_only, "untrue"),
        (healed_in_the_history_only, "untrue"),
    ],
)
def test_the_checker_finds_a_planted_violation(plant: Callable[[Evidence], None], kind: str) -> None:
    evidence = consistent_evidence()

    plant(evidence)

    assert kind in {violation.kind for violation in check(evidence)}


@pytest.mark.parametrize(
    "line",
    [
        workload.email(LIVING_USER),
        workload.name(LIVING_USER, FIRST_VERSION),
        workload.API_KEY,
        workload.TOKEN,
        workload.DATABASE_PASSWORD,
        workload.SECRETS[1].decode(),
        workload.signing_secrets().split(",")[1],
    ],
)
def test_a_canary_in_a_log_is_a_leak(tmp_path: Path, line: str) -> None:
    """Secrets in their configured form as well."""
    (tmp_path / "server-0.log").write_text(f"level=info clerk_id={LIVING_USER}\nlevel=error said={line}\n")

    assert read_logs(tmp_path) == [("leak", "server-0.log, line 2")]


@pytest.mark.parametrize(
    ("line", "where"),
    [("level=error event=bug error=KeyError", " error=keyerror"), ("Traceback (most recent call last):", "")],
)
def test_a_bug_in_a_log_is_unexpected(tmp_path: Path, line: str, where: str) -> None:
    """Even if the response was an ordinary 503; with its class and place, if the line has them."""
    (tmp_path / "server-1.log").write_text(line)

    assert read_logs(tmp_path) == [("unexpected", f"server-1.log, line 1: a bug{where}")]


@pytest.mark.parametrize(
    ("kind", "status", "content", "leaked"),
    [
        ("user.created", 200, {"outcome": "created"}, False),
        ("user.created", 503, {"detail": workload.email(LIVING_USER)}, True),
        (ENSURE, 200, {"clerk_id": LIVING_USER, "email": workload.email(LIVING_USER), "name": "Canary"}, False),
        (ENSURE, 200, {"clerk_id": LIVING_USER, "email": workload.email(DELETED_USER), "name": "Canary"}, True),
        (ENSURE, 200, {"clerk_id": DELETED_USER, "email": None, "name": None}, True),
        (ENSURE, 410, {"detail": workload.TOKEN}, True),
    ],
)
def test_a_response_with_data_of_another_user_is_a_leak(kind: str, status: int, content: object, leaked: bool) -> None:  # noqa: FBT001
    response = httpx.Response(status, json=content)

    assert sender.leaks(response, Event("msg_1", kind, LIVING_USER, b"")) is leaked


SAID, SESSION = workload.text(LIVING_USER, "said"), "0b7d8a3e-0000-4000-8000-000000000002"
OWN_MESSAGE = {"session_id": SESSION, "content": SAID}


@pytest.mark.parametrize(
    ("kind", "status", "content", "leaked"),
    [
        (APPEND, 201, OWN_MESSAGE, False),
        (APPEND, 201, {"messages": [OWN_MESSAGE]}, False),
        (APPEND, 201, {"session_id": SESSION, "content": workload.text(LIVING_USER, "something else")}, True),
        (APPEND, 201, {"messages": [OWN_MESSAGE, OWN_MESSAGE]}, True),
        (APPEND, 201, {"session_id": "another", "content": SAID}, True),
        (APPEND, 503, {"detail": SAID}, True),
        (READ, 200, {"messages": []}, False),
        (READ, 200, {"messages": [OWN_MESSAGE]}, False),
        (READ, 200, {"messages": [{"session_id": "another", "content": SAID}]}, True),
        (READ, 200, {"messages": [{"session_id": SESSION, "content": workload.text(DELETED_USER, "said")}]}, True),
    ],
)
def test_a_response_with_messages_of_another_request_is_a_leak(
    kind: str,
    status: int,
    content: object,
    leaked: bool,  # noqa: FBT001
) -> None:
    """One statement serves many callers, and each gets what is theirs."""
    call = Event("", kind, LIVING_USER, b"", session_id=SESSION, texts=(SAID,))

    assert sender.leaks(httpx.Response(status, json=content), call) is leaked


# --- the proxies -----------------------------------------------------------------------------------------------------

pytestmark = pytest.mark.anyio


def parse(statement: bytes) -> bytes:
    """A Parse message, as libpq sends it."""
    return b"P" + (len(statement) + 8).to_bytes(4) + b"\0" + statement + b"\0\0\0"


SYNC = b"S\0\0\0\4"
START_UP = b"\0\0\0\x08\0\3\0\0"
# ReadyForQuery, in a transaction.
READY = b"Z\0\0\0\5T"


class Recorder:
    """A server that keeps what it receives, and responds to each Sync and each HTTP request."""

    def __init__(self, response: bytes, after: tuple[bytes, ...]) -> None:
        self.received = b""
        self._response, self._after = response, after

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.received += data
            if data.endswith(self._after):
                writer.write(self._response)
        writer.close()


@contextlib.asynccontextmanager
async def listening(recorder: Recorder) -> AsyncIterator[int]:
    """The port on which a recorder listens."""
    server = await asyncio.start_server(recorder, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def planned(action: str) -> Faults:
    faults = Faults(random.Random(1), Tally(), {})
    faults.plan(action, "user_1")
    return faults


async def received_by_client(port: int, *sent: bytes) -> bytes:
    """Everything until the connection ends, however it ends; the client waits for a response between two pieces."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    with contextlib.suppress(ConnectionError):
        for data in sent:
            writer.write(data)
            if data is not sent[-1]:
                received += await reader.readexactly(len(READY))
        while data := await reader.read(65536):
            received += data
    writer.close()
    return received


@pytest.mark.parametrize(
    ("action", "is_received"),
    [(postgres_faults.COMMIT_LOST, False), (postgres_faults.COMMIT_UNKNOWN, True), (postgres_faults.COMMIT_LATE, True)],
)
@pytest.mark.parametrize("commit", [parse(b"COMMIT") + SYNC, b"Q\0\0\0\x0bCOMMIT\0"], ids=["extended", "simple"])
async def test_a_commit_is_cut_before_or_after_the_server_gets_it(
    action: str,
    is_received: bool,  # noqa: FBT001
    commit: bytes,
) -> None:
    """The client gets no response to it in either case."""
    recorder = Recorder(READY, (SYNC, b"COMMIT\0"))
    policy = PostgresFaults(planned(action))
    policy.late_seconds = (0.05, 0.05)
    async with listening(recorder) as port, PostgresProxy(f"postgresql://app@127.0.0.1:{port}/app", policy) as proxy:
        insert = parse(b"INSERT user_1") + SYNC
        received = await received_by_client(proxy.port, START_UP + insert, commit)
        await asyncio.sleep(0.2)

    assert received == READY
    assert (b"COMMIT" in recorder.received) is is_received
    assert policy.faults.tally.counts == {action: 1}


@pytest.mark.parametrize(
    ("action", "is_received", "response"),
    [
        (backboard_proxy.CUT_BEFORE, False, b""),
        (backboard_proxy.CUT_AFTER, True, b""),
        (backboard_proxy.CUT_MIDDLE, True, b"HTTP/1.1 200 OK\r\nContent-L"),
    ],
)
async def test_an_exchange_with_backboard_is_cut_before_in_or_after_it(
    action: str,
    is_received: bool,  # noqa: FBT001
    response: bytes,
) -> None:
    """The client cannot tell whether Backboard has done the work."""
    recorder = Recorder(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", (b"user_1",))
    async with listening(recorder) as port, BackboardProxy(port, planned(action)) as proxy:
        received = await received_by_client(proxy.port, b"POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\nuser_1")

    assert received == response
    assert (b"POST" in recorder.received) is is_received
    assert proxy.faults.tally.counts == {action: 1}


def test_each_break_names_the_violation_that_shows_it() -> None:
    """Seventeen rules; `./dev chaos --break all` finds this violation without any one of them."""
    assert len(BREAKS) == 17
    assert {broken.caught_as for broken in BREAKS.values()} == {
        "lost",
        "duplicate",
        "dangling",
        "resurrected",
        "starved",
        "slow",
        "disordered",
        "torn",
        "leak",
    }


SWITCH_OFF_EACH = """
import os, traceback
from app.postgres.queries import Queries
from tools.chaos.broken import BREAKS

for name, rule in BREAKS.items():
    if os.fork() == 0:
        try:
            rule.switch_off()
            Queries.load()
        except BaseException:
            print(name, traceback.format_exc(), flush=True)
        os._exit(0)
    os.wait()
"""


def test_each_break_still_finds_the_code_that_it_replaces() -> None:
    """A break that no longer fits the service fails here, before a campaign passes it."""
    done = subprocess.run([sys.executable, "-c", SWITCH_OFF_EACH], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == ""
