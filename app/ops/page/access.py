"""Who may open the operations page, over which connection, and from where a button may be pressed."""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from typing import NamedTuple

from starlette.types import Scope

from app.http.requests import headers_named
from app.http.responses import CLOSE, HttpError
from app.postgres.text import storable_text
from app.settings import Settings

_BEARER = re.compile(rb"bearer +([!-~]+) *", re.IGNORECASE)
_BASIC = re.compile(rb"basic +([A-Za-z0-9+/]+={0,2}) *", re.IGNORECASE)
_CHALLENGE = (b"www-authenticate", b'Basic realm="operations", charset="UTF-8"')
NAME_LENGTH = 100
NO_NAME = "unnamed"
# What a proxy adds when it passes on a request that came over a network.
_FORWARDED = (b"x-forwarded-for", b"x-forwarded-host", b"forwarded", b"via")


@dataclass(frozen=True, slots=True)
class Operator:
    """`name` is what the person typed as the user name, free text; a viewer may look and not act."""

    name: str
    may_act: bool


class Access:
    """Compares every password with every token in constant time, as the chat backend's are."""

    def __init__(self, settings: Settings) -> None:
        self._tokens = [token.get_secret_value().encode() for token in settings.ops_tokens]
        self._view_tokens = [token.get_secret_value().encode() for token in settings.ops_view_tokens]

    def authenticate(self, scope: Scope) -> Operator:
        """The operator of a request; HttpError 403 over an open network, 401 without a password that counts."""
        if not is_private(scope):
            raise HttpError(HTTPStatus.FORBIDDEN, "ops_plain_http", headers=CLOSE)
        name, password = _credentials(headers_named(scope, b"authorization"))
        may_act = _is_one_of(self._tokens, password)
        if _is_one_of(self._view_tokens, password) or may_act:
            return Operator(name, may_act)
        raise HttpError(HTTPStatus.UNAUTHORIZED, "ops_password", headers=[_CHALLENGE, *CLOSE])


def demand_right_to_act(scope: Scope, operator: Operator) -> None:
    """HttpError 403 for a viewer, and for a form that another site's page has sent."""
    if not operator.may_act:
        raise HttpError(HTTPStatus.FORBIDDEN, "ops_viewer", headers=CLOSE)
    if not _is_same_origin(scope):
        raise HttpError(HTTPStatus.FORBIDDEN, "ops_origin", headers=CLOSE)


def is_private(scope: Scope) -> bool:
    """Whether the password travels unread: over TLS up to the platform's router, or within this machine."""
    schemes = headers_named(scope, b"x-forwarded-proto")
    if schemes:
        # A router appends its own word to what the client claimed.
        return schemes[-1].rpartition(b",")[2].strip().lower() == b"https"
    if scope.get("scheme") == "https":
        return True
    is_passed_on = any(headers_named(scope, name) for name in _FORWARDED)
    return not is_passed_on and _is_loopback((scope.get("client") or ("",))[0])


def _is_loopback(address: str) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def _is_same_origin(scope: Scope) -> bool:
    """What the browser says of the page that holds the form; a program that is no browser says it itself."""
    sites = headers_named(scope, b"sec-fetch-site")
    if sites:
        return list(sites) == [b"same-origin"]
    origins, hosts = headers_named(scope, b"origin"), headers_named(scope, b"host")
    return len(origins) == len(hosts) == 1 and origins[0].partition(b"://")[2].lower() == hosts[0].lower()


class _Credentials(NamedTuple):
    name: str
    password: bytes


def _credentials(values: Sequence[bytes]) -> _Credentials:
    """The name and the password of Basic or Bearer; an empty password, which no token is, for anything else."""
    if len(values) != 1:
        return _Credentials(NO_NAME, b"")
    if match := _BEARER.fullmatch(values[0]):
        return _Credentials("bearer", match[1])
    match = _BASIC.fullmatch(values[0])
    try:
        name, _, password = base64.b64decode(match[1] if match else b"", validate=True).partition(b":")
    except binascii.Error:
        return _Credentials(NO_NAME, b"")
    return _Credentials(clean_name(name.decode("utf-8", "replace")), password)


def clean_name(text: str) -> str:
    """A name that fits on a line: nothing that cannot be seen or stored, and not too long."""
    seen = "".join(one if one.isprintable() else " " for one in storable_text(text))
    return " ".join(seen.split())[:NAME_LENGTH] or NO_NAME


def _is_one_of(tokens: Sequence[bytes], password: bytes) -> bool:
    return sum([hmac.compare_digest(password, known) for known in tokens]) > 0
