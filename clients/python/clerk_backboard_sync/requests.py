"""The parts of a request: the address of the service, paths, ids and the token."""

import uuid
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from .types import MessageRequest


def checked_url(url: str) -> str:
    """The address without a slash at its end; ValueError if it is no http address."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError("the address of the service is http:// or https:// and a host")
    return url.rstrip("/")


def path(*segments: str) -> str:
    """A path of segments; ValueError for one that would lead elsewhere."""
    if {"", ".", ".."} & set(segments):
        raise ValueError("an id is neither empty nor made of dots")
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


def bearer(token: str) -> dict[str, str]:
    """The header of a token; ValueError, which does not show it, for one that no header takes."""
    if not token.isascii() or not token.isprintable() or not token or " " in token:
        raise ValueError("the token is empty or has characters that no token has")
    return {"Authorization": f"Bearer {token}"}


def with_id(message: MessageRequest) -> MessageRequest:
    """The message under an id of its own, if it has none, so that it may be sent again."""
    return message if message.get("id") else {**message, "id": str(uuid.uuid4())}


def given(**parameters: str | int | None) -> Mapping[str, str | int]:
    """The parameters of a query that are not None."""
    return {name: value for name, value in parameters.items() if value is not None}
