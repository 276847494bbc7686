"""What is read of an event of Clerk's, as the API's document shows it; app.clerk.events reads it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.clerk.users import CLERK_ID_PATTERN

_USER: dict[str, JsonValue] = {
    "type": "object",
    "properties": {"id": {"type": "string", "pattern": CLERK_ID_PATTERN}},
    "required": ["id"],
}


def _of_type(*types: JsonValue) -> dict[str, JsonValue]:
    return {"properties": {"type": {"enum": [*types]}}}


# What is read of the events that are acted on.
_BY_TYPE: dict[str, JsonValue] = {
    "if": _of_type("user.created", "user.updated", "user.deleted"),
    "then": {"properties": {"data": _USER}, "required": ["data"]},
    "else": {
        "if": _of_type("session.created"),
        "then": {
            "properties": {"data": {"type": "object", "properties": {"user": {"anyOf": [_USER, {"type": "null"}]}}}},
            "required": ["data"],
        },
    },
}


class Event(BaseModel):
    """The members of a Clerk event that identify it; all others are optional."""

    model_config = ConfigDict(json_schema_extra=_BY_TYPE)

    type: Annotated[str, Field(min_length=1, strict=True)]
    data: Annotated[object, Field(default=None, description="Events that are ignored may have any.")]
