"""Every operation of the campaign and its result, in the order in which they ended."""

from dataclasses import dataclass, field
from typing import Literal

# ok: a 2xx, or 410 for a deleted user. fail: refused, or surely not received. unknown: the connection broke or no
# response came in time, so the operation may have happened.
Result = Literal["ok", "fail", "unknown"]

ENSURE = "ensure-user"
DELETED = "user.deleted"
# What the chat backend does with a conversation.
OPEN, APPEND, READ = "open-session", "append", "history"
# How many messages a read asks for; a page with fewer begins with the session's first.
PAGE = 200


@dataclass(frozen=True, slots=True)
class Operation:
    """One request. `version` is that of the event's profile, or of the one that ensure-user returned.

    `assistant_id` is what ensure-user returned. `texts` are the messages that were appended, or the last ones of the
    session in their order, as the history returned them.
    """

    kind: str
    clerk_id: str
    result: Result
    # 0 without a response.
    status: int
    began: float
    seconds: float
    version: int = 0
    assistant_id: str | None = None
    retry_after: str | None = None
    session_id: str = ""
    # The Idempotency-Key under which a session was opened.
    key: str = ""
    texts: tuple[str, ...] = ()
    # The response held a secret, or personal data where none belong.
    leaked: bool = False
    # There was no response although the process that had the request was not killed.
    reset: bool = False

    @property
    def ended(self) -> float:
        return self.began + self.seconds


@dataclass
class History:
    operations: list[Operation] = field(default_factory=list)

    def add(self, operation: Operation) -> Operation:
        self.operations.append(operation)
        return operation

    def count(self, result: Result, *kinds: str) -> int:
        """How many operations had this result, of any kind or of these."""
        return sum(one.result == result and (not kinds or one.kind in kinds) for one in self.operations)

    def slowest(self) -> float:
        """The longest time until a response, in seconds."""
        return max((one.seconds for one in self.operations if one.status), default=0.0)
