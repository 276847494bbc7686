"""When Clerk was last heard of: a webhook that is no longer delivered makes no error, only silence."""

from time import monotonic


class LastEvent:
    """What this process remembers; another process, or the one before a restart, may have heard more."""

    def __init__(self) -> None:
        self._at: float | None = None

    def note(self) -> None:
        """An event has just come whose signature is Clerk's, whatever becomes of it."""
        self._at = monotonic()

    def age_seconds(self) -> int | None:
        """Whole seconds since then; None when nothing was heard since the start."""
        return None if self._at is None else int(monotonic() - self._at)
