"""What was asked and what came of it: every operation of the campaign, in the order of its end."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

# ok: answered with a 2xx, or with 410 for who is gone. fail: refused, surely without an answer that binds anybody.
# unknown: the connection broke or nothing came in time, so it may have been done.
Result = Literal["ok", "fail", "unknown"]

ENSURE = "ensure-user"
DELETED = "user.deleted"


@dataclass(frozen=True, slots=True)
class Operation:
    """One request. `version` is that of the event's profile, `assistant_id` what ensure-user answered."""

    kind: str
    clerk_id: str
    result: Result
    # 0: no answer.
    status: int
    began: float
    seconds: float
    version: int = 0
    assistant_id: str | None = None
    retry_after: str | None = None
    # The answer held a secret, or somebody's personal data where none belong.
    leaked: bool = False
    # No answer came although nobody killed the process that had the request.
    reset: bool = False


@dataclass
class History:
    """All of them, and how many there were of each result."""

    operations: list[Operation] = field(default_factory=list)

    def add(self, operation: Operation) -> Operation:
        self.operations.append(operation)
        return operation

    def count(self, result: Result) -> int:
        return sum(one.result == result for one in self.operations)

    def worst(self) -> float:
        """The longest time that anybody waited for an answer, in seconds."""
        return max((one.seconds for one in self.operations if one.status), default=0.0)

    def of(self, clerk_id: str) -> Iterator[Operation]:
        return (one for one in self.operations if one.clerk_id == clerk_id)
