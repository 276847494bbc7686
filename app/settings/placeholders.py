"""Values that stand for others: a reference that was not replaced, a mask, a word of a documentation. No I/O."""

import re
from typing import Literal

# What a host, a shell or a template would have replaced: ${{Postgres.URL}}, ${URL}, $(cat url), $URL, {{ url }}, %URL%;
# <url> of a documentation.
_VARIABLE = r"\$\{.*\}|\$\(.*\)|\$[A-Za-z_]\w*"
_REFERENCE = rf"{_VARIABLE}|\{{\{{.*\}}\}}|%[A-Za-z_]\w*%|<[^<>]+>"
# A dashboard shows a secret as dots or stars.
_MASK = r"[*\u2022\u25cf]{3,}"
_WORDS = (
    r"((change|replace|fill|insert)[-_ ]?(me|this|it|in|here)[-_ !]*)+|[xX.\u2026_-]{3,}"
    r"|to-?do|tbd|placeholder|undefined|null|none"
)
# Not in an address: my-db is a good name for a machine.
_MINE = (
    r"(your|my)([-_ ]?(own|real|actual|api|web|hook|webhook|signing|service|secret|private|public|publishable|key|token"
    r"|jwt|password|passwd|clerk|backboard|sentry|database|db|postgres|url|uri|dsn|address|host|domain|instance|issuer|id"
    r"|name|user|username|value|text|here|goes|test|live|\d{1,3}))+"
)
# What stands in front of a key or an address also where the rest was left open.
_WHOLE = re.compile(
    rf"((sk_(test|live)_|whsec_)?\[?({_REFERENCE}|{_MASK}|{_WORDS}|{_MINE})\]?"
    rf"|(postgres(ql)?|https?)://\[?({_REFERENCE}|{_MASK}|{_WORDS})\]?)/?",
    re.IGNORECASE | re.DOTALL,
)
_PART = re.compile(rf"{_REFERENCE}|{_MASK}|\[[A-Za-z][\w -]*\]")
# As in libpq, the user and the password end at the first @ before any slash.
_ADDRESS = re.compile(r"\w+://(?:(?P<user>[^:@/]*)(?::(?P<password>[^@/]*))?@)?(?P<rest>[^?]*)")


def is_placeholder(text: str) -> bool:
    """Whether all of the value is one."""
    return _WHOLE.fullmatch(text) is not None


def find_placeholder(address: str) -> Literal["password", "part"] | None:
    """Whether the user, the password, a host, a port or the database of an address is one, whole.

    `password` where it alone looks like a variable, which a password may do.
    """
    found = _ADDRESS.match(address)
    if found is None:
        return None
    password = found["password"] or ""
    others = [found["user"] or "", *re.split(r"[,:/]", found["rest"])]
    if any(_PART.fullmatch(part) for part in others):
        return "part"
    if _PART.fullmatch(password):
        return "password" if re.fullmatch(_VARIABLE, password) else "part"
    return None
