"""A request of an operator: its query string, its form, and whether it wants JSON; each part read strictly."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs

from starlette.types import Receive, Scope

from app import log
from app.clerk.users import CLERK_ID
from app.errors import InvalidRequest
from app.http.requests import collect_body, headers_named
from app.http.responses import CLOSE, HttpError
from app.ops.page.access import Operator

FORM_BYTES = 8 * 1024
MOST_FIELDS = 30
# Of a parameter, in characters.
LONGEST_VALUE = 1000
_FORM = b"application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class OpsRequest:
    """What a handler gets; the operator has been let in."""

    scope: Scope
    receive: Receive
    operator: Operator

    @property
    def wants_json(self) -> bool:
        """Whether JSON is asked for and HTML is not."""
        return wants_json(self.scope)

    def query(self) -> Mapping[str, str]:
        """The parameters; an empty one counts as absent. InvalidRequest for what cannot be decoded or is doubled."""
        return _parse(self.scope["query_string"], "query")

    async def form(self) -> Mapping[str, str]:
        """The fields of a form; HttpError or InvalidRequest for any other body."""
        types = headers_named(self.scope, b"content-type")
        if len(types) != 1 or types[0].partition(b";")[0].strip().lower() != _FORM:
            raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "ops_form", headers=CLOSE)
        return _parse(await collect_body(self.receive, FORM_BYTES), "shape")

    async def drain(self) -> None:
        """Read a body that says nothing: what is left in the connection would be taken for a request."""
        await collect_body(self.receive, FORM_BYTES)

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.scope["path_params"][name])

    def clerk_id(self) -> str:
        """The user in the path; InvalidRequest for a malformed id."""
        clerk_id = self.path("clerk_id")
        if not CLERK_ID.fullmatch(clerk_id):
            raise InvalidRequest("clerk_id")
        log.bind(clerk_id=clerk_id)
        return clerk_id


def wants_json(scope: Scope) -> bool:
    accepted = b",".join(headers_named(scope, b"accept")).lower()
    return b"application/json" in accepted and b"text/html" not in accepted


def _parse(text: bytes, reason: str) -> Mapping[str, str]:
    try:
        found = parse_qs(text.decode("ascii"), errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise InvalidRequest(reason) from error
    if any(len(values) > 1 or len(values[0]) > LONGEST_VALUE for values in found.values()):
        raise InvalidRequest(reason)
    return {name: values[0].strip() for name, values in found.items() if values[0].strip()}
