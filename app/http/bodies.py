"""The memory of large bodies, which are counted from their first 64 KiB until their request has been answered."""

from starlette.types import Scope

from app.http.memory import MemoryBudget
from app.http.responses import CLOSE

BODIES = "app.bodies"


class BodyBudget(MemoryBudget):
    """Lets so many bytes of large bodies be received at a time, and of all webhooks a share.

    The senders of webhooks are strangers until the body has been read.
    """

    def __init__(self) -> None:
        super().__init__("large_bodies", [(b"retry-after", b"1"), *CLOSE])


def budget_of(scope: Scope) -> BodyBudget:
    """The budget that the middleware has put there."""
    budget: BodyBudget = scope[BODIES]
    return budget
