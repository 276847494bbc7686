"""What an account at Backboard holds: assistants, threads with their messages, memories."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

# Backboard's documented defaults of a new assistant.
DEFAULTS: dict[str, Any] = {
    "system_prompt": None,
    "description": None,
    "tools": None,
    "tok_k": 10,
    "embedding_provider": "openai",
    "embedding_model_name": "text-embedding-3-large",
    "embedding_dims": 3072,
    "custom_fact_extraction_prompt": None,
    "custom_update_memory_prompt": None,
}


def new_id() -> str:
    return str(uuid4())


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Assistant:
    """An assistant; it stays on record after its deletion."""

    id: str
    name: str
    created_at: datetime
    fields: dict[str, Any]
    deleted_at: datetime | None = None
    made_at: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class Message:
    """A message; `settings` is what a user's message said about its answer: the model, the prompt, the memory."""

    role: Literal["user", "assistant"]
    content: str
    metadata: dict[str, Any] | None = None
    attachments: list[dict[str, Any]] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=new_id)
    created_at: datetime = field(default_factory=now)


@dataclass(slots=True)
class Thread:
    id: str
    assistant_id: str
    created_at: datetime
    messages: list[Message] = field(default_factory=list)
    made_at: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class Memory:
    content: str
    metadata: dict[str, Any] | None = None
    id: str = field(default_factory=new_id)
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Books:
    """Everything of an account that another run can go on with."""

    assistants: list[Assistant]
    threads: list[Thread]
    memories: dict[str, list[Memory]]
