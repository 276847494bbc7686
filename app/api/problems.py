"""The problem document, as the API's document shows it; app.http.responses writes it."""

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

# A member of an answer that need not be there, and is never null.
Member = TypeVar("Member")
Absent = Annotated[Member | SkipJsonSchema[None], Field(default=None)]


class FaultAnswer(BaseModel):
    """One place that cannot be used: a member of the body by its JSON pointer (RFC 6901), or a parameter by its name.

    A member whose name the schema does not have is not named; the pointer leads to what it stands in. A parameter
    that no operation has, and a query string with too many of them, have neither.
    """

    detail: str
    pointer: Absent[str]
    parameter: Absent[str]


class Problem(BaseModel):
    """RFC 9457; no value of the request is in it.

    A caller who is let in, by a token or a signature, also gets `code`, the word that says why (x-codes lists them
    all; new ones may come), and `errors` with a 422 and with a 409 about the ids of messages, at most 20 of them.
    """

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    request_id: str = Field(description="As in X-Request-Id and in the log.")
    code: Absent[str]
    errors: Absent[list[FaultAnswer]]
