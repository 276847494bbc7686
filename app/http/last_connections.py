"""The end of a listening socket that resets no client.

A client is connected once its side of the handshake is done, before ours is: on a socket that is closed then, it is
reset although it was never refused. So no handshake may begin while those under way end, and then the queue is emptied.
"""

import asyncio
import ctypes
import select
import socket
import struct
import sys
from contextlib import suppress

# How long handshakes under way may take to end: a round trip to a load balancer, or far beyond.
HANDSHAKE_SECONDS = 0.1

# Linux, asm-generic/socket.h; Python has no name for it.
_SO_ATTACH_FILTER = 26
# Classic BPF, linux/filter.h, from the TCP header on: code, jump if true, jump if false, operand. The kernel asks it
# about each packet to a listening socket; 0 drops the packet.
_NO_SYN = (
    (0x30, 0, 0, 13),  # The byte with the flags ...
    (0x54, 0, 0, 0x12),  # ... SYN and ACK ...
    (0x15, 0, 1, 0x02),  # ... of which only SYN is set: a client that begins.
    (0x06, 0, 0, 0),
    (0x06, 0, 0, 0x7FFFFFFF),
)


def refuse_new_connections(listening: socket.socket) -> None:
    """Begin no more handshakes, and end those under way. A client that asks now asks again after a second, by itself.

    By then the port is closed and refuses it. The rule holds for all processes that share the socket.
    """
    if sys.platform == "linux":
        program = b"".join(struct.pack("=HBBI", *instruction) for instruction in _NO_SYN)
        code = ctypes.create_string_buffer(program, len(program))
        with suppress(OSError):
            fprog = struct.pack("@HP", len(_NO_SYN), ctypes.addressof(code))
            listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)


async def take_last_connections(listening: socket.socket, *, seconds: float) -> None:
    """Let the loop accept all clients that the kernel has taken, for so many seconds at most."""
    loop = asyncio.get_running_loop()
    give_up_at, at_least_until = loop.time() + seconds, loop.time() + HANDSHAKE_SECONDS
    waiting = select.poll()
    waiting.register(listening, select.POLLIN)
    # The kernel's queue has no event of ours.
    while loop.time() < give_up_at:
        is_empty = not waiting.poll(0)
        if is_empty and loop.time() >= at_least_until:
            return
        await asyncio.sleep(0.01 if is_empty else 0)


def close_for_good(listening: socket.socket) -> None:
    """Refuse clients at once, also those whose first packet the filter has dropped."""
    with suppress(OSError):  # Not every system does this to a socket without a connection.
        listening.shutdown(socket.SHUT_RD)
