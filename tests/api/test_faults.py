"""What models find wrong with a body, in plain words and by pointers, whatever models come later."""

from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from app.api.faults import invalid
from app.api.schemas import EnsureUserRequest, MessageRequest
from app.errors import Fault, InvalidRequest


def _quote(value: object) -> object:
    raise ValueError(f"quotes {value}")


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: UUID | None = None
    many: Annotated[list[int], Field(max_length=2)] = []
    free: dict[str, JsonValue] = {}
    kinds: dict[str, Literal["a", "b"]] = {}
    either: int | list[str] = 0
    odd: str = Field(default="", alias="a/b~c d")
    inner: "Closed | None" = None


CASES: dict[str, tuple[Any, str, str]] = {
    "a member that is not known": ({"canary": 1}, "#", "has a member that is not known here"),
    "one inside": ({"inner": {"inner": {"canary": 1}}}, "#/inner/inner", "has a member that is not known here"),
    "a key that is made up": ({"kinds": {"canary": "canary"}}, "#/kinds", 'must be "a" or "b"'),
    "a number for one": ({"many": [1, "canary"]}, "#/many/1", "must be a whole number"),
    "too many": ({"many": [1, 2, 3]}, "#/many", "must have at most 2 items"),
    "no UUID": ({"id": "canary"}, "#/id", "must be a UUID"),
    "neither of two": ({"either": "canary"}, "#/either", "must be a whole number"),
    "characters that a pointer escapes": ({"a/b~c d": 7}, "#/a~1b~0c%20d", "must be a string"),
    "no object": ("canary", "#", "must be an object"),
}


def refusal(model: type[BaseModel], body: object) -> InvalidRequest:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(body)
    return invalid(caught.value, model)


@pytest.mark.parametrize(("body", "pointer", "words"), CASES.values(), ids=CASES.keys())
def test_a_fault_is_named_by_the_schema_and_told_in_plain_words(body: object, pointer: str, words: str) -> None:
    """Never by a name that the caller made up, and never with a value."""
    error = refusal(Closed, body)

    assert error.faults[0] == Fault(words, pointer=pointer)
    assert "canary" not in str(error.faults)
    assert "nput should" not in str(error.faults)


def test_the_reason_is_that_of_all_faults_or_the_shape() -> None:
    """A member with a reason of its own, a validator with one, and both at once."""
    deep: Any = {}
    for _ in range(101):
        deep = {"canary": deep}

    assert refusal(EnsureUserRequest, {"clerk_id": "org_a"}).reason == "clerk_id"
    assert refusal(EnsureUserRequest, {}).reason == "clerk_id"
    assert refusal(EnsureUserRequest, {"clerk_id": 1, "name": 1}).reason == "shape"
    assert refusal(MessageRequest, {"role": "user", "content": "x", "metadata": deep}).reason == "too_deep"
    assert refusal(MessageRequest, {"role": "user", "metadata": deep}).reason == "shape"


def test_an_error_of_a_kind_without_words_quotes_nothing() -> None:
    class Quoting(BaseModel):
        text: Annotated[str, AfterValidator(_quote)]

    assert refusal(Quoting, {"text": "canary"}).faults == (
        Fault("cannot be used; /openapi.json describes it", pointer="#/text"),
    )
