"""Large answers: counted as long as their client has not taken them, and sent in pieces.

A connection takes all that it is given, so a client that reads nothing would have its whole answer kept in memory. In
pieces the request is under way until the last of them is taken, and as long its answer counts.
"""

from collections.abc import Awaitable
from typing import Any

import orjson
from starlette.types import Message, Scope, Send

from app.http.memory import SHARE_BYTES, SMALL_BYTES, MemoryBudget
from app.http.responses import answer_bytes

# As much as the buffer of a connection holds before it asks us to wait.
PIECE_BYTES = SMALL_BYTES

ANSWERS = "app.answers"


class AnswerBudget(MemoryBudget):
    """Lets so many bytes of large answers wait for their clients at a time."""

    def __init__(self) -> None:
        # A client that reads too slowly is cut after 30 s (app.http.pace); most are done sooner.
        super().__init__("large_answers", [(b"retry-after", b"5")], kept=SHARE_BYTES)


def reserve_answer(scope: Scope, size: int, owner: str | None) -> None:
    """Count a large answer before it is read from the database; HttpError 503 if too many wait for their clients."""
    _budget_of(scope).reserve(scope, size, owner)


def answer_found(scope: Scope, send: Send, status: int, content: Any, *, owner: str | None) -> Awaitable[None]:
    """Answer with what was read, which may be large; HttpError 503 if too many such answers wait for their clients."""
    body, budget = orjson.dumps(content), _budget_of(scope)
    if budget.is_reserved(scope):
        budget.count(scope, len(body), owner)
    elif len(body) > SMALL_BYTES:
        budget.reserve(scope, len(body), owner)
    return answer_bytes(send, status, body)


def answer_stored(scope: Scope, send: Send, status: int, content: Any, *, owner: str | None) -> Awaitable[None]:
    """Answer with what was stored, which may be large. It is done, so the answer counts and is never refused."""
    body = orjson.dumps(content)
    if len(body) > SMALL_BYTES:
        _budget_of(scope).count(scope, len(body), owner)
    return answer_bytes(send, status, body)


async def send_in_pieces(send: Send, message: Message) -> None:
    """Send a body of more than one piece; each waits until the client has taken most of the one before it."""
    body = message["body"]
    for begin in range(0, len(body), PIECE_BYTES):
        end = begin + PIECE_BYTES
        more = end < len(body) or message.get("more_body", False)
        await send({"type": "http.response.body", "body": body[begin:end], "more_body": more})


def _budget_of(scope: Scope) -> AnswerBudget:
    budget: AnswerBudget = scope[ANSWERS]
    return budget
