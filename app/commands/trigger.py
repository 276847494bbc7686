"""`trigger`: signs sample events, or a body of your own, and delivers them to a server as Clerk's sender would."""

import json
import re
import secrets
import sys
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any
from urllib.parse import urlsplit

import click
import httpx

from app.clerk.signatures import sign
from app.commands.runtime import Echo, load_settings
from app.settings import SenderSettings
from app.settings.web_address import is_web_address

SAMPLES = Path(__file__).parent / "samples"
PATH = "/webhooks/clerk"
# The timeout of Clerk's sender (Svix documentation, retries).
SENDER_SECONDS = 15.0


@click.command()
@click.argument("event", required=False)
@click.option("--url", help="The address of the server or of its endpoint; this machine's PORT by default.")
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
    if file is not None and (event is not None or clerk_id is not None):
        raise click.UsageError("--file brings an event and its user with it; leave EVENT and --clerk-id out.")

    server = _server_of(url) if url is not None else None
    settings = load_settings(SenderSettings)
    messages = [Message(file.read_bytes() if file else sample(event, clerk_id)) for _ in range(count)]
    deliveries = [message for message in messages for _ in range(2 if duplicate else 1)]
    secret = settings.clerk_webhook_signing_secret[0].get_secret_value()
    if not deliver(deliveries, secret=secret, url=server or f"http://127.0.0.1:{settings.port}", echo=click.echo):
        sys.exit(1)


def _server_of(url: str) -> str:
    """The server's address, also where the endpoint's is given, as Clerk's dashboard has it."""
    is_usable = is_web_address(url) and urlsplit(url).scheme in ("http", "https")
    if not is_usable or re.search(r"[?#@\\\s]", url):
        raise click.UsageError(
            "--url must be http:// or https://, the host and perhaps a port and a path, without ?, # and @, such as"
            " http://127.0.0.1:8000."
        )
    return url.rstrip("/").removesuffix(PATH)


@dataclass(frozen=True, slots=True)
class Message:
    """A body under its message id, which is the same at every delivery."""

    body: bytes
    svix_id: str = field(default_factory=lambda: f"msg_{secrets.token_hex(12)}")


def sample_names() -> list[str]:
    return sorted(path.stem for path in SAMPLES.glob("*.json"))


def sample(event: str | None, clerk_id: str | None = None) -> bytes:
    """The body of a sample event, dated now, about a new user or the one of `clerk_id`."""
    if event not in sample_names():
        raise click.UsageError(f"Name an event, one of: {', '.join(sample_names())}; or give --file.")
    document = json.loads((SAMPLES / f"{event}.json").read_text())
    _make_current(document, clerk_id or f"user_{secrets.token_hex(14)}", round(time() * 1000))
    return json.dumps(document).encode()


def _make_current(document: dict[str, Any], clerk_id: str, milliseconds: int) -> None:
    """Set the user and the times of an event; the event of a session carries the user inside."""
    document["timestamp"] = milliseconds
    data = document["data"]
    if document["type"].startswith("session."):
        data["user_id"] = clerk_id
        data = data["user"]
    data["id"] = clerk_id
    for key in ("created_at", "updated_at", "last_sign_in_at"):
        if key in data:
            data[key] = milliseconds


def deliver(messages: list[Message], *, secret: bytes, url: str, echo: Echo) -> bool:
    """Deliver in order and print the outcome of each; whether every response was a 2xx."""
    with httpx.Client(base_url=url, timeout=SENDER_SECONDS, trust_env=False) as client:
        results = [_deliver(client, message, secret=secret, echo=echo) for message in messages]
    return all(results)


def _deliver(client: httpx.Client, message: Message, *, secret: bytes, echo: Echo) -> bool:
    headers = sign(secret, message.svix_id, int(time()), message.body)
    try:
        response = client.post(PATH, content=message.body, headers=headers | {"content-type": "application/json"})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        echo(f"{message.svix_id}  no answer ({type(error).__name__}): is the server running at {client.base_url}?")
        return False
    echo(f"{message.svix_id}  {response.status_code}  {_outcome(response)}")
    return response.is_success


def _outcome(response: httpx.Response) -> str:
    """The outcome, or the title of a problem document and its Retry-After."""
    try:
        document = response.json()
        outcome = document.get("outcome") or document["title"]
    except (ValueError, KeyError, AttributeError):
        return "(not an answer of this service)"
    wait = response.headers.get("retry-after")
    return f"{outcome}, again after {wait} s" if wait else str(outcome)
