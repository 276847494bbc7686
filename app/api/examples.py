"""An example of every body in the API's document, by the name of its model; tests hold each to its schema."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from app.reasons import REASONS

_CLERK_ID = "user_2g7np7Hrk0SN6kj5EDMLDaKNL0S"
_ASSISTANT_ID = "4f0cf01a-6d15-4c3b-8a1e-3f2a7b9d6c50"
_SESSION_ID = "0199b2f0-5c1e-7b7a-9a53-2f6d1c0e8b11"
_MESSAGE_ID = "0199b2f0-8d2f-7c1a-b0c4-6a9f3e5d7c22"
_REQUEST_ID = "8b2f0c5e9d7a4e16b3c80f1a2d4e6f70"
_TIME = "2026-11-27T09:30:00Z"

_QUESTION = {"role": "user", "content": "Where should I eat in Lisbon?"}
_REPLY = {"role": "assistant", "content": "Start in Alfama.", "metadata": {"model": "gpt-4o", "tokens": 812}}
_MESSAGE = {"id": _MESSAGE_ID, "session_id": _SESSION_ID, "metadata": None, "created_at": _TIME} | _QUESTION
_USER = {
    "id": _CLERK_ID,
    "object": "user",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "primary_email_address_id": "idn_2g7np7Hrk0SN6kj5EDMLDaKNL0S",
    "email_addresses": [{"id": "idn_2g7np7Hrk0SN6kj5EDMLDaKNL0S", "email_address": "ada@example.com"}],
    "created_at": 1780000000000,
    "updated_at": 1790000000000,
}
_SIGN_IN = {"id": "sess_2g7np7Hrk0SN6kj5EDMLDaKNL0S", "object": "session", "user_id": _CLERK_ID, "user": _USER}


def example_event(event_type: str) -> dict[str, Any]:
    """What Clerk sends for an event that is acted on; its own documents have more members."""
    deletion = {"id": _CLERK_ID, "object": "user", "deleted": True}
    data = {"user.deleted": deletion, "session.created": _SIGN_IN}.get(event_type, _USER)
    envelope = {"type": event_type, "object": "event", "timestamp": 1790000000000}
    return envelope | {"instance_id": "ins_2g7np7Hrk0SN6kj5EDMLDaKNL0S", "data": data}


def example_outcome(event_type: str) -> dict[str, Any]:
    """What such an event is usually answered."""
    return {"outcome": {"user.created": "created", "user.deleted": "deleted"}.get(event_type, "updated")}


_SCENARIO: dict[str, Any] = {
    "name": "A few days in a city",
    "description": "Plans walks, food and museums, one day at a time.",
    "system_prompt": "You plan city trips. Ask for dates and pace first.",
    "model": "gpt-4o",
    "is_active": True,
}
_STORED_SCENARIO = {"slug": "city-trip", **_SCENARIO, "created_at": _TIME, "updated_at": _TIME}
_SESSION: dict[str, Any] = {
    "id": _SESSION_ID,
    "clerk_id": _CLERK_ID,
    "assistant_id": _ASSISTANT_ID,
    "thread_id": "b1a7c3d2-0e4f-4b8a-9c6d-5e2f1a3b4c60",
    "title": "Three days in Lisbon",
    "status": "active",
    "created_at": _TIME,
    "last_active_at": _TIME,
    "ended_at": None,
    "duration_seconds": None,
    "message_count": 1,
    "scenario": _STORED_SCENARIO,
    "last_message": {"id": _MESSAGE_ID, "created_at": _TIME} | _QUESTION,
}

EXAMPLES: Mapping[str, Any] = {
    "EnsureUserRequest": {"clerk_id": _CLERK_ID, "email": "ada@example.com", "name": "Ada"},
    "OwnUserRequest": {},
    "EnsuredUser": {
        "id": "0199b2ef-1c3d-7e5f-8a9b-0c1d2e3f4a5b",
        "clerk_id": _CLERK_ID,
        "assistant_id": _ASSISTANT_ID,
        "email": "ada@example.com",
        "name": "Ada",
        "image_url": "https://img.clerk.com/eyJ0eXBlIjoiZGVmYXVsdCJ9",
        "created_at": _TIME,
    },
    "Preferences": {"language": "pt", "theme": {"dark": True}},
    "StatsAnswer": {
        "joined_at": _TIME,
        "sessions": 3,
        "messages": {"user": 14, "assistant": 13},
        "total_tokens": 10556,
        "first_activity_at": _TIME,
        "last_activity_at": _TIME,
    },
    "OpenSessionRequest": {"title": "Three days in Lisbon", "scenario": "city-trip"},
    "SearchSessionsRequest": {"q": "lisbon", "status": ["active", "completed"], "limit": 20},
    "ScenarioRequest": _SCENARIO,
    "ScenarioAnswer": _STORED_SCENARIO,
    "ScenarioPage": {"scenarios": [_STORED_SCENARIO], "next": None},
    "ChangeSessionRequest": {"status": "completed"},
    "SessionAnswer": _SESSION,
    "SessionPage": {"sessions": [_SESSION], "next": None},
    "MessageRequest": {"id": _MESSAGE_ID} | _REPLY,
    "ChangeMessageRequest": {"metadata": {"feedback": "good", "draft": None}},
    "BatchRequest": {"messages": [_QUESTION, _REPLY]},
    "MessageAnswer": _MESSAGE,
    "MessageList": {"messages": [_MESSAGE]},
    "MessagePage": {"messages": [_MESSAGE], "before": None},
    "Event": example_event("user.updated"),
    "Outcome": example_outcome("user.updated"),
    "Health": {"status": "ok"},
    "Readiness": {
        "status": "ready",
        "schema": "0006",
        "pools": {"queries": {"size": 3, "idle": 2, "waiting": 0, "max": 3}},
        "last_event_seconds": 12,
    },
}
PLAIN_TEXT = "# TYPE requests_total counter\n"
_POINTER = {"pointer": "#/messages/3/role", "detail": 'must be "user" or "assistant"'}


def problem(status: int, codes: Sequence[str]) -> dict[str, Any]:
    """A problem document of this status, with the first of its codes."""
    title = HTTPStatus(status).phrase
    content: dict[str, Any] = {"type": "about:blank", "title": title, "status": status}
    content |= {"detail": REASONS[codes[0]].meaning if codes else f"{title}.", "request_id": _REQUEST_ID}
    if codes:
        content["code"] = "shape" if "shape" in codes else codes[0]
    if content.get("code") == "shape":
        content |= {"detail": REASONS["shape"].meaning, "errors": [_POINTER]}
    return content
