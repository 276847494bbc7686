"""Everything that can go wrong with one call to the Backboard sandbox, and the queue it waits in.

A fault says three things on their own: when the work is done (`Commit`), what the answer is turned into
(`alter`), and how it travels (`Wire`). So "a 500 although the assistant exists" and "the right answer, cut in
the middle" are two small values, not two servers.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import Enum, auto
from functools import partial
from gzip import compress
from typing import Any

from tools.sandbox.backboard_messages import Reply, json_reply

KINDS = (
    *("create", "lookup", "list", "get", "update", "delete"),
    *("create_thread", "list_threads", "get_thread", "delete_thread", "any"),
)

EVENTUALLY = 30.0
ABSURD = "9" * 400


class Commit(Enum):
    """When the work of the call is done, seen from the fault's pause."""

    AFTER_PAUSE = auto()
    BEFORE_PAUSE = auto()
    IN_BACKGROUND = auto()
    NEVER = auto()


class Wire(Enum):
    """How the answer travels."""

    WHOLE = auto()
    NOT_AT_ALL = auto()
    CLOSED = auto()
    RESET = auto()
    CUT = auto()
    HEAD_DRIPS = auto()
    BODY_DRIPS = auto()
    EARLY_HINTS = auto()


@dataclass(frozen=True, slots=True)
class Fault:
    """One misbehaviour. The pause lasts `seconds`, and then until `gate` is set, where there is one."""

    name: str
    commit: Commit = Commit.AFTER_PAUSE
    seconds: float = 0.0
    gate: threading.Event | None = None
    alter: Callable[[Reply], Reply] | None = None
    wire: Wire = Wire.WHOLE
    pace: float = 0.05
    earlier_id: bool = False
    twice: bool = False
    forgets: bool = False

    def __str__(self) -> str:
        return self.name


def _fault(name: str, *, after_commit: bool, **what: Any) -> Fault:
    suffix = "_after_commit" if after_commit else ""
    return Fault(name + suffix, commit=Commit.BEFORE_PAUSE if after_commit else Commit.NEVER, **what)


def behaves() -> Fault:
    """No fault: lets a call through in the middle of a queue."""
    return Fault("")


def status(
    code: int, detail: Any = "Made up by the sandbox", *, retry_after: str = "", after_commit: bool = False
) -> Fault:
    """A status with a JSON body; before or after the work was done."""
    reply = json_reply(code, {"detail": detail})
    if retry_after:
        reply = replace(reply, headers=(*reply.headers, ("Retry-After", retry_after)))
    return _fault(str(code), after_commit=after_commit, alter=lambda _: reply)


def html(code: int = 200, *, after_commit: bool = False) -> Fault:
    """A page of the gateway in front of Backboard, or with 200 of a captive portal."""
    page = Reply(code, b"<html><body><h1>Backboard</h1></body></html>", (("Content-Type", "text/html"),))
    return _fault(f"{code}_html", after_commit=after_commit, alter=lambda _: page)


def redirect(location: str) -> Fault:
    moved = Reply(307, b"", (("Location", location),))
    return _fault("redirect", after_commit=False, alter=lambda _: moved)


def hangs(*, after_commit: bool = False) -> Fault:
    """Never answers; the connection stays until the client leaves."""
    return _fault("hangs", after_commit=after_commit, wire=Wire.NOT_AT_ALL)


def drops(*, after_commit: bool = False) -> Fault:
    """Closes the connection instead of answering."""
    return _fault("drops", after_commit=after_commit, wire=Wire.CLOSED)


def resets(*, after_commit: bool = False) -> Fault:
    """As `drops`, with a TCP reset."""
    return _fault("resets", after_commit=after_commit, wire=Wire.RESET)


def slow(seconds: float, *, after_commit: bool = False) -> Fault:
    """The right answer, late; the work is done at the end (or the start), whether the client waits or not."""
    commit = Commit.BEFORE_PAUSE if after_commit else Commit.AFTER_PAUSE
    return Fault("slow", commit=commit, seconds=seconds)


def held(gate: threading.Event, *, after_commit: bool = False) -> Fault:
    """As `slow`, until `gate` is set: for tests that say exactly what happens meanwhile."""
    return replace(slow(0, after_commit=after_commit), name="held", gate=gate)


def late(seconds: float) -> Fault:
    """Closes the connection at once, and does the work `seconds` after that."""
    return Fault("late", commit=Commit.IN_BACKGROUND, seconds=seconds, wire=Wire.CLOSED)


def cuts() -> Fault:
    """Does the work, announces the whole body and closes in the middle of it."""
    return Fault("cuts", wire=Wire.CUT)


def drips(*, head: bool = False, pace: float = 0.05) -> Fault:
    """The right answer, a byte every `pace` seconds: the body, or already the head."""
    wire = Wire.HEAD_DRIPS if head else Wire.BODY_DRIPS
    return Fault("drips_head" if head else "drips", wire=wire, pace=pace)


