"""The API's document, without what no client's types depend on."""

from collections.abc import Iterator
from typing import Any

from app.api.openapi import document
from app.application import create_app
from app.settings import Settings

Json = dict[str, Any]

# A code or an example more makes no client stale.
_LEFT_OUT = {"x-codes", "examples", "webhooks"}
# A service needs them, and none is used: the application never starts.
_NOWHERE: Json = {
    "DATABASE_URL": "postgresql://app@/app?host=/nowhere",
    "backboard_api_key": "no-key-of-an-account",
    "clerk_webhook_signing_secret": "whsec_bm90IGEgc2VjcmV0LCBhIHBsYWNl",
    "service_tokens": "no-token-of-a-service",
}


def described() -> Json:
    """The document of the routes, with the summaries and descriptions of what a caller sends and gets."""
    settings = Settings(_env_file=None, **_NOWHERE)  # type: ignore[call-arg]  # pydantic-settings has it.
    trimmed: Json = _without(document(create_app(settings).routes))
    for operation in operations(trimmed):
        for answer in operation["responses"].values():
            answer["description"] = answer["description"].partition("\n")[0]
    return trimmed


def operations(document: Json) -> Iterator[Json]:
    """Every operation of a path."""
    for item in document["paths"].values():
        yield from (operation for method, operation in item.items() if method != "parameters")


def for_callers(document: Json) -> Iterator[Json]:
    """The operations that take a token; Clerk's webhook and the probes have other callers."""
    yield from (operation for operation in operations(document) if operation["security"])


def _without(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _without(value) for name, value in part.items() if name not in _LEFT_OUT}
    return [_without(value) for value in part] if isinstance(part, list) else part
