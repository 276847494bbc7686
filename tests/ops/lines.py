"""The fields of closing lines, as the middleware hands them to the history."""

import itertools
from typing import Any

from app.log_format import Fields

DAYS = 14

_numbers = itertools.count(1)


def webhook(svix_id: str, status: int = 200, outcome: str | None = "exists", **fields: Any) -> Fields:
    line: Fields = {"event": "webhook", "svix_id": svix_id, "secret": 0, "type": "user.created", "clerk_id": "user_a"}
    return _line(line, status, outcome, fields)


def failed(svix_id: str, reason: str = "backboard_error", **fields: Any) -> Fields:
    return webhook(svix_id, 503, None, reason=reason, **fields)


def ensured(status: int, outcome: str | None = None, **fields: Any) -> Fields:
    return _line({"event": "ensure_user", "clerk_id": "user_a"}, status, outcome, fields)


def _line(line: Fields, status: int, outcome: str | None, fields: Fields) -> Fields:
    line |= {"request_id": f"request-{next(_numbers):020}", "status": status, "duration_ms": 1.5}
    if outcome is not None:
        line["outcome"] = outcome
    return line | fields
