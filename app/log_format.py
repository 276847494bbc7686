"""A line of the log as text: in logfmt, as JSON, or for a person at a terminal; always one line of printable ASCII."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Literal

import orjson

Fields = dict[str, Any]
Format = Literal["logfmt", "json", "console"]

VALUE_LENGTH = 200

# What stands in logfmt as it is: printable ASCII without blank, quote, equals sign and backslash.
_PLAIN = r"[!#-<>-\[\]-~]{1,200}"
_is_plain = re.compile(_PLAIN).fullmatch
# A whole line of nothing else, where no value is one for which logfmt has another word than Python.
_is_plain_line = re.compile(rf"(?:[a-z_]+=(?!None\b|True\b|False\b){_PLAIN}(?: (?!\Z)|\Z))+").fullmatch
_COLORS = {"warning": "33", "error": "31", "critical": "31"}

# The order in which a person reads a line; whatever else there is comes behind.
_ORDER = ("timestamp", "level", "event", "outcome", "status", "reason", "type", "clerk_id", "assistant_id")


def renderer(log_format: Format, *, colors: bool) -> Callable[[Fields], bytes]:
    """What makes a line of its fields; colors are for a person."""
    return partial(_console, colors=colors) if log_format == "console" else _RENDERERS[log_format]


def _clean(value: Any) -> Any:
    """A value that is short, ASCII and free of what ends a line or steers a terminal."""
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


@lru_cache(maxsize=256)
def _form(names: tuple[str, ...]) -> str:
    return " ".join([f"{name}=%({name})s" for name in _ordered(names)])


def _logfmt(line: Fields) -> bytes:
    """Most lines are plain, and to see that they are, when they are written, is half the work of looking before."""
    form = _form(tuple(line))
    text = form % line
    # A blank or an equals sign in a value makes another field of it, or none.
    if not _is_plain_line(text) or text.count("=") != len(line):
        text = form % {name: _logfmt_value(value) for name, value in line.items()}
    return text.encode()


def _logfmt_value(value: Any) -> str:
    """In quotes where a blank, an equals sign or a quote would end it or look like a field."""
    cleaned = _clean(value)
    if isinstance(cleaned, str):
        return cleaned if _is_plain(cleaned) else '"' + cleaned.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return "" if cleaned is None else str(cleaned).lower()


def _json(line: Fields) -> bytes:
    return orjson.dumps({name: _clean(line[name]) for name in _ordered(tuple(line))})


def _console(fields: Fields, *, colors: bool) -> bytes:
    """For a person at a terminal: the time, the level, the event, and the rest as in logfmt."""
    shown = dict(fields)
    head = f"{shown.pop('timestamp')} {shown.pop('level'):<8} {_clean(shown.pop('event'))}"
    color = _COLORS.get(fields["level"]) if colors else None
    return b" ".join([(f"\033[{color}m{head}\033[0m" if color else head).encode(), _logfmt(shown)])


_RENDERERS: Mapping[Format, Callable[[Fields], bytes]] = {"logfmt": _logfmt, "json": _json}
