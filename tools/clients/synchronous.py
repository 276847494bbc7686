"""The synchronous Python client, made of the asynchronous one: the same lines without await."""

import re

_WORDS = {
    r"async def ": "def ",
    r"async with ": "with ",
    r"await ": "",
    r"\bAsyncClient\b": "Client",
    r"\bAsyncBaseTransport\b": "BaseTransport",
    r"\bAwaitable\[(\w+)\]": r"\1",
    r"\bAwaitable, ": "",
    r"\b__a(enter|exit)__\b": r"__\1__",
    r"\baclose\b": "close",
    r"\basyncio\b": "time",
    r"\bAn asynchronous client\b": "A client",
}
_HEAD = "# Generated from asynchronous.py by `./dev clients`.\n"


def synchronous(text: str) -> str:
    """The text of the module that waits by blocking."""
    for asynchronous, blocking in _WORDS.items():
        text = re.sub(asynchronous, blocking, text)
    return _HEAD + text
