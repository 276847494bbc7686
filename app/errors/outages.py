"""What may heal, so that the caller should try again: 503."""

from http import HTTPStatus
from typing import ClassVar

from app.errors.refusals import ServiceError


class Unavailable(ServiceError):
    """The caller should try again after `retry_after` seconds."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after: int = 5
    # Every user would meet the same: what is down or full is not this user's own trouble.
    is_outage: ClassVar[bool] = False
    # Whether asking again soon can help; not where a person has to change a key or an account first.
    is_transient: ClassVar[bool] = True

    def __init__(self, reason: str | None = None, *, retry_after: int | None = None) -> None:
        super().__init__(reason)
        if retry_after is not None:
            self.retry_after = retry_after


class DeadlineExceeded(Unavailable):
    reason = "deadline"


class ThrottledBy(Unavailable):
    """The other side asked us to wait, and `retry_after` is its own word."""


class DatabaseUnavailable(Unavailable):
    """Postgres did not do what was asked; `sqlstate` says why where Postgres said so."""

    reason = "database_error"

    def __init__(self, reason: str | None = None, *, sqlstate: str | None = None) -> None:
        super().__init__(reason)
        self.sqlstate = sqlstate


class DatabaseOutage(DatabaseUnavailable):
    """Down, full, read-only, missing, or not letting us in; the reason says which."""

    is_outage = True


class DatabaseDown(DatabaseOutage):
    reason = "database_down"


class SchemaMissing(DatabaseOutage):
    reason = "schema_missing"


class PoolSaturated(DatabaseOutage):
    # Every connection of a pool is in use.
    reason = "saturated"


class DatabaseSlow(DatabaseUnavailable):
    reason = "database_slow"


class DatabaseConflict(DatabaseUnavailable):
    """Postgres ended the transaction because of another one; nothing of it was kept."""

    reason = "database_conflict"


class LockTimeout(DatabaseUnavailable):
    # Another process works on the same user, and is done sooner than an outage is over.
    reason = "lock_timeout"
    retry_after = 3


class ConstraintViolated(DatabaseUnavailable):
    """A constraint of the schema; `constraint` is its name."""

    reason = "database_constraint"

    def __init__(self, constraint: str | None, *, sqlstate: str) -> None:
        super().__init__(sqlstate=sqlstate)
        self.constraint = constraint


class AssistantUnavailable(Unavailable):
    """The assistant or the thread of a user could not be made ready."""


class CircuitOpen(AssistantUnavailable):
    reason = "backboard_down"
    is_outage = True


class ProvisioningSaturated(AssistantUnavailable):
    # More sign-ups wait than can be served in time.
    reason = "provisioning_saturated"
    is_outage = True


class AttemptMissing(AssistantUnavailable):
    reason = "attempt_missing"


class AssistantMissing(AssistantUnavailable):
    """Backboard does not have the assistant of the user's row."""

    reason = "assistant_missing"
    is_transient = False


class IdTaken(AssistantUnavailable):
    # Backboard answered with an id that another row holds.
    reason = "backboard_id_twice"


class Rejected(AssistantUnavailable):
    """Backboard refused; nothing was made. `answer_status` is its answer."""

    reason = "backboard_refused"
    is_transient = False

    def __init__(self, answer_status: int) -> None:
        super().__init__()
        self.answer_status = answer_status

    @property
    def refuses_key(self) -> bool:
        """Whether the key or the account is refused, so that every call would be."""
        return self.answer_status in (401, 402, 403)

    @property
    def is_misconfiguration(self) -> bool:
        """Whether a person has to look: the key, the account, or an address that is not Backboard's API."""
        status = self.answer_status
        return self.refuses_key or status == HTTPStatus.NOT_FOUND or status < HTTPStatus.BAD_REQUEST


class NotSent(AssistantUnavailable):
    """The request never reached Backboard, so it may be repeated."""

    reason = "backboard_unreachable"


class CertificateRejected(NotSent):
    """Backboard's certificate is not trusted, expired or another host's."""

    reason = "backboard_certificate"


class NoFreeConnection(NotSent):
    # Our own were all in use, which says nothing about Backboard.
    reason = "backboard_saturated"
    is_outage = True


class Throttled(AssistantUnavailable, ThrottledBy):
    reason = "backboard_throttled"
    is_outage = True


class OutcomeUnknown(AssistantUnavailable):
    # Backboard may have done what was asked; only a look at Backboard can tell.
    reason = "backboard_error"