def hints(*, pace: float = 0.05) -> Fault:
    """Does the work, then says 103 Early Hints every `pace` seconds until the client leaves."""
    return Fault("hints", wire=Wire.EARLY_HINTS, pace=pace)


def empty() -> Fault:
    return Fault("empty", alter=lambda reply: replace(reply, body=b""))


def without(field: str) -> Fault:
    return _edits(f"without_{field}", lambda item: {key: item[key] for key in item if key != field})


def says(**fields: Any) -> Fault:
    """The right answer with these fields changed: another name, an id that is none, the id of another."""
    return _edits("says_" + "_".join(fields), lambda item: item | fields)


def earlier_id() -> Fault:
    """Does the work, and answers with the id of the oldest assistant instead of the new one's."""
    return Fault("earlier_id", earlier_id=True)


def twice() -> Fault:
    """Does the work twice and answers for the first time, as when something on the way repeats a request."""
    return Fault("twice", twice=True)


def forgets() -> Fault:
    """Answers rightly, and has done nothing when one looks again."""
    return Fault("forgets", forgets=True)


def gzipped() -> Fault:
    """Compressed, although the client asked for identity."""
    return Fault("gzipped", alter=_gzipped)


def nested(depth: int = 100_000) -> Fault:
    """Deeper than a recursive parser goes: the assistant with a tower in it, or a tower for a listing."""

    def alter(reply: Reply) -> Reply:
        tower = b"[" * depth + b"]" * depth
        listed = reply.body.startswith(b"[")
        return replace(reply, body=tower if listed else reply.body[:-1] + b',"tower":' + tower + b"}")

    return Fault("nested", alter=alter)


def oversize(size: int = 5_000_000) -> Fault:
    """The right answer, with prompts that fill `size` bytes; spaces, where there is nobody to prompt."""
    return Fault("oversize", alter=partial(_oversize, size=size))


def wrapped() -> Fault:
    """A listing as an object that holds the array."""
    return Fault("wrapped", alter=lambda reply: _with(reply, {"assistants": json.loads(reply.body)}))


def repeated() -> Fault:
    """A listing with every assistant in it twice."""
    return Fault("repeated", alter=lambda reply: _with(reply, _listed(reply) * 2))


def _edits(name: str, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> Fault:
    """Apply `edit` to the assistant of an answer, or to each of a listing."""

    def alter(reply: Reply) -> Reply:
        edited = [edit(item) for item in _listed(reply)]
        return _with(reply, edited if reply.body.startswith(b"[") else edited[0])

    return Fault(name, alter=alter)


def _listed(reply: Reply) -> list[dict[str, Any]]:
    payload = json.loads(reply.body)
    return payload if isinstance(payload, list) else [payload]


def _with(reply: Reply, payload: Any) -> Reply:
    return replace(reply, body=json.dumps(payload, separators=(",", ":")).encode())


def _gzipped(reply: Reply) -> Reply:
    headers = (*reply.headers, ("Content-Encoding", "gzip"))
    return replace(reply, body=compress(reply.body), headers=headers)


def _oversize(reply: Reply, *, size: int) -> Reply:
    items = _listed(reply)
    for item in items:
        item["system_prompt"] = "x" * (size // len(items))
    filled = _with(reply, items if reply.body.startswith(b"[") else items[0])
    return replace(filled, body=filled.body.ljust(size))


def _in_an_hour() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)


# What a person can name over HTTP; `seconds` of the request replaces the pause.
NAMED: dict[str, Callable[[], Fault]] = {
    **{str(code): partial(status, code) for code in (400, 401, 402, 403, 404, 409, 429, 500, 503)},
    "422": partial(status, 422, [{"type": "missing", "loc": ["body", "name"], "msg": "Field required"}]),
    **{f"{code}_html": partial(html, code) for code in (200, 502, 504)},
    "429_seconds": partial(status, 429, retry_after="7"),
    "429_date": lambda: status(429, retry_after=_in_an_hour()),
    "429_absurd": partial(status, 429, retry_after=ABSURD),
    "500_after_commit": partial(status, 500, after_commit=True),
    "hangs_after_commit": partial(hangs, after_commit=True),
    "drops_after_commit": partial(drops, after_commit=True),
    "bad_id": partial(says, assistant_id="asst_123"),
    "no_id": partial(without, "assistant_id"),
    "other_name": partial(says, name="somebody else"),
    "nan": partial(says, tok_k=float("nan")),
    "slow": partial(slow, 3),
    "late": partial(late, EVENTUALLY),
    "drips_head": partial(drips, head=True),
    **{f.__name__: f for f in (behaves, hangs, drops, resets, cuts, drips, hints, empty, earlier_id)},
    **{f.__name__: f for f in (gzipped, nested, oversize, wrapped, repeated, twice, forgets)},
}
