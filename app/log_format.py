"""A line of the log as text: logfmt, JSON, or for a terminal; always a single line of printable ASCII."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Literal

import orjson

Fields = dict[str, Any]
Format = Literal["logfmt", "json", "console"]

VALUE_LENGTH = 200

# A value that logfmt needs no quotes for: printable ASCII without blank, quote, equals sign and backslash.
_is_plain = re.compile(r"[!#-<>-\[\]-~]{1,200}").fullmatch
_COLORS = {"warning": "33", "error": "31", "critical": "31"}

# The order of the fields; all others follow.
_ORDER = ("timestamp", "level", "event", "outcome", "status", "reason", "type", "clerk_id", "assistant_id")


def renderer(log_format: Format, *, colors: bool) -> Callable[[Fields], bytes]:
    """The function that renders a line; `colors` are for a terminal."""
    return partial(_console, colors=colors) if log_format == "console" else _RENDERERS[log_format]


def clean(value: Any) -> Any:
    """A value that is short, ASCII and free of line ends and of what controls a terminal."""
    if value is None or isinstance(value, (int, float)):
        return value
    text = value if isinstance(value, str) else str(value)
    # Cut before escaping, so that a huge value costs nothing, and after it, since escapes are longer.
    kept = text[:VALUE_LENGTH]
    if not (kept.isascii() and kept.isprintable()):
        kept = kept.encode("unicode_escape").decode("ascii")
    if len(kept) > VALUE_LENGTH or len(text) > VALUE_LENGTH:
        return kept[: VALUE_LENGTH - 3] + "..."
    return kept


@lru_cache(maxsize=256)
def _ordered(names: tuple[str, ...]) -> Sequence[str]:
    return [name for name in _ORDER if name in names] + [name for name in names if name not in _ORDER]


def _logfmt(line: Fields) -> bytes:
    return " ".join([f"{name}={_logfmt_value(line[name])}" for name in _ordered(tuple(line))]).encode()


def _logfmt_value(value: Any) -> str:
    """In quotes where a character of the value would end it or look like another field."""
    if isinstance(value, str) and _is_plain(value):
        return value
    cleaned = clean(value)
    if isinstance(cleaned, str):
        return cleaned if _is_plain(cleaned) else '"' + cleaned.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return "" if cleaned is None else str(cleaned).lower()


def _json(line: Fields) -> bytes:
    return orjson.dumps({name: clean(line[name]) for name in _ordered(tuple(line))})


def _console(fields: Fields, *, colors: bool) -> bytes:
    """The time, the level and the event first, then all else as in logfmt."""
    rest = dict(fields)
    head = f"{rest.pop('timestamp')} {rest.pop('level'):<8} {clean(rest.pop('event'))}"
    color = _COLORS.get(fields["level"]) if colors else None
    return b" ".join([(f"\033[{color}m{head}\033[0m" if color else head).encode(), _logfmt(rest)])


_RENDERERS: Mapping[Format, Callable[[Fields], bytes]] = {"logfmt": _logfmt, "json": _json}
