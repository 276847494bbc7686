"""A row of the table of reasons."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """`status` is what the caller gets, `meaning` one sentence, `remedy` what an operator does; empty: nothing.

    `caller` is what a program does that gets it as `code`; empty: what it does for every answer of this status.
    """

    status: str
    meaning: str
    remedy: str = ""
    caller: str = ""

    @property
    def for_caller(self) -> str:
        return self.caller or _FOR_CALLERS[self.status]


_FOR_CALLERS: Mapping[str, str] = {
    "400": "Correct the request.",
    "401": "Send a valid token.",
    "403": "Ask for the token's own user.",
    "404": "Do not ask again.",
    "405": "Use a method of the Allow header.",
    "408": "Send the request again, faster.",
    "409": "Correct the request.",
    "410": "Stop asking for this user.",
    "413": "Send less at a time, for instance several batches.",
    "415": "Send application/json without a content encoding.",
    "422": "Correct what `errors` names; repeating it unchanged does not help.",
    "429": "Wait `Retry-After` seconds and ask again.",
    "431": "Send fewer or shorter headers.",
    "499": "There is no answer.",
    "500": "Report it with the request id; what was asked for may have been done or not.",
    "503": "Wait `Retry-After` seconds and ask again.",
}
