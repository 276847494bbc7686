"""Where processes run: servers on one core, load, Postgres and Backboard on the others."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

# Only Linux can be told where a process runs.
_CAN_PLACE = hasattr(os, "sched_setaffinity")


@dataclass(frozen=True, slots=True)
class Cores:
    """The cores that the bench may use: the server's, and those of everything else."""

    server: frozenset[int]
    others: frozenset[int]

    @classmethod
    def here(cls) -> Self:
        """As this program finds them, so before it places anything."""
        first, *rest = sorted(os.sched_getaffinity(0)) if _CAN_PLACE else range(os.cpu_count() or 1)
        return cls(frozenset([first]), frozenset(rest or [first]))

    def __str__(self) -> str:
        if not _CAN_PLACE:
            return f"{len(self.server | self.others)} cores; nothing is pinned on this system"
        if self.server == self.others:
            return "1 core shared by everything: no figure here is worth much"
        return f"server pinned to core {_names(self.server)}; load, Postgres and Backboard to {_names(self.others)}"


@contextmanager
def placed_on(cores: frozenset[int]) -> Iterator[None]:
    """Run this thread, and every process that it starts inside, on these cores."""
    if not _CAN_PLACE:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _names(cores: frozenset[int]) -> str:
    return ", ".join(str(core) for core in sorted(cores))
