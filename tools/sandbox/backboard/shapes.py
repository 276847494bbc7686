"""How assistants, threads and messages stand in Backboard's responses."""

from typing import Any

from tools.sandbox.backboard.records import Assistant, Message, Thread
from tools.sandbox.backboard.switches import Switches


def assistant_json(assistant: Assistant, switches: Switches) -> dict[str, Any]:
    created_at = switches.spell(assistant.created_at)
    fields: dict[str, Any] = {"assistant_id": assistant.id, "name": assistant.name, "created_at": created_at}
    fields |= assistant.fields
    if switches.echo_description:
        fields["description"] = fields["system_prompt"]
    if switches.extra_fields:
        fields |= {"owner": {"id": 7}, "updated_at": created_at, "a_field_of_tomorrow": [None]}
    return fields


def thread_json(thread: Thread, switches: Switches) -> dict[str, Any]:
    created_at = switches.spell(thread.created_at)
    messages = [_message_json(message, switches) for message in thread.messages]
    return {"thread_id": thread.id, "created_at": created_at, "messages": messages, "metadata_": None}


def listed_thread_json(thread: Thread, switches: Switches) -> dict[str, Any]:
    """A thread in a listing, where its messages may be missing."""
    fields = thread_json(thread, switches)
    if switches.listed_messages == "empty":
        fields["messages"] = []
    if switches.listed_messages == "absent":
        del fields["messages"]
    return fields


def _message_json(message: Message, switches: Switches) -> dict[str, Any]:
    return {
        "message_id": message.id,
        "role": message.role,
        "content": message.content,
        "created_at": switches.spell(message.created_at),
        "status": "COMPLETED",
        "metadata_": message.metadata,
        "attachments": message.attachments,
    }
