"""The base of every answer's model."""

from pydantic import BaseModel


class ResponseModel(BaseModel):
    """An answer. Its schema is open, so that a new member breaks no client; the tests take no member beside these."""
