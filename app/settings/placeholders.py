"""Values that stand for others: a reference that was not replaced, a mask, a word of a documentation. No I/O."""

import re

# What a host, a shell or a template would have replaced: ${{Postgres.URL}}, ${URL}, $(cat url), $URL, {{ url }}, %URL%;
# <url> of a documentation.
_REFERENCE = r"\$\{.*\}|\$\(.*\)|\$[A-Za-z_]\w*|\{\{.*\}\}|%[A-Za-z_]\w*%|<[^<>]+>"
# A dashboard shows a secret as dots or stars.
_MASK = r"[*\u2022\u25cf]{3,}"
_WORDS = (
    r"((change|replace|fill|insert)[-_ ]?(me|this|it|in|here)[-_ !]*)+|(your|my)[-_ ][\w -]*|[xX.\u2026_-]{3,}"
    r"|to-?do|tbd|placeholder|undefined|null|none"
)
# What stands in front of a key or an address also where the rest was left open.
_BEGINNING = r"(sk_(test|live)_|whsec_|postgres(ql)?://|https?://)?"
_WHOLE = re.compile(rf"{_BEGINNING}(\[?({_REFERENCE}|{_MASK}|{_WORDS})\]?)/?", re.IGNORECASE | re.DOTALL)
_PART = re.compile(rf"(?<=[/:@])({_REFERENCE}|{_MASK}|\[[A-Za-z][\w -]*\])(?=[:@/?]|$)")


def is_placeholder(text: str) -> bool:
    """Whether all of the value is one."""
    return _WHOLE.fullmatch(text) is not None


def has_placeholder(address: str) -> bool:
    """Whether the user, the password, the host or the database of an address is one, whole; a password may hold <>."""
    return _PART.search(address.partition("?")[0]) is not None
