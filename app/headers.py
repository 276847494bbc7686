"""The headers of a request by their names, counted and found as they came."""

from collections.abc import Sequence

from starlette.types import Scope

HEAD_BYTES = 32 * 1024
HEAD_FIELDS = 100

_BY_NAME = "app.headers"


def index_headers(scope: Scope) -> int:
    """Prepare `headers_named`; returns how many bytes the names and values are."""
    by_name: dict[bytes, list[bytes]] = {}
    size = 0
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name in by_name:
            by_name[name].append(value)
        else:
            by_name[name] = [value]
    scope[_BY_NAME] = by_name
    return size


def headers_named(scope: Scope, name: bytes) -> Sequence[bytes]:
    """All values of a header; a dict of single values would hide that it stands twice."""
    values: Sequence[bytes] = scope[_BY_NAME].get(name, ())
    return values
