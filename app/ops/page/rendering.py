"""Pages and JSON: Jinja's templates with autoescape, the words for times, and the headers that every answer has."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.templating import Jinja2Templates
from starlette.types import Scope

from app.ops.models import DeliveryCursor
from app.ops.page.cursors import write_cursor
from app.ops.words import ago, plural, reason_of

FOLDER = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    # The same address answers with HTML and with JSON.
    "Vary": "Accept, Authorization",
}
MINUTE = 60
JSON_OPTIONS = orjson.OPT_NON_STR_KEYS


class Pages:
    """Renders the templates, which are read once; a name that a template misspells is an error."""

    def __init__(self) -> None:
        environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {"since": _since, "moment": _moment, "iso": _iso, "length": _length, "count": plural}
        environment.filters |= {"cursor": _cursor, "size": len, "code": _with_code}
        environment.globals |= {"reason_of": reason_of, "now": lambda: datetime.now(UTC)}
        self._templates = Jinja2Templates(env=environment)

    def render(
        self,
        scope: Scope,
        template: str,
        context: Mapping[str, Any],
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """A page as HTML."""
        whole = {"path": scope["path"], **context}
        return self._templates.TemplateResponse(
            Request(scope), template, whole, status_code=status, headers=HEADERS | dict(headers or {})
        )


def answer_json(content: object) -> Response:
    """Dataclasses with the names of their members; times in RFC 3339."""
    body = orjson.dumps(content, default=_as_dict, option=JSON_OPTIONS)
    return Response(body, headers=HEADERS, media_type="application/json")


def redirect(path: str) -> Response:
    """After a form, so that a reload does not send it again."""
    return RedirectResponse(path, status_code=303, headers=HEADERS)


def _as_dict(value: Any) -> Any:
    """A named tuple, such as a user's row."""
    return value._asdict()


def _since(at: datetime) -> str:
    seconds = (datetime.now(UTC) - at).total_seconds()
    return ago(seconds) if seconds >= MINUTE else "just now"


def _length(seconds: float) -> str:
    """`3 minutes`."""
    return ago(seconds).removesuffix(" ago") if seconds >= MINUTE else "a moment"


def _moment(at: datetime) -> str:
    """`27 November 14:02:05`, in UTC, with the year where it is another."""
    at = at.astimezone(UTC)
    year = "" if at.year == datetime.now(UTC).year else f" {at.year}"
    return f"{at.day} {at:%b}{year} {at:%H:%M:%S}"


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")


def _with_code(text: str) -> Markup:
    """A sentence of ours with what stands between backticks as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    )


def _cursor(cursor: DeliveryCursor) -> str:
    return write_cursor([cursor.last_at.isoformat(), cursor.svix_id])
