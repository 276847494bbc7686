"""The root of all errors, and what a request is refused for: 400 to 429."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple


class Fault(NamedTuple):
    """One place of a request that cannot be used: a member of the body or a parameter.

    `pointer` is a JSON pointer as a URI fragment (RFC 6901), `parameter` the name of a header or of a part of path or
    query; neither, where the place has no name of ours. `detail` says what is wrong, without a value of the request;
    empty, the meaning of the reason says it.
    """

    detail: str = ""
    pointer: str | None = None
    parameter: str | None = None


class ServiceError(Exception):
    """What the service knows how to answer; any other exception is a bug and is logged as one."""

    reason: str
    status: HTTPStatus
    # The places of the request that are the reason, where they can be named.
    faults: Sequence[Fault] = ()

    def __init__(self, reason: str | None = None) -> None:
        if reason is not None:
            self.reason = reason
        super().__init__(self.reason)


class BadSignature(ServiceError):
    """Anything wrong with a webhook's headers or signature."""

    status = HTTPStatus.BAD_REQUEST
    reason = "signature"


class InvalidRequest(ServiceError):
    """A body, a parameter or a header that cannot be used; `faults` say where, if a place can be named."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    reason = "shape"

    def __init__(self, reason: str | None = None, *faults: Fault) -> None:
        super().__init__(reason)
        self.faults = faults


class InvalidEvent(InvalidRequest):
    """An event with a good signature that cannot be used."""


class NotFound(ServiceError):
    """Not there, or another user's; the caller is not told which."""

    status = HTTPStatus.NOT_FOUND
    reason = "missing"


class UserDeleted(ServiceError):
    """The user was deleted; their data is out of reach."""

    status = HTTPStatus.GONE
    reason = "deleted"


class TooManyRequests(ServiceError):
    """A signed-in user has asked too often; `retry_after` is in seconds."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    reason = "rate_limited"

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after
