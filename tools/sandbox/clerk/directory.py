"""What one Clerk instance says about its users: one of them, a page of them, their number.

Sans I/O. Sources: Clerk's OpenAPI file bapi/2026-05-12.yml, and clerk-sdk-python #166 for what a limit above 500 does.
"""

import itertools
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import parse_qs

from tools.sandbox.http import Request, Response, json_response

DEFAULT_LIMIT = 10
MOST_LIMIT = 500
MOST_IDS = 100
ORDERS = ("created_at", "updated_at", "last_sign_in_at", "last_active_at", "email_address", "username")
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


class HttpError(Exception):
    def __init__(self, status: int, code: str, *headers: tuple[str, str]) -> None:
        super().__init__(status)
        self.response = error_response(status, code, *headers)


def error_response(status: int, code: str, *headers: tuple[str, str]) -> Response:
    """An error in Clerk's shape."""
    error = {"message": code, "long_message": f"Made up by the stand-in: {code}", "code": code}
    response = json_response(status, {"errors": [error], "clerk_trace_id": "trace_of_the_stand_in"})
    return replace(response, headers=(*response.headers, *headers))


class Directory:
    """The users of an instance, changed from any thread."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = tuple(keys)
        self._changed = threading.Condition()
        self.reset()

    def reset(self) -> None:
        """Forget users and switches."""
        with self._changed:
            self.switches = Switches()
            self.users: dict[str, dict[str, Any]] = {}
            # The sort keys of all users ever, since a cursor may name a user that was deleted.
            self._sort_keys: dict[str, tuple[Any, str]] = {}

    def add_user(self, clerk_id: str | None = None, **members: Any) -> dict[str, Any]:
        """Sign up a user, the newest; `members` replaces parts of the User object."""
        with self._changed:
            number = next(_numbers)
            user = _user(clerk_id or f"user_{number:027d}", FIRST_MOMENT + number) | members
            self.users[user["id"]] = user
            self._sort_keys[user["id"]] = (user["created_at"], user["id"])
            return user

    def remove_user(self, clerk_id: str) -> None:
        with self._changed:
            del self.users[clerk_id]

    def work(self, request: Request) -> Response:
        try:
            self._check_key(request.headers.get("authorization", ""))
            with self._changed:
                return json_response(200, self._find(request))
        except HttpError as refusal:
            return refusal.response

    def _check_key(self, authorization: str) -> None:
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise HttpError(401, "authentication_invalid")
        if key not in self._keys:
            raise HttpError(401, "clerk_key_invalid")

    def _find(self, request: Request) -> Any:
        if request.method != "GET":
            raise HttpError(405, "method_not_allowed")
        match request.path.removeprefix("/v1").split("/")[1:]:
            case ["users"]:
                return self._page(parse_qs(request.raw_query, keep_blank_values=True))
            case ["users", "count"]:
                return {"object": "total_count", "total_count": len(self.users) + self.switches.uncounted}
            case ["users", clerk_id]:
                if clerk_id in self.users:
                    return self.users[clerk_id]
                raise HttpError(404, "resource_not_found")
        raise HttpError(404, "no_such_route")

    def _page(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        limit = _number(query, "limit", DEFAULT_LIMIT, low=1)
        if limit > MOST_LIMIT:
            # No error: a limit that is too large is answered like no limit at all.
            limit = DEFAULT_LIMIT
        field, backwards = _order(query.get("order_by", ["-created_at"])[0])
        wanted = _wanted(query)
        users = [user for user in self.users.values() if wanted is None or user["id"] in wanted]
        users.sort(key=lambda user: _sort_key(user, field), reverse=backwards)
        first = _number(query, "offset", 0, low=0)
        if "starting_after" in query:
            if "offset" in query or field != "created_at":
                raise HttpError(422, "form_param_invalid")
            first = self._after(query["starting_after"][0], users, backwards=backwards)
        return users[first : first + limit]

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


def _wanted(query: dict[str, list[str]]) -> set[str] | None:
    if "user_id" not in query:
        return None
    if len(query["user_id"]) > MOST_IDS:
        raise HttpError(422, "form_param_exceeds_allowed_size")
    return set(query["user_id"])


def _user(clerk_id: str, moment: int) -> dict[str, Any]:
    """A User object with an e-mail address and a name."""
    address: dict[str, Any] = {
        "object": "email_address",
        "id": "idn_primary",
        "email_address": f"{clerk_id}@example.com",
        "verification": None,
        "linked_to": [],
    }
    return {
        "object": "user",
        "id": clerk_id,
        "external_id": None,
        "primary_email_address_id": "idn_primary",
        "primary_phone_number_id": None,
        "primary_web3_wallet_id": None,
        "username": None,
        "first_name": "Example",
        "last_name": "User",
        "email_addresses": [address],
        "phone_numbers": [],
        "web3_wallets": [],
        "external_accounts": [],
        "public_metadata": {},
        "private_metadata": None,
        "unsafe_metadata": {},
        "banned": False,
        "locked": False,
        "created_at": moment,
        "updated_at": moment,
        "last_sign_in_at": None,
        "last_active_at": None,
    }
