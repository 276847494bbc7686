"""What one Clerk instance says about its users and sessions, and what calls and tests make of them.

Sans I/O. Sources: Clerk's OpenAPI file bapi/2026-05-12.yml, and clerk-sdk-python #166 for what a limit above 500 does.
"""

import itertools
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs

from tools.sandbox.clerk.errors import HttpError
from tools.sandbox.clerk.sessions import Sessions
from tools.sandbox.clerk.users import User, changed_user, check_filters, created_user, matches, new_user, with_metadata
from tools.sandbox.http import Request, Response, json_response

DEFAULT_LIMIT = 10
MOST_LIMIT = 500
ORDERS = ("created_at", "updated_at", "last_sign_in_at", "last_active_at", "email_address", "username")
PAGING = {"limit", "offset", "order_by", "starting_after"}
FIRST_MOMENT = 1_700_000_000_000

_numbers = itertools.count(1)


@dataclass(slots=True)
class Switches:
    """What is not documented, and what would be a fault of Clerk's own."""

    # What happens to a cursor whose user was deleted meanwhile.
    gone_cursor: Literal["goes_on", "refused", "empty"] = "goes_on"
    # Every page is the first one.
    cursor_ignored: bool = False
    # Users that Clerk counts but does not list.
    uncounted: int = 0


