"""The way out of a connection: how an answer leaves."""

from typing import Any


class Outlet:
    """What uvicorn's request cycle uses of a transport: the head of an answer leaves with the first of its body.

    Two writes would be two system calls, and they cost as much as everything else a bare application does.
    """

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._transport = protocol.transport
        self._head = b""
        self.is_closing = protocol.transport.is_closing

    def write(self, data: bytes) -> None:
        """Keep the head of an answer, and send everything else."""
        if self._head:
            data, self._head = self._head + data, b""
        elif self._protocol.cycle.response_started:
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Send a head that no body came for."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        """End the connection as its protocol does."""
        self.flush()
        self._protocol.close_or_linger()
