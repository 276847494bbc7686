"""The memory of large bodies, shared by all requests of a process, so that a thousand clients cannot fill it."""

from collections import Counter
from http import HTTPStatus

from starlette.types import Scope

from app.http.responses import CLOSE, HttpError

# A body up to this size is not counted: the connection's own buffer may hold as much.
SMALL_BYTES = 64 * 1024
TOTAL_BYTES = 64 * 1024 * 1024
# For one signed-in user, and for all webhooks: their senders are strangers until the body has been read.
SHARE_BYTES = 16 * 1024 * 1024

BODIES = "app.bodies"
_RESERVED = "app.bodies.reserved"


class BodyBudget:
    """Lets so many bytes of large bodies be received at a time; each counts until its request is answered."""

    def __init__(self) -> None:
        self._held: Counter[str | None] = Counter()

    def reserve(self, scope: Scope, size: int, owner: str | None) -> None:
        """Count a body of a signed-in user, or of a service token (None); HttpError 503 if it is too much now."""
        if self._held.total() + size > TOTAL_BYTES or (owner is not None and self._held[owner] + size > SHARE_BYTES):
            headers = [(b"retry-after", b"1"), *CLOSE]
            raise HttpError(HTTPStatus.SERVICE_UNAVAILABLE, "large_bodies", headers=headers)
        self._held[owner] += size
        scope[_RESERVED] = (owner, size)

    def release(self, scope: Scope) -> None:
        """Forget the body of a request that has been answered."""
        if _RESERVED in scope:
            owner, size = scope.pop(_RESERVED)
            self._held[owner] -= size
            if not self._held[owner]:
                del self._held[owner]


def budget_of(scope: Scope) -> BodyBudget:
    """The budget that the middleware has put there."""
    budget: BodyBudget = scope[BODIES]
    return budget
