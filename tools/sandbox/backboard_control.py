"""Steering the Backboard sandbox over HTTP, for a person at a terminal: /_control and /_ledger."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tools.sandbox.backboard_faults import KINDS, NAMED, Fault
from tools.sandbox.backboard_messages import Reply, Request, json_reply
from tools.sandbox.backboard_world import Switches

if TYPE_CHECKING:
    from tools.sandbox.backboard import Sandbox

CHOICES: dict[str, tuple[Any, ...]] = {
    "create_status": (200, 201),
    "order": ("ascending", "descending", "random"),
    "timestamps": ("z", "offset", "naive", "microseconds"),
}
MODIFIERS = ("times", "always", "seconds")


class NotUnderstood(Exception):
    """A control request that asks for nothing this sandbox has."""


def control(sandbox: "Sandbox", request: Request) -> Reply:
    match request.method, request.path:
        case "GET", "/_ledger":
            calls = [asdict(call) for call in sandbox.calls()]
            return _pretty({"calls": calls, "assistants": [asdict(made) for made in sandbox.made()]})
        case "POST", "/_control":
            return _steer(sandbox, request.body)
    return json_reply(404, {"detail": "There are GET /_ledger, POST /_control and /api"})


def _steer(sandbox: "Sandbox", body: bytes) -> Reply:
    try:
        wishes = _object(body)
        modifiers = {key: wishes.pop(key) for key in MODIFIERS if key in wishes}
        steps = [_step(sandbox, key, wish, modifiers) for key, wish in wishes.items()]
    except (ValueError, TypeError, NotUnderstood) as error:
        return _pretty({"detail": str(error), "there_is": _there_is()}, status=400)
    # Only now, so that a request with a mistake in it changes nothing.
    for step in steps:
        step()
    return _pretty({"done": list(wishes), "switches": asdict(sandbox.switches)})


def _object(body: bytes) -> dict[str, Any]:
    wishes = json.loads(body)
    if not isinstance(wishes, dict):
        raise NotUnderstood("a control request is a JSON object")
    return wishes


def _step(sandbox: "Sandbox", key: str, wish: Any, modifiers: dict[str, Any]) -> Callable[[], None]:
    times = int(modifiers.get("times", 1))
    if key in KINDS:
        fault = _fault(wish, modifiers.get("seconds"))
        if modifiers.get("always"):
            return partial(sandbox.always, key, fault)
        return partial(sandbox.next, key, *[fault] * times)
    if key in asdict(Switches()):
        value = _switch(key, wish)
        # Looked up late: a reset in the same request makes new switches.
        return lambda: setattr(sandbox.switches, key, value)
    if key == "make":
        return partial(_make, sandbox, str(wish), times)
    if key == "refuse_connections":
        return partial(sandbox.refuse_connections_for, float(wish))
    if key in {"clear", "reset"}:
        return sandbox.clear if key == "clear" else sandbox.reset
    raise NotUnderstood(f"{key}: there is no such thing")


def _make(sandbox: "Sandbox", name: str, times: int) -> None:
    for _ in range(times):
        sandbox.make_assistant(name)


def _fault(wish: Any, seconds: Any) -> Fault:
    if wish not in NAMED:
        raise NotUnderstood(f"{wish}: there is no such fault")
    fault = NAMED[wish]()
    return fault if seconds is None else replace(fault, seconds=float(seconds))


def _switch(key: str, wish: Any) -> Any:
    default = getattr(Switches(), key)
    value = float(wish) if isinstance(default, float) else wish
    if type(value) is not type(default) or value not in CHOICES.get(key, (value,)):
        raise NotUnderstood(f"{key}: {wish} is no value for it")
    return value


def _there_is() -> dict[str, Any]:
    return {
        "kinds": KINDS,
        "faults": sorted(NAMED),
        "with": MODIFIERS,
        "switches": asdict(Switches()) | CHOICES,
        "more": ("make", "refuse_connections", "clear", "reset"),
    }


def _pretty(payload: Any, *, status: int = 200) -> Reply:
    return Reply(status, json.dumps(payload, indent=2, default=str).encode() + b"\n")
