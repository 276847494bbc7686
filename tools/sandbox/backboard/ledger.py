"""What the Backboard sandbox has seen and made, and what it is to do wrong next; used from any thread."""

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from tools.sandbox.backboard.account import Account
from tools.sandbox.backboard.faults import KINDS
from tools.sandbox.backboard.records import Assistant, Books, Memory, Message, Thread
from tools.sandbox.backboard.switches import Switches
from tools.sandbox.faults import Fault, FaultPlan
from tools.sandbox.http import Request, Response, json_response

WRONG_KEY = json_response(401, {"detail": "Invalid or missing API key"})

Where = Callable[[str], bool]


@dataclass(slots=True)
class Call:
    """One call, in the order of arrival. `status` is None while, or when, there is no response."""

    kind: str
    method: str
    path: str
    name: str
    key_ok: bool
    at: float
    fault: str
    status: int | None = None


class Ledger:
    """The sandbox without its network: accounts, calls, faults. Tests compare the service's tables with it."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = tuple(keys)
        self._changed = threading.Condition()
        self._plan = FaultPlan(KINDS)
        # How many calls may have changed something.
        self.changes = 0
        self.reset()

    def reset(self) -> None:
        """Forget assistants, calls, faults and switches; a late commit of before goes into the old account."""
        with self._changed:
            self.switches = Switches()
            self._accounts = {key: Account(self.switches) for key in self._keys}
            self._calls: list[Call] = []
            self.clear()

    def clear(self) -> None:
        """Behave again: drop every planned fault."""
        with self._changed:
            self._plan.clear()
            self._to_close = 0

    def next(self, kind: str, *faults: Fault, where: Where | None = None) -> None:
        """Plan one fault each for the next calls of this kind, in order; `where` judges the assistant's name."""
        with self._changed:
            self._plan.next(kind, *faults, where=where)

    def next_create(self, *faults: Fault, where: Where | None = None) -> None:
        self.next("create", *faults, where=where)

    def next_lookup(self, *faults: Fault, where: Where | None = None) -> None:
        self.next("lookup", *faults, where=where)

    def next_delete(self, *faults: Fault, where: Where | None = None) -> None:
        self.next("delete", *faults, where=where)

    def always(self, kind: str, fault: Fault, *, where: Where | None = None) -> None:
        """Plan a fault for every call of this kind that no queued one waits for, until `clear`."""
        with self._changed:
            self._plan.always(kind, fault, where=where)

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
        """Every assistant ever made, the deleted ones too, oldest first."""
        with self._changed:
            accounts = [account for owner, account in self._accounts.items() if key in {None, owner}]
            made = [assistant for account in accounts for assistant in account.assistants.values()]
            return sorted((one for one in made if name in {None, one.name}), key=lambda one: one.made_at)

    def alive(self, name: str | None = None, *, key: str | None = None) -> list[Assistant]:
        """The living assistants of exactly this name."""
        return [assistant for assistant in self.made(name, key=key) if assistant.deleted_at is None]

    def threads(self, assistant_id: str | None = None) -> list[Thread]:
        """The living threads, of one assistant or of all, oldest first."""
        with self._changed:
            alive = [thread for account in self._accounts.values() for thread in account.threads.values()]
            return [thread for thread in alive if assistant_id in {None, thread.assistant_id}]

    def messages(self, thread_id: str) -> list[Message]:
        """The messages of a living thread, oldest first."""
        (thread,) = (thread for thread in self.threads() if thread.id == thread_id)
        return list(thread.messages)

    def make_thread(self, assistant_id: str, *, created_at: datetime | None = None, messages: int = 0) -> Thread:
        """Make one without a call, with as many messages in it."""
        with self._changed:
            account = self._account_of(assistant_id)
            return account.make_thread(assistant_id, created_at=created_at, messages=messages)

    def make_assistant(self, name: str, *, key: str | None = None, created_at: datetime | None = None) -> Assistant:
        """Make one without a call: an orphan, or a second one under a name."""
        with self._changed:
            assistant = self._accounts[key or self._keys[0]].make_assistant(name, created_at=created_at)
            self._changed.notify_all()
            return assistant

    def memories(self, assistant_id: str) -> list[str]:
        """What is remembered of an assistant's user, also after the assistant's deletion."""
        with self._changed:
            return [memory.content for memory in self._account_of(assistant_id).memories.get(assistant_id, [])]

    def remember(self, assistant_id: str, *contents: str) -> None:
        """Add memories without a call."""
        with self._changed:
            memories = self._account_of(assistant_id).memories.setdefault(assistant_id, [])
            memories += [Memory(content) for content in contents]

    def books(self) -> Books:
        """A copy of everything that the account of the first key holds."""
        with self._changed:
            return self._accounts[self._keys[0]].books()

    def fill(self, books: Books) -> None:
        """Let the account of the first key go on with these."""
        with self._changed:
            self._accounts[self._keys[0]].fill(books)

    def delete_assistant(self, assistant_id: str) -> None:
        """Delete one without a call, as a person at Backboard's dashboard might."""
        with self._changed:
            account = self._account_of(assistant_id)
            account.delete_assistant(account.assistants[assistant_id])
            self._changed.notify_all()

    def wait_for(self, predicate: Callable[[], bool], *, seconds: float = 5.0) -> None:
        """Block until calls and assistants are as wanted; TimeoutError if they never are."""
        with self._changed:
            if not self._changed.wait_for(predicate, seconds):
                raise TimeoutError("the sandbox did not see what the test waits for")

    def rejects_connection(self) -> bool:
        with self._changed:
            self._to_close -= 1
            return self._to_close >= 0

    def record(self, request: Request) -> tuple[Call, Fault, Account | None]:
        """Record the call and find its fault; without an account, the key is wrong."""
        with self._changed:
            account = self._accounts.get(request.headers.get("x-api-key", ""))
            call = _call(request, account)
            fault = self._plan.take(call.kind, call.name)
            call.fault = fault.name
            self._calls.append(call)
            self._changed.notify_all()
            return call, fault, account

    def work(self, account: Account | None, request: Request, fault: Fault) -> Response:
        """Do what was asked; only here a call makes or changes anything."""
        with self._changed:
            before = account.snapshot() if account and fault.forgets else None
            response = account.handle(request) if account else WRONG_KEY
            self.changes += request.method != "GET"
            if account and fault.twice:
                account.handle(request)
            if account and before:
                account.restore(before)
            self._changed.notify_all()
            return response

    def responded(self, call: Call, status: int) -> None:
        with self._changed:
            call.status = status
            self._changed.notify_all()

    def _account_of(self, assistant_id: str) -> Account:
        (account,) = (account for account in self._accounts.values() if assistant_id in account.assistants)
        return account


def _call(request: Request, account: Account | None) -> Call:
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
            name = account.name_of(uuid) if account else ""
        case "POST" | "GET" as method, ["assistants", uuid, "threads"]:
            kind = {"POST": "create_thread", "GET": "list_threads"}[method]
            name = account.name_of(uuid) if account else ""
        case "POST" | "GET" | "DELETE" as method, ["assistants", uuid, "memories"]:
            kind = {"POST": "add_memory", "GET": "list_memories", "DELETE": "delete_memories"}[method]
            name = account.name_of(uuid) if account else ""
        case "POST", ["threads", "messages"] | ["threads", _, "messages"]:
            kind = "send_message"
            name = account.name_of(account.assistant_of_message(request)) if account else ""
        case "GET", ["threads"]:
            kind = "list_threads"
        case "GET" | "DELETE" as method, ["threads", _]:
            kind = {"GET": "get_thread", "DELETE": "delete_thread"}[method]
    return Call(kind, request.method, path, name, account is not None, time.monotonic(), "")


def _name_in(body: bytes) -> str:
    try:
        return str(json.loads(body)["name"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
