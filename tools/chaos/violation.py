"""A broken promise."""

from typing import NamedTuple


class Violation(NamedTuple):
    """`kind` is one of those in `checker`; `what` holds ids only."""

    kind: str
    what: str
