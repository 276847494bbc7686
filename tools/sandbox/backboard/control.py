"""The routes /_control and /_ledger, through which a person at a terminal steers the Backboard sandbox."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tools.sandbox.backboard.faults import KINDS, NAMED
from tools.sandbox.backboard.switches import Switches
from tools.sandbox.faults import Fault
from tools.sandbox.http import Request, Response, json_response

if TYPE_CHECKING:
    from tools.sandbox.backboard.server import Sandbox

CHOICES: dict[str, tuple[Any, ...]] = {
    "create_status": (200, 201),
    "listed_messages": ("shown", "empty", "absent"),
    "message_answer": ("messages", "reply"),
    "order": ("ascending", "descending", "random"),
    "timestamps": ("z", "offset", "naive", "microseconds"),
}
MODIFIERS = ("times", "always", "seconds")


class InvalidControl(Exception):
    """A control request that asks for something that this sandbox does not have."""


def control(sandbox: "Sandbox", request: Request) -> Response:
    match request.method, request.path:
        case "GET", "/_ledger":
            calls = [asdict(call) for call in sandbox.calls()]
            assistants = [asdict(made) for made in sandbox.made()]
            threads = [asdict(thread) for thread in sandbox.threads()]
            return _pretty({"calls": calls, "assistants": assistants, "threads": threads})
        case "POST", "/_control":
            return _apply(sandbox, request.body)
    return json_response(404, {"detail": "There are GET /_ledger, POST /_control and /api"})


def _apply(sandbox: "Sandbox", body: bytes) -> Response:
    try:
        settings = _object(body)
        modifiers = {key: settings.pop(key) for key in MODIFIERS if key in settings}
        steps = [_step(sandbox, key, value, modifiers) for key, value in settings.items()]
    except (ValueError, TypeError, InvalidControl) as error:
        return _pretty({"detail": str(error), "there_is": _there_is()}, status=400)
    # Only now, so that a request with a mistake in it changes nothing.
    for step in steps:
        step()
    return _pretty({"done": list(settings), "switches": asdict(sandbox.switches)})


def _object(body: bytes) -> dict[str, Any]:
    settings = json.loads(body)
    if not isinstance(settings, dict):
        raise InvalidControl("a control request is a JSON object")
    return settings


def _step(sandbox: "Sandbox", key: str, wanted: Any, modifiers: dict[str, Any]) -> Callable[[], None]:
    times = int(modifiers.get("times", 1))
    if key in KINDS:
        fault = _fault(wanted, modifiers.get("seconds"))
        if modifiers.get("always"):
            return partial(sandbox.always, key, fault)
        return partial(sandbox.next, key, *[fault] * times)
    if key in asdict(Switches()):
        value = _switch(key, wanted)
        # Looked up late: a reset in the same request makes new switches.
        return lambda: setattr(sandbox.switches, key, value)
    if key == "make":
        return partial(_make, sandbox, str(wanted), times)
    if key == "refuse_connections":
        return partial(sandbox.refuse_connections_for, float(wanted))
    if key in {"clear", "reset"}:
        return sandbox.clear if key == "clear" else sandbox.reset
    raise InvalidControl(f"{key}: there is no such thing")


def _make(sandbox: "Sandbox", name: str, times: int) -> None:
    for _ in range(times):
        sandbox.make_assistant(name)


def _fault(name: Any, seconds: Any) -> Fault:
    if name not in NAMED:
        raise InvalidControl(f"{name}: there is no such fault")
    fault = NAMED[name]()
    return fault if seconds is None else replace(fault, seconds=float(seconds))


def _switch(key: str, wanted: Any) -> Any:
    default = getattr(Switches(), key)
    value = float(wanted) if isinstance(default, float) else wanted
    if type(value) is not type(default) or value not in CHOICES.get(key, (value,)):
        raise InvalidControl(f"{key}: {wanted} is not a value for it")
    return value


def _there_is() -> dict[str, Any]:
    return {
        "kinds": KINDS,
        "faults": sorted(NAMED),
        "with": MODIFIERS,
        "switches": asdict(Switches()) | CHOICES,
        "more": ("make", "refuse_connections", "clear", "reset"),
    }


def _pretty(payload: Any, *, status: int = 200) -> Response:
    return Response(status, json.dumps(payload, indent=2, default=str).encode() + b"\n")
