"""The faults that need Backboard's shapes, and the names under which a person can ask for any fault over HTTP."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

from tools.sandbox import faults
from tools.sandbox.faults import Fault, fault
from tools.sandbox.http import Response, json_response

KINDS = (
    *("create", "lookup", "list", "get", "update", "delete"),
    *("create_thread", "list_threads", "get_thread", "delete_thread", "send_message"),
    *("add_memory", "list_memories", "delete_memories", "any"),
)

LATE_SECONDS = 30.0
ABSURD = "9" * 400


def status(
    code: int, detail: Any = "Made up by the sandbox", *, retry_after: str = "", after_commit: bool = False
) -> Fault:
    """A status with a JSON body; before or after the work was done."""
    response = json_response(code, {"detail": detail})
    if retry_after:
        response = replace(response, headers=(*response.headers, ("Retry-After", retry_after)))
    return fault(str(code), after_commit=after_commit, alter=lambda _: response)


def html(code: int = 200, *, after_commit: bool = False) -> Fault:
    """A page of the gateway in front of Backboard, or with 200 of a captive portal."""
    page = Response(code, b"<html><body><h1>Backboard</h1></body></html>", (("Content-Type", "text/html"),))
    return fault(f"{code}_html", after_commit=after_commit, alter=lambda _: page)


def without(field: str) -> Fault:
    return _edits(f"without_{field}", lambda item: {key: item[key] for key in item if key != field})


def says(**fields: Any) -> Fault:
    """The right response with these fields changed: another name, a malformed id, another assistant's id."""
    return _edits("says_" + "_".join(fields), lambda item: item | fields)


def earlier_id() -> Fault:
    """Does the work, and responds with the id of the oldest assistant instead of the new one's."""
    return Fault("earlier_id", earlier_id=True)


def twice() -> Fault:
    """Does the work twice and responds to the first time, as when something on the way repeats a request."""
    return Fault("twice", twice=True)


def forgets() -> Fault:
    """Responds rightly, but a later look shows that nothing was done."""
    return Fault("forgets", forgets=True)


def error_event() -> Fault:
    """A stream that turns into an `error` event in its middle, inside a 200; any other response is an error too."""
    event = {"type": "error", "error": "Made up by the sandbox"}
    return Fault("error_event", alter=partial(_breaks_off, last=event))


def run_failed() -> Fault:
    """A stream whose run fails in its middle, inside a 200; a reply that is no stream has failed."""
    event = {"type": "run_failed", "message": "Made up by the sandbox"}
    return Fault("run_failed", alter=partial(_breaks_off, last=event))


def ends_early() -> Fault:
    """A stream that ends properly, but in its middle: without the event that ends a run."""
    return Fault("ends_early", alter=partial(_breaks_off, last=None))


def nested(depth: int = 100_000) -> Fault:
    """Deeper than a recursive parser goes: the assistant with a tower in it, or a tower for a listing."""

    def alter(response: Response) -> Response:
        tower = b"[" * depth + b"]" * depth
        is_listing = response.body.startswith(b"[")
        return replace(response, body=tower if is_listing else response.body[:-1] + b',"tower":' + tower + b"}")

    return Fault("nested", alter=alter)


def oversize(size: int = 5_000_000) -> Fault:
    """The right response, with prompts that fill `size` bytes; spaces in a listing of nothing."""
    return Fault("oversize", alter=partial(_oversize, size=size))


def wrapped() -> Fault:
    """A listing as an object that holds the array."""
    return Fault("wrapped", alter=lambda response: _with(response, {"assistants": _items(response)}))


def repeated() -> Fault:
    """A listing with every assistant in it twice; a stream with every event twice."""
    return Fault("repeated", alter=lambda response: _with_items(response, _items(response) * 2))


def _edits(name: str, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> Fault:
    """Apply `edit` to the assistant of a response, or to each of a listing; to each event of a stream."""

    def alter(response: Response) -> Response:
        return _with_items(response, [edit(item) for item in _items(response)])

    return Fault(name, alter=alter)


def _items(response: Response) -> list[dict[str, Any]]:
    if response.is_stream:
        return [json.loads(event.removeprefix(b"data: ")) for event in response.events]
    payload = json.loads(response.body)
    return payload if isinstance(payload, list) else [payload]


def _with(response: Response, payload: Any) -> Response:
    return replace(response, body=json.dumps(payload, separators=(",", ":")).encode())


def _with_items(response: Response, items: list[dict[str, Any]]) -> Response:
    """The response with these instead of its own, in its own shape."""
    if response.is_stream:
        return replace(response, body="".join(f"data: {json.dumps(item)}\n\n" for item in items).encode())
    return _with(response, items if response.body.startswith(b"[") else items[0])


def _breaks_off(response: Response, *, last: dict[str, Any] | None) -> Response:
    """The first half of a stream's events, and then another end; a whole reply says that it has failed."""
    if response.is_stream:
        events = _items(response)
        return _with_items(response, [*events[: len(events) // 2], *([last] if last else [])])
    (answer,) = _items(response)
    for message in answer.get("messages", [answer])[-1:]:
        message |= {"status": "FAILED", "content": None}
    return _with(response, answer)


def _oversize(response: Response, *, size: int) -> Response:
    items = _items(response)
    for item in items:
        item["system_prompt"] = "x" * (size // len(items))
    filled = _with_items(response, items)
    return filled if filled.is_stream else replace(filled, body=filled.body.ljust(size))


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
    "hangs_after_commit": partial(faults.hangs, after_commit=True),
    "drops_after_commit": partial(faults.drops, after_commit=True),
    "bad_id": partial(says, assistant_id="asst_123"),
    "no_id": partial(without, "assistant_id"),
    "other_name": partial(says, name="another"),
    "nan": partial(says, tok_k=float("nan")),
    "slow": partial(faults.slow, 3),
    "late": partial(faults.late, LATE_SECONDS),
    "drips_head": partial(faults.drips, head=True),
    **{f.__name__: f for f in (faults.behaves, faults.hangs, faults.drops, faults.resets, faults.cuts)},
    **{f.__name__: f for f in (faults.drips, faults.hints, faults.empty, faults.gzipped)},
    **{f.__name__: f for f in (error_event, run_failed, ends_early)},
    **{f.__name__: f for f in (earlier_id, nested, oversize, wrapped, repeated, twice, forgets)},
}
