"""What the Backboard sandbox has seen and made, and what it is to do wrong next; steered from any thread."""

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from tools.sandbox.backboard_faults import KINDS, Fault, behaves
from tools.sandbox.backboard_messages import Reply, Request, json_reply
from tools.sandbox.backboard_world import Assistant, Switches, Thread, World

WRONG_KEY = json_reply(401, {"detail": "Invalid or missing API key"})

Where = Callable[[str], bool]


@dataclass(slots=True)
class Call:
    """One call, in the order of arrival. `status` is None while, or when, nothing was answered."""

    kind: str
    method: str
    path: str
    name: str
    key_ok: bool
    at: float
    fault: str
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault that waits for a call of its kind whose assistant's name suits."""

    kind: str
    fault: Fault
    where: Where | None

    def fits(self, call: Call) -> bool:
        return self.kind in {call.kind, "any"} and (self.where is None or self.where(call.name))


class Ledger:
    """The sandbox without its network: worlds, calls, faults. A test asserts against it, not against our tables."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = tuple(keys)
        self._changed = threading.Condition()
        self.reset()

    def reset(self) -> None:
        """Forget assistants, calls, faults and switches; a late commit of before goes into the old world."""
        with self._changed:
            self.switches = Switches()
            self._worlds = {key: World(self.switches) for key in self._keys}
            self._calls: list[Call] = []
            self.clear()

    def clear(self) -> None:
        """Behave again: drop the faults that wait and those that stand."""
        with self._changed:
            self._queued: list[Planned] = []
            self._standing: list[Planned] = []
            self._to_close = 0

    def next(self, kind: str, *faults: Fault, where: Where | None = None) -> None:
        """One fault each for the next calls of this kind, in order; `where` judges the assistant's name."""
        with self._changed:
            self._queued += [Planned(_checked(kind), fault, where) for fault in faults]

    def next_create(self, *faults: Fault, where: Where | None = None) -> None:
        self.next("create", *faults, where=where)

    def next_lookup(self, *faults: Fault, where: Where | None = None) -> None:
        self.next("lookup", *faults, where=where)

    def next_delete(self, *faults: Fault, where: Where | None = None) -> None:
        self.next("delete", *faults, where=where)

    def always(self, kind: str, fault: Fault, *, where: Where | None = None) -> None:
        """A fault for every call of this kind that no queued one is waiting for, until `clear`."""
        with self._changed:
            self._standing.insert(0, Planned(_checked(kind), fault, where))

    def close_next_connections(self, count: int) -> None:
        """Accept the next connections, and close them before a byte is read."""
        with self._changed:
            self._to_close = count

    def calls(self, method: str | None = None, path: str | None = None, *, kind: str | None = None) -> list[Call]:
        """The calls so far; `path` is what follows /api, whole and without its query."""
        with self._changed:
            return [
                call
                for call in self._calls
                if method in {None, call.method} and path in {None, call.path} and kind in {None, call.kind}
            ]

    def made(self, name: str | None = None, *, key: str | None = None) -> list[Assistant]:
        """Every assistant ever made, the deleted ones too, in the order of their making."""
        with self._changed:
            worlds = [world for owner, world in self._worlds.items() if key in {None, owner}]
            made = [assistant for world in worlds for assistant in world.made.values()]
            return sorted((one for one in made if name in {None, one.name}), key=lambda one: one.made)

    def alive(self, name: str | None = None, *, key: str | None = None) -> list[Assistant]:
        """The living assistants of exactly this name."""
        return [assistant for assistant in self.made(name, key=key) if assistant.deleted_at is None]

    def threads(self, assistant_id: str | None = None) -> list[Thread]:
        """The living threads, of one assistant or of all, in the order of their making."""
        with self._changed:
            alive = [thread for world in self._worlds.values() for thread in world.threads.values()]
            return [thread for thread in alive if assistant_id in {None, thread.assistant_id}]

    def make_thread(self, assistant_id: str, *, created_at: datetime | None = None, messages: int = 0) -> Thread:
        """Make one behind everybody's back, with as many messages in it."""
        with self._changed:
            (world,) = (world for world in self._worlds.values() if assistant_id in world.made)
            return world.make_thread(assistant_id, created_at=created_at, messages=messages)

    def make_assistant(self, name: str, *, key: str | None = None, created_at: datetime | None = None) -> Assistant:
        """Make one behind everybody's back: an orphan, or a second one under a name."""
        with self._changed:
            assistant = self._worlds[key or self._keys[0]].make(name, created_at=created_at)
            self._changed.notify_all()
            return assistant

    def delete_assistant(self, assistant_id: str) -> None:
        """Delete one behind everybody's back, as somebody at the vendor's dashboard might."""
        with self._changed:
            (world,) = (world for world in self._worlds.values() if assistant_id in world.made)
            world.delete(world.made[assistant_id])
            self._changed.notify_all()

    def wait_for(self, predicate: Callable[[], bool], *, seconds: float = 5.0) -> None:
        """Block until calls and assistants are as wanted; TimeoutError if they never are."""
        with self._changed:
            if not self._changed.wait_for(predicate, seconds):
                raise TimeoutError("the sandbox did not see what was waited for")

    def closes_this_connection(self) -> bool:
        with self._changed:
            self._to_close -= 1
            return self._to_close >= 0

    def arrive(self, request: Request) -> tuple[Call, Fault, World | None]:
        """Write the call down and find its fault; without a world, the key is wrong."""
        with self._changed:
            world = self._worlds.get(request.headers.get("x-api-key", ""))
            call = _call(request, world)
            fault = self._take(call)
            call.fault = fault.name
            self._calls.append(call)
            self._changed.notify_all()
            return call, fault, world

    def work(self, world: World | None, request: Request, fault: Fault) -> Reply:
        """Do what was asked; here, and only here, something comes into being."""
        with self._changed:
            before = world.keep() if world else None
            reply = world.answer(request) if world else WRONG_KEY
            if world and fault.twice:
                world.answer(request)
            if world and before and fault.forgets:
                world.restore(before)
            self._changed.notify_all()
            return reply

    def answered(self, call: Call, status: int) -> None:
        with self._changed:
            call.status = status
            self._changed.notify_all()

    def _take(self, call: Call) -> Fault:
        for planned in self._queued:
            if planned.fits(call):
                self._queued.remove(planned)
                return planned.fault
        return next((planned.fault for planned in self._standing if planned.fits(call)), behaves())


def _checked(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"{kind} is none of {', '.join(KINDS)}")
    return kind


def _call(request: Request, world: World | None) -> Call:
    path = request.path.removeprefix("/api")
    kind, name = "", ""
    match request.method, path.split("/")[1:]:
        case "POST", ["assistants"]:
            kind, name = "create", _name_in(request.body)
        case "GET", ["assistants"]:
            kind = "lookup" if "name" in request.query else "list"
            name = request.query.get("name", "")
        case "GET" | "PUT" | "DELETE" as method, ["assistants", uuid]:
            kind = {"GET": "get", "PUT": "update", "DELETE": "delete"}[method]
            name = world.name_of(uuid) if world else ""
        case "POST" | "GET" as method, ["assistants", uuid, "threads"]:
            kind = {"POST": "create_thread", "GET": "list_threads"}[method]
            name = world.name_of(uuid) if world else ""
        case "GET", ["threads"]:
            kind = "list_threads"
        case "GET" | "DELETE" as method, ["threads", _]:
            kind = {"GET": "get_thread", "DELETE": "delete_thread"}[method]
    return Call(kind, request.method, path, name, world is not None, time.monotonic(), "")


def _name_in(body: bytes) -> str:
    try:
        return str(json.loads(body)["name"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
