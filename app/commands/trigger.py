"""Plays Clerk's sender: signs sample events, or a body of yours, and delivers them to a running server."""

import json
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any

import click
import httpx

from app.clerk.signatures import sign
from app.commands.runtime import load_settings
from app.settings import SenderSettings

SAMPLES = Path(__file__).parent / "samples"
PATH = "/webhooks/clerk"
# Clerk's sender gives up after as long (Svix documentation, retries).
SENDER_SECONDS = 15.0


@click.command()
@click.argument("event", required=False)
@click.option("--url", help="The server's address; this machine's PORT by default.")
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="How many different users.")
@click.option("--duplicate", is_flag=True, help="Deliver each event twice, under one message id.")
@click.option("--clerk-id", help="The user's Clerk id; made up by default.")
@click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A body of your own.")
def trigger(
    *, event: str | None, url: str | None, count: int, duplicate: bool, clerk_id: str | None, file: Path | None
) -> None:
    """Sign a sample EVENT (user.created, ...) and deliver it as Clerk's sender would."""
    if clerk_id is not None and count > 1:
        raise click.UsageError("--clerk-id names one user; leave --count out.")

    settings = load_settings(SenderSettings)
    try:
        made = messages(event=event, file=file, count=count, clerk_id=clerk_id, duplicate=duplicate)
    except NoSuchSample as error:
        raise click.UsageError(str(error)) from None
    secret = settings.clerk_webhook_signing_secret[0].get_secret_value()
    address = url or f"http://127.0.0.1:{settings.port}"
    if not deliver(made, secret=secret, url=address, say=click.echo):
        sys.exit(1)


class NoSuchSample(Exception):
    """There is no sample of that event; the text names those there are."""


@dataclass(frozen=True, slots=True)
class Message:
    """A body under its message id, which is the same however often it is delivered."""

    svix_id: str
    body: bytes


def sample_names() -> list[str]:
    return sorted(path.stem for path in SAMPLES.glob("*.json"))


def messages(
    *, event: str | None, file: Path | None, count: int, clerk_id: str | None, duplicate: bool
) -> list[Message]:
    """The messages to deliver: `count` users of a sample event, or a file's bytes as they are."""
    bodies = [file.read_bytes()] * count if file else [sample(event, clerk_id) for _ in range(count)]
    made = [Message(f"msg_{secrets.token_hex(12)}", body) for body in bodies]
    return [message for message in made for _ in range(2 if duplicate else 1)]


def sample(event: str | None, clerk_id: str | None = None) -> bytes:
    """A sample's body, of now and of a user of its own (NoSuchSample when there is none)."""
    if event not in sample_names():
        raise NoSuchSample(f"Name an event, one of: {', '.join(sample_names())}; or give --file.")
    document = json.loads((SAMPLES / f"{event}.json").read_text())
    _make_current(document, clerk_id or f"user_{secrets.token_hex(14)}", round(time() * 1000))
    return json.dumps(document).encode()


def _make_current(document: dict[str, Any], clerk_id: str, milliseconds: int) -> None:
    """Give the event its user and its time; a session's event carries the user inside."""
    document["timestamp"] = milliseconds
    data = document["data"]
    if document["type"].startswith("session."):
        data["user_id"] = clerk_id
        data = data["user"]
    data["id"] = clerk_id
    for key in ("created_at", "updated_at", "last_sign_in_at"):
        if key in data:
            data[key] = milliseconds


def deliver(made: list[Message], *, secret: bytes, url: str, say: Callable[[str], object]) -> bool:
    """Deliver in order and say what each came to; whether every answer was a 2xx."""
    with httpx.Client(base_url=url, timeout=SENDER_SECONDS, trust_env=False) as client:
        results = [_deliver(client, message, secret=secret, say=say) for message in made]
    return all(results)


def _deliver(client: httpx.Client, message: Message, *, secret: bytes, say: Callable[[str], object]) -> bool:
    headers = sign(secret, message.svix_id, int(time()), message.body)
    try:
        response = client.post(PATH, content=message.body, headers=headers | {"content-type": "application/json"})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        say(f"{message.svix_id}  no answer ({type(error).__name__}): is the server running at {client.base_url}?")
        return False
    say(f"{message.svix_id}  {response.status_code}  {_outcome(response)}")
    return response.is_success


def _outcome(response: httpx.Response) -> str:
    """The outcome, or a problem's title and how long to wait."""
    try:
        document = response.json()
        told = document.get("outcome") or document["title"]
    except (ValueError, KeyError, AttributeError):
        return "(not an answer of this service)"
    wait = response.headers.get("retry-after")
    return f"{told}, again after {wait} s" if wait else str(told)
