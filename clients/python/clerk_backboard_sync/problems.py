"""What goes wrong with a call: the service's problem document, or no answer at all."""

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from .types import FaultAnswer


class Failure(Exception):
    """A call that has failed; `tries` says how often it was sent, and `retry_after` is in seconds, where one came."""

    tries = 1
    retry_after: float | None = None


class NoAnswer(Failure):
    """The service cannot be reached, or its answer did not come in time; whether the call was done is not known."""


class Problem(Failure):
    """An error of the service (RFC 9457), or of a proxy before it, which has neither `code` nor `request_id`.

    `code` says why, and docs/api.md lists them; decide by it, and by `status` where it is None or a new one. `errors`,
    of a 422, are the places that cannot be used.
    """

    def __init__(self, response: httpx.Response) -> None:
        document = _read(response)
        self.status = response.status_code
        self.title = str(document.get("title", response.reason_phrase))
        self.detail = str(document.get("detail", ""))
        self.code: str | None = document.get("code")
        self.errors: list[FaultAnswer] = document.get("errors", [])
        self.request_id: str | None = response.headers.get("X-Request-Id")
        self.retry_after = _seconds(response.headers.get("Retry-After", ""))
        super().__init__(" ".join(filter(None, [str(self.status), self.code, self.title + ".", self.detail])))

    def __str__(self) -> str:
        place = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.args[0]}{place}"


def read_body(response: httpx.Response) -> Any:
    """The JSON of a success, None without a body; Problem for an answer that is no JSON, and so not the service's."""
    if response.status_code == HTTPStatus.NO_CONTENT:
        return None
    try:
        return response.json()
    except ValueError:
        raise Problem(response) from None


def _read(response: httpx.Response) -> dict[str, Any]:
    if response.is_success:
        return {"title": "Not an answer of clerk-backboard-sync"}
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _seconds(text: str) -> float | None:
    """The service sends whole seconds; a proxy may send a date, which is left to the waits of our own."""
    return float(text) if text.isascii() and text.isdigit() else None
