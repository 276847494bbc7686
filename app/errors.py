"""Everything this service can fail with, as a tree.

ServiceError
├── BadSignature        the webhook's sender is not who holds our secret: a stranger (400)
├── InvalidRequest            rightly signed, but not a usable event (422)
├── NotFound             not there, or somebody else's (404)
├── UserDeleted                its user was deleted (410)
└── Unavailable         may heal; the caller should come again (503)
    ├── DatabaseUnavailable      Postgres is down, slow or refuses
    └── AssistantUnavailable    the user's assistant could not be made sure of
        ├── Rejected            Backboard said no: nothing was made
        ├── NotSent             nothing reached Backboard
        ├── Throttled           Backboard said later (429)
        └── OutcomeUnknown             Backboard may have made an assistant

Every one carries a `reason`, a word of a fixed list that goes to the log; none carries a driver's message,
since those quote rows, hosts and addresses.
"""

from typing import ClassVar


class ServiceError(Exception):
    """What the service knows how to answer; everything else is a bug and is loud."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BadSignature(ServiceError):
    """Anything wrong with a webhook's headers or signature."""


class InvalidRequest(ServiceError):
    """A body that cannot be used, whoever sent it."""


class NotFound(ServiceError):
    """What was asked for is not there, or belongs to somebody else; the caller is not told which."""

    def __init__(self, reason: str = "missing") -> None:
        super().__init__(reason)


class UserDeleted(ServiceError):
    """The user was deleted; what was theirs is out of reach."""

    def __init__(self) -> None:
        super().__init__("deleted")


class Unavailable(ServiceError):
    """The caller should try again after `retry_after` seconds."""

    default_retry_after: ClassVar[int] = 5

    def __init__(self, reason: str, *, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.retry_after = self.default_retry_after if retry_after is None else retry_after


class DatabaseUnavailable(Unavailable):
    """Postgres did not do what was asked; `sqlstate` says why where it said so."""

    def __init__(
        self,
        reason: str,
        *,
        sqlstate: str | None = None,
        constraint: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(reason, retry_after=retry_after)
        self.sqlstate = sqlstate
        self.constraint = constraint


class AssistantUnavailable(Unavailable):
    """The assistant of a user could not be made sure of."""


class Rejected(AssistantUnavailable):
    """Backboard refused; nothing was made. `status` is its answer."""

    def __init__(self, reason: str, *, status: int) -> None:
        super().__init__(reason)
        self.status = status


class NotSent(AssistantUnavailable):
    """The request never reached Backboard, so it may be repeated."""


class Throttled(AssistantUnavailable):
    """Backboard asked to wait."""


class OutcomeUnknown(AssistantUnavailable):
    """Backboard may have done what was asked; only a lookup by name can tell."""
