"""What a caller sends with a message, in any of the three encodings that Backboard's clients use.

The Python client posts JSON (`send_message`) or a form (`add_message`), with files in it a multipart form; the
JavaScript client posts a multipart form always. In a form everything is text: booleans are "true" and "false", objects
are JSON.
"""

import json
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from urllib.parse import parse_qsl

from tools.sandbox.backboard.records import new_id
from tools.sandbox.backboard.validation import HttpError, checked_uuid, json_object, unprocessable
from tools.sandbox.http import Request

# How a turn is answered; kept with the message, so that a test sees what arrived.
SETTINGS = ("system_prompt", "llm_provider", "model_name", "memory", "memory_pro", "web_search", "tools", "json_output")
MEMORY_MODES = ("auto", "readonly", "off")


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """A message to a thread; `answered` is whether a model is asked, `memory` the mode in lower case."""

    content: str
    thread_id: str | None
    assistant_id: str | None
    stream: bool
    answered: bool
    memory: str
    metadata: dict[str, Any] | None
    settings: dict[str, Any]
    attachments: list[dict[str, Any]]


def read_message(request: Request) -> MessageRequest:
    """The message of a request; HttpError (422) where Backboard would refuse it."""
    fields, attachments = _fields(request)
    message = MessageRequest(
        content=_text(fields, "content"),
        thread_id=_id(fields, "thread_id"),
        assistant_id=_id(fields, "assistant_id"),
        stream=_flag(fields, "stream", default=False),
        answered=_flag(fields, "send_to_llm", default=True),
        memory=_mode(fields),
        metadata=_metadata(fields),
        settings={name: fields[name] for name in SETTINGS if fields.get(name) is not None},
        attachments=attachments,
    )
    if not message.content and not attachments:
        raise unprocessable("missing", "Field required", "body", "content")
    return message


def ids_of_message(request: Request) -> tuple[str, str]:
    """The ids of the thread and of the assistant, empty where there are none; for the ledger, which refuses nothing."""
    match request.path.removeprefix("/api/").split("/"):
        case ["threads", thread_id, "messages"]:
            return thread_id.lower(), ""
    try:
        fields, _ = _fields(request)
    except HttpError:
        return "", ""
    thread_id, assistant_id = (str(fields.get(name) or "").lower() for name in ("thread_id", "assistant_id"))
    return thread_id, assistant_id


def _fields(request: Request) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The fields and the files."""
    content_type = request.headers.get("content-type", "")
    match content_type.partition(";")[0].strip().lower():
        case "application/x-www-form-urlencoded":
            return dict(parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True)), []
        case "multipart/form-data":
            return _multipart(content_type, request.body)
    return json_object(request), []


def _multipart(content_type: str, body: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
    form = message_from_bytes(head + body, policy=policy.HTTP)
    assert isinstance(form, EmailMessage)
    fields: dict[str, Any] = {}
    files: list[dict[str, Any]] = []
    for part in form.iter_parts():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        filename = part.get_filename()
        if filename is None:
            fields[str(part.get_param("name", header="content-disposition"))] = content.decode(errors="replace")
        else:
            files.append(_attachment(filename, len(content)))
    return fields, files


def _attachment(filename: str, size: int) -> dict[str, Any]:
    return {"document_id": new_id(), "filename": filename, "status": "indexed", "file_size_bytes": size}


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise unprocessable("string_type", "Input should be a valid string", "body", name)
    return value or ""


def _id(fields: dict[str, Any], name: str) -> str | None:
    text = _text(fields, name)
    return checked_uuid(text, name, where="body") if text else None


def _flag(fields: dict[str, Any], name: str, *, default: bool) -> bool:
    value = fields.get(name)
    if value is None:
        return default
    if str(value).lower() not in {"true", "false"}:
        raise unprocessable("bool_parsing", "Input should be a valid boolean", "body", name)
    return str(value).lower() == "true"


def _mode(fields: dict[str, Any]) -> str:
    """The vendor's pages write `off` and `Off`, callers also `auto`."""
    mode = (_text(fields, "memory") or _text(fields, "memory_pro") or "off").lower()
    if mode not in MEMORY_MODES:
        raise unprocessable("literal_error", "Input should be 'Auto', 'Readonly' or 'off'", "body", "memory")
    return mode


def _metadata(fields: dict[str, Any]) -> dict[str, Any] | None:
    value = fields.get("metadata")
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise unprocessable("json_invalid", "Invalid JSON", "body", "metadata") from None
    if value is not None and not isinstance(value, dict):
        raise unprocessable("dict_type", "Input should be a valid dictionary", "body", "metadata")
    return value
