"""What is not known of the live Backboard, as switches."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

TIMESTAMPS: dict[str, Callable[[datetime], str]] = {
    "z": lambda when: when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    "offset": lambda when: when.isoformat(timespec="milliseconds"),
    "naive": lambda when: when.replace(tzinfo=None).isoformat(timespec="milliseconds"),
    "microseconds": lambda when: when.isoformat(timespec="microseconds").replace("+00:00", "Z"),
}


@dataclass(slots=True)
class Switches:
    """What is not known of the live service, to be set by a test or a person."""

    create_status: int = 200
    name_filter: bool = True
    visible_after: float = 0.0
    # Whether a listing of threads shows their messages: all of them, an empty array for each, or no such member. The
    # vendor's document promises them for one thread alone.
    listed_messages: Literal["shown", "empty", "absent"] = "shown"
    order: Literal["ascending", "descending", "random"] = "ascending"
    seed: int = 0
    echo_description: bool = False
    timestamps: Literal["z", "offset", "naive", "microseconds"] = "z"
    clamp_paging: bool = False
    extra_fields: bool = False
    # What POST /threads/messages answers: the turn's messages, the reply last; or the reply alone, as the older route
    # does. Backboard's SDK takes both.
    message_answer: Literal["messages", "reply"] = "messages"
    # Seconds between two events of a stream.
    stream_pace: float = 0.0
    latency: float = 0.0
    idle_seconds: float = 60.0

    def spell(self, when: datetime) -> str:
        """A timestamp as the live service might spell it."""
        return TIMESTAMPS[self.timestamps](when)
