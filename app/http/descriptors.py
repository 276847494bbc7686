"""File descriptors: every connection takes one, and where none is left the kernel's queue is emptied all the same.

libuv accepts and closes the clients that wait, so each is reset without a word.
"""

import errno
import os
import resource
from contextlib import suppress
from time import monotonic

from app import log

# While it lasts, a line is written once in this time.
REPEAT_SECONDS = 60.0


def raise_limit() -> None:
    """Allow as many descriptors as the system lets this process have; what it allows by default may be 256 or 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # macOS calls its hard limit infinite, and refuses to set it.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class DescriptorWatch:
    """Says in the log when none is left; `look` costs a system call or two, and is made once a second."""

    def __init__(self) -> None:
        self._silent_until = float("-inf")

    def look(self, connections: int) -> None:
        """Write a line if no descriptor is left; `connections` is how many clients are connected."""
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or monotonic() < self._silent_until:
                return
            self._silent_until = monotonic() + REPEAT_SECONDS
            allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            hint = "clients are reset meanwhile; raise the limit (ulimit -n) or start more processes"
            log.error("out_of_descriptors", connections=connections, allowed=allowed, hint=hint)
