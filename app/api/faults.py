"""What a model finds wrong with a body, in plain words: every fault with its JSON pointer, and no value of the body.

pydantic's own messages are not used: some quote the value, and they speak of Python.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, get_args
from urllib.parse import quote

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from app.api.members import TITLE_PATTERN
from app.api.pagination import SESSION_CURSOR
from app.chat.models import SLUG
from app.clerk.users import CLERK_ID_PATTERN
from app.errors import Fault, InvalidRequest
from app.reasons import REASONS

Location = tuple[int | str, ...]

_PATTERNS = {
    TITLE_PATTERN: "must be one line with something in it to see",
    f"^{SLUG}$": "must be lower-case letters, digits and single hyphens",
    CLERK_ID_PATTERN: "must be user_ and 1 to 64 letters and digits",
    SESSION_CURSOR["pattern"]: "must be a cursor of an answer, as it came",
}
# By pydantic's types of errors; `ctx` holds what the schema asks for.
_WORDS: Mapping[str, str | Callable[[dict[str, Any]], str]] = {
    "missing": "is required",
    "extra_forbidden": "has a member that is not known here",
    "none_required": "must be null",
    "string_type": "must be a string",
    "string_too_short": lambda ctx: f"must have at least {_counted(ctx['min_length'], 'character')}",
    "string_too_long": lambda ctx: f"must have at most {_counted(ctx['max_length'], 'character')}",
    "string_pattern_mismatch": lambda ctx: _PATTERNS.get(ctx["pattern"], "must match its pattern in /openapi.json"),
    "literal_error": lambda ctx: f"must be {ctx['expected']}".replace("'", '"'),
    "list_type": "must be a list",
    "too_short": lambda ctx: f"must have at least {_counted(ctx['min_length'], 'item')}",
    "too_long": lambda ctx: f"must have at most {_counted(ctx['max_length'], 'item')}",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": lambda ctx: f"must be more than {ctx['gt']}",
    "greater_than_equal": lambda ctx: f"must be at least {ctx['ge']}",
    "less_than": lambda ctx: f"must be less than {ctx['lt']}",
    "less_than_equal": lambda ctx: f"must be at most {ctx['le']}",
    "uuid_type": "must be a UUID",
    "uuid_parsing": "must be a UUID",
}
_OTHER = "cannot be used; /openapi.json describes it"
_OF_PYDANTIC = frozenset(get_args(ErrorType))
# Members of every body that may have them, with reasons of their own.
_OWN_REASONS = {"#/clerk_id": "clerk_id", "#/cursor": "cursor"}


def invalid(error: ValidationError, model: type[BaseModel]) -> InvalidRequest:
    """All faults of a body; the reason is theirs if they share one, and `shape` otherwise."""
    known, faults, reasons = _names(model), [], set()
    for details in error.errors(include_url=False, include_input=False):
        fault = Fault(_words(details), pointer=_pointer(details["loc"], known))
        reasons.add(_reason(details, fault.pointer))
        faults.append(fault)
    return InvalidRequest(reasons.pop() if len(reasons) == 1 else "shape", *faults)


def _reason(details: ErrorDetails, pointer: str | None) -> str:
    kind = details["type"]
    # A validator of ours may name its reason. pydantic's own "missing" is none.
    return kind if kind in REASONS and kind not in _OF_PYDANTIC else _OWN_REASONS.get(pointer or "", "shape")


def _words(details: ErrorDetails) -> str:
    kind = details["type"]
    if kind not in _OF_PYDANTIC:
        return details["msg"]
    words = _WORDS.get(kind, _OTHER)
    return words if isinstance(words, str) else words(details.get("ctx", {}))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _pointer(loc: Location, known: frozenset[str]) -> str:
    """The place of a fault, down to the last name of the schema's: a key that the caller made up may be personal."""
    parts = []
    for part in loc:
        if isinstance(part, str) and part not in known:
            break
        parts.append(quote(str(part).replace("~", "~0").replace("/", "~1"), safe="~"))
    return "".join(["#", *(f"/{part}" for part in parts)])


@cache
def _names(model: type[BaseModel]) -> frozenset[str]:
    """The names of all members that the schema of a model has."""
    names: set[str] = set()
    level: list[Any] = [model.model_json_schema()]
    while level:
        one = level.pop()
        if isinstance(one, dict):
            names |= one.get("properties", {}).keys()
            level += one.values()
        elif isinstance(one, list):
            level += one
    return frozenset(names)
