"""The memory that large bodies or large answers take in this process: a budget for all requests, a share for each user.

Without it, a thousand clients that send or read slowly would fill the memory for all others.
"""

from collections import Counter
from http import HTTPStatus

from starlette.types import Scope

from app.http.responses import Headers, HttpError

# What is no larger is not counted: the buffer of a connection may hold as much.
SMALL_BYTES = 64 * 1024
# A small dyno has 512 MB for all of its processes.
TOTAL_BYTES = 64 * 1024 * 1024
SHARE_BYTES = 16 * 1024 * 1024


class MemoryBudget:
    """Counts bytes for requests, each until its request is over.

    `reason` is the word of a refusal in the log, and `headers` are its headers. Service tokens and signed-in users may
    take all but `kept` bytes, which are there for the others.
    """

    def __init__(self, reason: str, headers: Headers, *, kept: int = 0) -> None:
        self._reason = reason
        self._headers = headers
        self._kept = kept
        self._key = f"app.{reason}"
        self._held: Counter[str | None] = Counter()

    def reserve(self, scope: Scope, size: int, owner: str | None) -> None:
        """Count bytes of a signed-in user, or of a service token (None); HttpError 503 if it is too much now."""
        if self._is_too_much(size, owner):
            raise HttpError(HTTPStatus.SERVICE_UNAVAILABLE, self._reason, headers=self._headers)
        self.count(scope, size, owner)

    def count(self, scope: Scope, size: int, owner: str | None) -> None:
        """Count bytes that are there already, in the place of what was reserved for this request."""
        self.release(scope)
        self._held[owner] += size
        scope[self._key] = (owner, size)

    def is_reserved(self, scope: Scope) -> bool:
        return self._key in scope

    def release(self, scope: Scope) -> None:
        """Forget the bytes of a request that is over."""
        if self._key in scope:
            owner, size = scope.pop(self._key)
            self._held[owner] -= size
            if not self._held[owner]:
                del self._held[owner]

    def _is_too_much(self, size: int, owner: str | None) -> bool:
        total, service = self._held.total(), self._held[None]
        if owner is None:
            return total + size > TOTAL_BYTES or service + size > TOTAL_BYTES - self._kept
        users = total - service
        return (
            total + size > TOTAL_BYTES
            or users + size > TOTAL_BYTES - self._kept
            or self._held[owner] + size > SHARE_BYTES
        )
