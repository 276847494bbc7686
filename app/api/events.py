"""What is read of an event of Clerk's, as the API's document shows it; app.clerk.events reads it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.clerk.users import CLERK_ID_PATTERN

# The events that are acted on, in the words of Clerk's documentation.
HANDLED = {
    "user.created": "A user signed up: the row and the assistant are made.",
    "user.updated": "A user changed: the row is updated, or made.",
    "user.deleted": "A user was deleted: the row is emptied, and the assistant is deleted.",
    "session.created": "A user signed in: the row is made or updated from the user inside, if there is one.",
}

_USER: dict[str, JsonValue] = {
    "additionalProperties": True,
    "type": "object",
    "properties": {"id": {"type": "string", "pattern": CLERK_ID_PATTERN}},
    "required": ["id"],
}


_SESSION: dict[str, JsonValue] = {
    "additionalProperties": True,
    "type": "object",
    "properties": {"user": {"anyOf": [_USER, {"type": "null"}]}},
}


def _of_type(*types: JsonValue) -> dict[str, JsonValue]:
    return {"properties": {"type": {"enum": [*types]}}}


# What is read of the events that are acted on.
_BY_TYPE: dict[str, JsonValue] = {
    "additionalProperties": True,
    "if": _of_type("user.created", "user.updated", "user.deleted"),
    "then": {"properties": {"data": _USER}, "required": ["data"]},
    "else": {
        "if": _of_type("session.created"),
        "then": {
            "properties": {"data": _SESSION},
            "required": ["data"],
        },
    },
}


class Event(BaseModel):
    """The members of a Clerk event that identify it; all others are optional."""

    model_config = ConfigDict(json_schema_extra=_BY_TYPE)

    type: Annotated[str, Field(min_length=1, strict=True)]
    data: Annotated[object, Field(default=None, description="Events that are ignored may have any.")]
