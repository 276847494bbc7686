"""What `/openapi.json` tells of the chat's memory."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from app.api import schemas as bodies
from app.api.operations import READING, TRANSPORT, answer, body, done, problems

CHAT_REQUESTS = (
    *(bodies.OpenSessionRequest, bodies.ChangeSessionRequest, bodies.MessageRequest, bodies.BatchRequest),
    bodies.Preferences,
)
CHAT_ANSWERS = (
    *(bodies.SessionAnswer, bodies.SessionPage, bodies.MessageAnswer, bodies.MessageList, bodies.MessagePage),
    bodies.StatsAnswer,
)

_UUID = {"type": "string", "format": "uuid"}
_CLERK_ID = {"type": "string", "pattern": "^user_[A-Za-z0-9]{1,64}$"}
_KEY = {"type": "string", "pattern": "^[ -~]{1,255}$"}
# 32 and 16 bytes as base64url without padding, each in its one spelling.
_PLACE = {"type": "string", "pattern": "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$"}
_POSITION = {"type": "string", "pattern": "^[A-Za-z0-9_-]{21}[AQgw]$"}
_SEARCH = {"type": "string", "maxLength": 200, "pattern": "^[^\\x00]*$"}


def chat_paths() -> dict[str, Any]:
    """Every path of the chat's memory."""
    user, session = _parameter("path", "clerk_id", _CLERK_ID), _parameter("path", "session_id", _UUID)
    message = _parameter("path", "message_id", _UUID)
    return {
        "/users/{clerk_id}/sessions": {"parameters": [user], "get": _list_sessions(), "post": _open_session()},
        "/users/{clerk_id}/stats": {
            "parameters": [user],
            "get": _operation("getStats", "Figures of a user.", 200, bodies.StatsAnswer),
        },
        "/users/{clerk_id}/preferences": {
            "parameters": [user],
            "get": _operation("getPreferences", "The chat's own settings.", 200, bodies.Preferences),
            "put": _preferences("replacePreferences", "Replace them."),
            "patch": _preferences("mergePreferences", "Replace the members that are named."),
        },
        "/sessions/{session_id}": {
            "parameters": [session],
            "get": _operation("getSession", "One session.", 200, bodies.SessionAnswer),
            "patch": _operation(
                "changeSession", "Rename or end it.", 200, bodies.SessionAnswer, takes=bodies.ChangeSessionRequest
            ),
            "delete": _operation("deleteSession", "Delete it with its messages and its thread.", 204),
        },
        "/sessions/{session_id}/messages": {
            "parameters": [session],
            "get": _list_messages(),
            "post": _operation("addMessage", "Add a message.", 201, bodies.MessageAnswer, takes=bodies.MessageRequest),
        },
        "/sessions/{session_id}/messages/batch": {
            "parameters": [session],
            "post": _operation(
                "addMessages", "Add several, all or nothing.", 201, bodies.MessageList, takes=bodies.BatchRequest
            ),
        },
        "/sessions/{session_id}/messages/{message_id}": {
            "parameters": [session, message],
            "delete": _operation("deleteMessage", "Delete a message.", 204),
        },
    }


def _list_sessions() -> dict[str, Any]:
    query = [_limit(100), _parameter("query", "cursor", _PLACE), _parameter("query", "q", _SEARCH)]
    what = "A user's sessions, newest activity first."
    return _operation("listSessions", what, 200, bodies.SessionPage, parameters=query)


def _open_session() -> dict[str, Any]:
    return _operation(
        "openSession",
        "Open a session, and make sure of its user.",
        201,
        bodies.SessionAnswer,
        takes=bodies.OpenSessionRequest,
        parameters=[_parameter("header", "Idempotency-Key", _KEY)],
    )


def _list_messages() -> dict[str, Any]:
    query = [_limit(200), _parameter("query", "before", _POSITION)]
    what = "The last messages, in the order in which they were said."
    return _operation("listMessages", what, 200, bodies.MessagePage, parameters=query)


def _preferences(name: str, summary: str) -> dict[str, Any]:
    return _operation(name, summary, 200, bodies.Preferences, takes=bodies.Preferences)


def _operation(
    name: str,
    summary: str,
    status: int,
    model: type[BaseModel] | None = None,
    *,
    takes: type[BaseModel] | None = None,
    parameters: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    refusals = (401, 404, 410, *(TRANSPORT if takes else READING))
    return {
        "summary": summary,
        "operationId": name,
        "security": [{"bearer": []}],
        **({"parameters": list(parameters)} if parameters else {}),
        **({"requestBody": body(takes)} if takes else {}),
        "responses": {str(status): answer("Done.", model) if model else done(), **problems(refusals)},
    }


def _limit(most: int) -> dict[str, Any]:
    return _parameter("query", "limit", {"type": "integer", "minimum": 1, "maximum": most})


def _parameter(where: str, name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"in": where, "name": name, "required": where == "path", "schema": schema}
