"""How much time a request has left."""

from time import monotonic

from app.errors import DeadlineExceeded

# Clerk's sender gives up after 15 s and punishes a timeout more than a 503, so every request is answered
# within 12 s (Svix documentation, retries). One second of them is kept for rolling back and answering.
REQUEST_SECONDS = 11.0


class Deadline:
    """A point in monotonic time to which every wait of one request is cut."""

    def __init__(self, seconds: float = REQUEST_SECONDS) -> None:
        self._at = monotonic() + seconds

    def left(self, limit: float, *, at_least: float = 0.05) -> float:
        """Seconds that a step may take: its own limit, or what is left; DeadlineExceeded below `at_least`."""
        seconds = min(limit, self._at - monotonic())
        if seconds < at_least:
            raise DeadlineExceeded
        return seconds
