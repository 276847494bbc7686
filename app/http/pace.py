"""How fast a client takes its answers, and when that is too slow.

uvicorn knows no limit. A client that takes nothing keeps its connection for 10 s; one that takes a little now and then
would keep it, and what waits for it, for as long as it likes.
"""

import fcntl
import socket
import sys
import termios

# How long a client may leave an answer unread without taking a single byte.
UNREAD_SECONDS = 10.0
# How much it has to take in how many seconds while there is more for it: 3 KB/s. The kernel
# tells of what was taken in steps of up to 64 KB.
PACE_SECONDS, PACE_BYTES = 30.0, 96 * 1024


class ReadingPace:
    """The pace of one client, looked at about once a second; times are the event loop's."""

    def __init__(self) -> None:
        self._taken = self._taken_before = 0
        self._unread_deadline = self._due_at = float("inf")

    def is_too_slow(self, now: float, *, written: int, unsent: int) -> bool:
        """Whether to end the connection. Of all bytes that were written to it, so many have not arrived yet."""
        taken = written - unsent
        has_moved, self._taken = taken != self._taken, taken
        if unsent == 0:
            self._unread_deadline = self._due_at = float("inf")
            return False
        if has_moved or self._unread_deadline == float("inf"):
            self._unread_deadline = now + UNREAD_SECONDS
        if self._due_at == float("inf"):
            self._start(now)
        elif now >= self._due_at:
            if taken - self._taken_before < PACE_BYTES:
                return True
            self._start(now)
        return now >= self._unread_deadline

    def _start(self, now: float) -> None:
        self._taken_before, self._due_at = self._taken, now + PACE_SECONDS


def unacknowledged_bytes(wire: socket.socket) -> int:
    """What the kernel has been given and the client has not acknowledged: up to 4 MB, which take a minute at 60 KB/s.

    Only then does the kernel take more from us. Always 0 on macOS, where no ioctl tells.
    """
    try:
        return int.from_bytes(fcntl.ioctl(wire.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        return 0
