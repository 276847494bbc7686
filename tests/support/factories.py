"""Users and events in one line each; every personal value is a canary."""

import itertools
import json
import time
from dataclasses import dataclass, field
from typing import Any

from app.clerk.signatures import sign
from tests.support.canaries import API_KEY, CLIENT_ADDRESS, OTHER_SECRET, OTHER_TOKEN, PHONE_NUMBER, SECRET, TOKEN

__all__ = ["API_KEY", "OTHER_SECRET", "OTHER_TOKEN", "SECRET", "TOKEN"]

PREFIX = "clerk:"

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Person:
    """A user who signs up; each one is new."""

    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def clerk_id(self) -> str:
        return f"user_{self.number:027d}"

    @property
    def email(self) -> str:
        return f"canary.{self.number}@example.com"

    @property
    def assistant_name(self) -> str:
        return PREFIX + self.clerk_id


def now_ms() -> int:
    return round(time.time() * 1000)


def user_data(person: Person, **changed: Any) -> dict[str, Any]:
    """Clerk's User object, as it stands in `data`; keyword arguments replace members."""
    data: dict[str, Any] = {
        "object": "user",
        "id": person.clerk_id,
        "first_name": "Canaryname",
        "last_name": str(person.number),
        "username": None,
        "primary_email_address_id": "idn_primary",
        "email_addresses": [
            {"id": "idn_other", "email_address": f"canary.other.{person.number}@example.com"},
            {"id": "idn_primary", "email_address": person.email},
        ],
        "phone_numbers": [{"id": "idn_phone", "phone_number": PHONE_NUMBER}],
        "external_accounts": [{"id": "eac_1", "email_address": "canary@example.com", "first_name": "Canary"}],
        "web3_wallets": [{"id": "idn_wallet", "web3_wallet": "0xcanary"}],
        "image_url": "https://img.example.com/canary",
        "profile_image_url": "https://img.example.com/canary",
        "public_metadata": {"canary": "canary"},
        "private_metadata": {"canary": "canary"},
        "unsafe_metadata": {"canary": "canary"},
        "created_at": 1_700_000_000_000,
        "updated_at": 1_700_000_000_000,
        "last_sign_in_at": None,
    }
    return data | changed


def event(event_type: str, data: Any, **changed: Any) -> bytes:
    """A body as Clerk sends it; keyword arguments replace members of the envelope."""
    request = {"client_ip": CLIENT_ADDRESS, "user_agent": "Canary/1.0"}
    document = {"object": "event", "type": event_type, "timestamp": now_ms(), "data": data}
    document["event_attributes"] = {"http_request": request}
    return json.dumps(document | changed).encode()


def user_created(person: Person, **changed: Any) -> bytes:
    return event("user.created", user_data(person, **changed))


def user_updated(person: Person, **changed: Any) -> bytes:
    return event("user.updated", user_data(person, **changed))


def signed(
    body: bytes, *, secret: bytes = SECRET, svix_id: str = "msg_1", timestamp: int | None = None
) -> dict[str, str]:
    """The headers of a delivery; the MAC is Svix's own."""
    headers = sign(secret, svix_id, int(time.time()) if timestamp is None else timestamp, body)
    return headers | {"content-type": "application/json"}
