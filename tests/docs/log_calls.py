"""What the code can write into the log, read from its calls of `app.log`, its routes and its exceptions."""

import ast
from collections.abc import Iterator

from starlette.routing import Route

from app.api.auth import MethodRouter
from tests.docs.pages import ROOT
from tests.support import asgi

_TREES = [ast.parse(path.read_text()) for path in sorted((ROOT / "app").rglob("*.py"))]
# `log.info(...)`; inside app/log.py itself the functions have no prefix.
_LINES = {f"{prefix}{name}" for prefix in ("log.", "") for name in ("debug", "info", "warning", "error")}
_FIELDS = _LINES | {"log.bind"}
_TIMED = {"log.timed"}


def _calls(names: set[str]) -> Iterator[ast.Call]:
    for tree in _TREES:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
                yield node


def _words(node: ast.AST) -> set[str]:
    return {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def lines() -> set[str]:
    """The events of lines that are not a request's."""
    return set().union(*(_words(call.args[0]) for call in _calls(_LINES)))


def requests() -> set[str]:
    """The events of requests: what is bound, and the names of the handlers."""
    app = asgi.stranded_app()
    endpoints = [route.app for route in app.routes if isinstance(route, Route)]
    routers = [endpoint for endpoint in endpoints if isinstance(endpoint, MethodRouter)]
    page = asgi.stranded_app(OPS_TOKENS="a-password-of-24-letters")
    screens = {
        str(route.app.event) for route in page.routes if isinstance(route, Route) and hasattr(route.app, "event")
    }
    return screens | bound("event") | {handler.__name__ for router in routers for handler in router.endpoints.values()}


def bound(field: str) -> set[str]:
    """The words that a field of the closing line is given literally."""
    keywords = [keyword for call in _calls({"log.bind"}) for keyword in call.keywords if keyword.arg == field]
    return set().union(*(_words(keyword.value) for keyword in keywords))


def fields() -> set[str]:
    """The names of all fields that a call names."""
    named = {keyword.arg for call in _calls(_FIELDS) for keyword in call.keywords if keyword.arg is not None}
    return named | set().union(*(_words(call.args[0]) for call in _calls(_TIMED)))


def raised(error: str) -> set[str]:
    """The words that an exception of this name is raised with."""
    return set().union(*(_words(call.args[0]) for call in _calls({error})))
