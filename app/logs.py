"""The log: one closing line per request on stdout, in the format of the settings, and nothing personal in it.

What a request learns on its way is noted in the fields of its closing line (`note`, `stopwatch`); a flight that
runs in a task of its own notes into the line of the request that started it.
"""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Literal, TextIO

import orjson
import structlog

Fields = dict[str, Any]
Format = Literal["logfmt", "json", "console"]

VALUE_LENGTH = 200

_fields: ContextVar[Fields | None] = ContextVar("fields", default=None)

# The order in which a person reads a line; whatever else there is comes behind.
_ORDER = ("timestamp", "level", "event", "outcome", "status", "reason", "type", "clerk_id", "assistant_id")


def configure(log_format: Format, level: str, *, stream: TextIO = sys.stdout) -> None:
    """Send our lines and everybody else's log records to one stream, in one format."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    structlog.configure(
        processors=[structlog.processors.add_log_level, stamp, _clean, *_renderer(log_format, colors=stream.isatty())],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.BytesLoggerFactory(stream.buffer),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_anonymous, stamp],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _clean,
                *_renderer(log_format, colors=stream.isatty())[:-1],
                _to_text(log_format),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=threshold, force=True)
    for chatty in ("httpx", "httpcore", "psycopg", "asyncio"):
        # httpx prints URLs at INFO.
        logging.getLogger(chatty).setLevel(max(threshold, logging.WARNING))


def begin(request_id: str) -> Fields:
    """Start the line of this request; everything noted from here on lands in the returned fields."""
    fields: Fields = {"request_id": request_id}
    _fields.set(fields)
    return fields


def note(**fields: Any) -> None:
    """Add fields to the closing line of the request under way, if there is one."""
    line = _fields.get()
    if line is not None:
        line.update(fields)


def close(fields: Fields, status: int) -> None:
    """Write the closing line of a request."""
    log = structlog.get_logger()
    level = logging.INFO if status < 500 else logging.WARNING  # noqa: PLR2004  # HTTP's own number.
    log.log(level, fields.pop("event", "request"), **fields)


def say(event: str, **fields: Any) -> None:
    """A line about the process, not about a request."""
    structlog.get_logger().info(event, **fields)


def warn(event: str, **fields: Any) -> None:
    """A line for what may go wrong later."""
    structlog.get_logger().warning(event, **fields)


def alarm(event: str, **fields: Any) -> None:
    """A line for what a person has to mend."""
    structlog.get_logger().error(event, **fields)


def bug(error: BaseException) -> None:
    """A line for what nobody thought of: the class and the place, never the message, which may quote a row."""
    request_id = (_fields.get() or {}).get("request_id")
    place = _place(error.__traceback__)
    structlog.get_logger().error("bug", error=type(error).__name__, place=place, request_id=request_id)


class stopwatch:  # noqa: N801  # Used like a function: `with stopwatch("db_ms")`.
    """Adds the milliseconds of its block to a field of the closing line."""

    __slots__ = ("_key", "_started")

    def __init__(self, key: str) -> None:
        self._key = key

    def __enter__(self) -> None:
        self._started = perf_counter()

    def __exit__(self, *_: object) -> None:
        line = _fields.get()
        if line is not None:
            spent = (perf_counter() - self._started) * 1000
            line[self._key] = round(line.get(self._key, 0.0) + spent, 1)


def _place(traceback: TracebackType | None) -> str:
    if traceback is None:
        return "unknown"
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{Path(traceback.tb_frame.f_code.co_filename).name}:{traceback.tb_lineno}"


def _clean(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Every value short, ASCII and free of what ends a line or steers a terminal."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _cleaned(value)
        elif not isinstance(value, bool | int | float | None):
            event[key] = _cleaned(str(value))
    return event


def _cleaned(value: str) -> str:
    # Cut before escaping, so that a huge value costs nothing, and after it, since escapes are longer.
    kept = value[:VALUE_LENGTH]
    if not (kept.isascii() and kept.isprintable()):
        kept = kept.encode("unicode_escape").decode("ascii")
    if len(kept) > VALUE_LENGTH or len(value) > VALUE_LENGTH:
        return kept[: VALUE_LENGTH - 3] + "..."
    return kept


def _anonymous(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Other people's records: level and logger, and their text only where it is known to be harmless.

    psycopg's texts name hosts, users and values; an exception's message may quote anything.
    """
    record: logging.LogRecord = event["_record"]
    kept: dict[str, Any] = {"_record": record, "_from_structlog": False}
    kept["level"] = record.levelname.lower()
    harmless = record.name.startswith("uvicorn") and not record.exc_info
    kept["event"] = event["event"] if harmless else record.name
    if record.name == "psycopg.pool" and (reason := getattr(record, "reason", None)):
        kept["reason"] = reason  # The words of app.database, not the pool's own.
    if record.exc_info and record.exc_info[1] is not None:
        kept["error"] = type(record.exc_info[1]).__name__
        kept["place"] = _place(record.exc_info[2])
    return kept


def _renderer(log_format: Format, *, colors: bool) -> list[Any]:
    """The last processors: they turn the fields into one line of bytes."""
    if log_format == "json":
        return [_ordered, _render_json]
    if log_format == "console":
        return [structlog.dev.ConsoleRenderer(colors=colors), _encode]
    renderer = structlog.processors.LogfmtRenderer(key_order=_ORDER, drop_missing=True, bool_as_flag=False)
    return [renderer, _encode]


def _to_text(log_format: Format) -> Any:
    """The stdlib's handlers want text where ours want bytes."""
    if log_format == "json":
        return lambda _, __, event: orjson.dumps(event).decode()
    return lambda _, __, text: text


def _ordered(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {key: event[key] for key in _ORDER if key in event} | dict(event)


def _render_json(_: Any, __: str, event: MutableMapping[str, Any]) -> bytes:
    return orjson.dumps(event)


def _encode(_: Any, __: str, text: str) -> bytes:
    return text.encode()