class Directory:
    """The users of an instance, changed from any thread."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = tuple(keys)
        self._changed = threading.Condition()
        self.sessions = Sessions()
        self.reset()

    @property
    def issuer(self) -> str:
        """What the session tokens name as theirs."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget users and switches."""
        with self._changed:
            self.switches = Switches()
            self.users: dict[str, User] = {}
            self.sessions.all.clear()
            # The sort keys of all users ever, since a cursor may name a user that was deleted.
            self._sort_keys: dict[str, tuple[Any, str]] = {}

    def add_user(self, clerk_id: str | None = None, **members: Any) -> User:
        """Sign up a user, the newest; `members` replaces parts of the User object."""
        with self._changed:
            number = next(_numbers)
            return self._keep(new_user(clerk_id or f"user_{number:027d}", FIRST_MOMENT + number) | members)

    def remove_user(self, clerk_id: str) -> None:
        with self._changed:
            del self.users[clerk_id]

    def work(self, request: Request) -> Response:
        try:
            if request.path == "/.well-known/jwks.json":
                return json_response(200, self.sessions.key_set())
            self._check_key(request.headers.get("authorization", ""))
            with self._changed:
                return json_response(200, self._route(request))
        except HttpError as refusal:
            return refusal.response

    def _keep(self, user: User) -> User:
        self.users[user["id"]] = user
        self._sort_keys[user["id"]] = (user["created_at"], user["id"])
        return user

    def _check_key(self, authorization: str) -> None:
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise HttpError(401, "authentication_invalid")
        if key not in self._keys:
            raise HttpError(401, "clerk_key_invalid")

    def _route(self, request: Request) -> Any:
        query = parse_qs(request.raw_query, keep_blank_values=True)
        match request.method, request.path.split("/")[1:]:
            case "GET" | "POST" as method, ["v1", "users"]:
                return self._page(query) if method == "GET" else self._create(_document(request))
            case "GET", ["v1", "users", "count"]:
                return {"object": "total_count", "total_count": len(self._found(query)) + self.switches.uncounted}
            case method, ["v1", "users", clerk_id, *rest]:
                return self._user(method, self._find(clerk_id), rest, request)
            case method, ["v1", "sessions", *rest]:
                return self._session(method, rest, query, request)
            case "GET", ["v1", "jwks"]:
                return self.sessions.key_set()
            case "POST", ["v1", "webhooks", "svix_url"]:
                return {"svix_url": f"{self.issuer}/svix"}
        raise HttpError(404, "no_such_route")

    def _user(self, method: str, user: User, rest: list[str], request: Request) -> Any:
        """A call to one user, or to a part of it."""
        match method, rest:
            case "GET", []:
                return user
            case "PATCH", []:
                return self._keep(changed_user(user, _moment(), _document(request)))
            case "PATCH", ["metadata"]:
                return self._keep(with_metadata(user, _moment(), _document(request)))
            case "DELETE", []:
                self.remove_user(user["id"])
                named = {"external_id": user["external_id"]} if user.get("external_id") else {}
                return {"object": "user", "id": user["id"], "deleted": True} | named
            case "POST", ["ban" | "unban" | "lock" | "unlock" as action]:
                member = "banned" if "ban" in action else "locked"
                return self._keep(user | {member: not action.startswith("un"), "updated_at": _moment()})
        raise HttpError(405, "method_not_allowed")

    def _session(self, method: str, rest: list[str], query: dict[str, list[str]], request: Request) -> Any:
        match method, rest:
            case "GET", []:
                return self.sessions.list(query)
            case "POST", []:
                return self.sessions.begin(self._find(str(_document(request).get("user_id")))["id"])
            case "GET", [session_id]:
                return self.sessions.get(session_id)
            case "POST", [session_id, "revoke"]:
                return self.sessions.end(session_id)
            case "POST", [session_id, "tokens"]:
                return self.sessions.token(session_id, self.issuer)
        raise HttpError(405, "method_not_allowed")

    def _find(self, clerk_id: str) -> User:
        if clerk_id not in self.users:
            raise HttpError(404, "resource_not_found")
        return self.users[clerk_id]

    def _create(self, sent: dict[str, Any]) -> User:
        number = next(_numbers)
        user = created_user(f"user_{number:027d}", FIRST_MOMENT + number, sent)
        named = {name: [sent[name]] for name in ("external_id", "username") if sent.get(name)}
        named |= {name: sent[name] for name in ("email_address", "phone_number") if sent.get(name)}
        if any(matches(other, {name: values}) for other in self.users.values() for name, values in named.items()):
            raise HttpError(422, "form_identifier_exists")
        return self._keep(user)

    def _page(self, query: dict[str, list[str]]) -> list[User]:
        limit = _number(query, "limit", DEFAULT_LIMIT, low=1)
        if limit > MOST_LIMIT:
            # No error: a limit that is too large is answered like no limit at all.
            limit = DEFAULT_LIMIT
        field, backwards = _order(query.get("order_by", ["-created_at"])[0])
        users = self._found(query)
        users.sort(key=lambda user: _sort_key(user, field), reverse=backwards)
        first = _number(query, "offset", 0, low=0)
        if "starting_after" in query:
            if "offset" in query or field != "created_at":
                raise HttpError(422, "form_param_invalid")
            first = self._after(query["starting_after"][0], users, backwards=backwards)
        return users[first : first + limit]

    def _found(self, query: dict[str, list[str]]) -> list[User]:
        """The users that a query's filters leave."""
        if not query.keys() - PAGING:
            return list(self.users.values())
        check_filters(query)
        return [user for user in self.users.values() if matches(user, query)]

    def _after(self, cursor: str, users: list[dict[str, Any]], *, backwards: bool) -> int:
        """Where the page begins that follows the cursor's user."""
        if self.switches.cursor_ignored:
            return 0
        key = self._sort_keys.get(cursor)
        gone = cursor not in self.users
        if key is None or (gone and self.switches.gone_cursor == "refused"):
            raise HttpError(422, "form_param_invalid")
        if gone and self.switches.gone_cursor == "empty":
            return len(users)
        keys = (_sort_key(user, "created_at") for user in users)
        return sum((one >= key if backwards else one <= key) for one in keys)


def _moment() -> int:
    """Later than every moment before, in milliseconds."""
    return FIRST_MOMENT + next(_numbers)


def _document(request: Request) -> dict[str, Any]:
    """The body, a JSON object."""
    try:
        document = json.loads(request.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise HttpError(400, "request_body_invalid")
    return document


def _sort_key(user: dict[str, Any], field: str) -> tuple[Any, str]:
    return user.get(field) or 0, user["id"]


def _number(query: dict[str, list[str]], name: str, default: int, *, low: int) -> int:
    text = query.get(name, [str(default)])[0]
    if not text.isdigit() or int(text) < low:
        raise HttpError(422, "form_param_format_invalid")
    return int(text)


def _order(text: str) -> tuple[str, bool]:
    """The field, and whether it descends. A plus that was not escaped arrives as a blank, which is no sign."""
    field = text[1:] if text[:1] in {"+", "-"} else text
    if field not in ORDERS:
        raise HttpError(422, "form_param_value_invalid")
    return field, text.startswith("-")
