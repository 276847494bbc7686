"""Everything this service can fail with, as a tree.

ServiceError
├── BadSignature                 the webhook's sender does not hold our signing secret (400)
├── InvalidRequest               a body, parameter or header that cannot be used (422)
│   └── InvalidEvent             signed by Clerk, but not a usable event
├── NotFound                     not there, or another user's (404)
├── UserDeleted                  its user was deleted (410)
├── TooManyRequests              a signed-in user asks for more than the settings allow (429)
└── Unavailable                  may heal; the caller should try again (503)
    ├── DeadlineExceeded         the request's time is over
    ├── DatabaseUnavailable      Postgres did not do what was asked
    │   ├── DatabaseOutage       DatabaseDown, SchemaMissing, PoolSaturated
    │   └── DatabaseSlow, DatabaseConflict, LockTimeout, ConstraintViolated
    └── AssistantUnavailable     the user's assistant or thread could not be made ready
        ├── CircuitOpen, ProvisioningSaturated, AttemptMissing, IdTaken
        ├── AssistantMissing     Backboard has no such assistant, or its key is another account's
        ├── Rejected             Backboard said no: nothing was made
        ├── NotSent              nothing reached Backboard
        ├── Throttled            Backboard said later (429)
        └── OutcomeUnknown       Backboard may have done what was asked

Every class has a `reason`, a word for the log, explained in `app.reasons`; where several causes share a class, the
instance says which. No error carries a driver's message, since those quote rows, hosts and addresses.
"""

from app.errors.outages import (
    AssistantMissing,
    AssistantUnavailable,
    AttemptMissing,
    CertificateRejected,
    CircuitOpen,
    ConstraintViolated,
    DatabaseConflict,
    DatabaseDown,
    DatabaseOutage,
    DatabaseSlow,
    DatabaseUnavailable,
    DeadlineExceeded,
    IdTaken,
    LockTimeout,
    NoFreeConnection,
    NotSent,
    OutcomeUnknown,
    PoolSaturated,
    ProvisioningSaturated,
    Rejected,
    SchemaMissing,
    Throttled,
    ThrottledBy,
    Unavailable,
)
from app.errors.refusals import (
    BadSignature,
    Fault,
    InvalidEvent,
    InvalidRequest,
    NotFound,
    ServiceError,
    TooManyRequests,
    UserDeleted,
)

__all__ = [
    "AssistantMissing",
    "AssistantUnavailable",
    "AttemptMissing",
    "BadSignature",
    "CertificateRejected",
    "CircuitOpen",
    "ConstraintViolated",
    "DatabaseConflict",
    "DatabaseDown",
    "DatabaseOutage",
    "DatabaseSlow",
    "DatabaseUnavailable",
    "DeadlineExceeded",
    "Fault",
    "IdTaken",
    "InvalidEvent",
    "InvalidRequest",
    "LockTimeout",
    "NoFreeConnection",
    "NotFound",
    "NotSent",
    "OutcomeUnknown",
    "PoolSaturated",
    "ProvisioningSaturated",
    "Rejected",
    "SchemaMissing",
    "ServiceError",
    "Throttled",
    "ThrottledBy",
    "TooManyRequests",
    "Unavailable",
    "UserDeleted",
]
