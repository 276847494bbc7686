"""The optional fields of a user in an event: stored where they are usable, and never a reason to refuse the event."""

import json
import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.factories import Person, event, user_created, user_data
from tests.support.service import Service
from tools.sandbox.backboard import Sandbox

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]


def address(email: Any, address_id: Any = "idn_primary") -> dict[str, Any]:
    return {"id": address_id, "email_address": email}


UNCHANGED = ("canary@example.com", "Canary Name")
OPTIONAL_FIELDS: dict[str, tuple[dict[str, Any], tuple[str | None, str | None]]] = {
    "half a pair": ({"last_name": "N\ud83d"}, ("canary@example.com", "Canary N\ufffd")),
    "a whole pair": ({"last_name": "\ud83d\ude00"}, ("canary@example.com", "Canary \U0001f600")),
    "half a pair in the metadata": ({"unsafe_metadata": {"\udc00": "\ud800"}}, UNCHANGED),
    "NUL in the name": ({"last_name": "\0Na\0me"}, UNCHANGED),
    "NUL in the address": ({"email_addresses": [address("canary\0@example.com")]}, UNCHANGED),
    "nothing but NUL": ({"first_name": "\0", "last_name": "\0 \0"}, ("canary@example.com", None)),
    "NUL in the metadata": ({"public_metadata": {"\0": "\0"}}, UNCHANGED),
    "no list": ({"email_addresses": None}, (None, "Canary Name")),
    "empty list": ({"email_addresses": []}, (None, "Canary Name")),
    "an object for a list": ({"email_addresses": {"0": address("canary@x")}}, (None, "Canary Name")),
    "odd entries": ({"email_addresses": [None, 7, [], address("canary@example.com")]}, UNCHANGED),
    "no primary": ({"primary_email_address_id": None}, (None, "Canary Name")),
    "primary of no entry": ({"primary_email_address_id": "idn_gone"}, (None, "Canary Name")),
    "no primary, no id": (
        {"primary_email_address_id": None, "email_addresses": [address("canary@x", None)]},
        (None, "Canary Name"),
    ),
    "an id twice": ({"email_addresses": [address("canary@example.com"), address("canary@other")]}, UNCHANGED),
    "another object": ({"object": "organization", "new_in_2031": [{}]}, UNCHANGED),
    "prototype": ({"__proto__": {"id": "user_b"}, "constructor": 1, "last_name": "__proto__"},
                      ("canary@example.com", "Canary __proto__")),
    "SQL": ({"last_name": "'; DROP TABLE users;--"}, ("canary@example.com", "Canary '; DROP TABLE users;--")),
    "formats": ({"last_name": "%s %(id)s {0} {id} $1"}, ("canary@example.com", "Canary %s %(id)s {0} {id} $1")),
    "markup": ({"last_name": "<b>&amp;\\n"}, ("canary@example.com", "Canary <b>&amp;\\n")),
    "an address of 320 characters": ({"email_addresses": [address("c" * 320)]}, ("c" * 320, "Canary Name")),
    "an address of 321 characters": ({"email_addresses": [address("c" * 321)]}, (None, "Canary Name")),
    "names of other types": (
        {"first_name": 7, "last_name": [], "username": "canary"},
        ("canary@example.com", "canary"),
    ),
    "dates of other types": ({"updated_at": "now", "last_sign_in_at": {}, "created_at": -1}, UNCHANGED),
    "dates out of range": ({"updated_at": 2**63, "last_sign_in_at": 10**400}, UNCHANGED),
    "the last date there is": ({"last_sign_in_at": 253_402_300_799_999}, UNCHANGED),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "stored"), OPTIONAL_FIELDS.values(), ids=OPTIONAL_FIELDS.keys())
async def test_an_unusable_field_never_prevents_the_row(
    service: Service,
    database: Database,
    backboard: Sandbox,
    fields: dict[str, Any],
    stored: tuple[str | None, str | None],
) -> None:
    """It counts as absent; text is stored as text, and none of it reaches Backboard."""
    person = Person()
    usual = {"first_name": "Canary", "last_name": "Name", "email_addresses": [address("canary@example.com")]}

    answer = await service.deliver(event("user.created", user_data(person) | usual | fields))

    assert (answer.status_code, answer.json()) == (200, {"outcome": "created"})
    (row,) = database.execute("SELECT clerk_id, email, name FROM users").fetchall()
    assert (row["clerk_id"], (row["email"], row["name"])) == (person.clerk_id, stored)
    (assistant,) = backboard.made()
    assert assistant.name == person.assistant_name
    assert "canary" not in str(assistant.fields).lower()


# Surrogates, NUL and blanks would be rare among all characters.
characters = st.characters(codec=None, exclude_categories=()) | st.sampled_from("\ud83d\ude00\udbff\udc00\0 \t\ufeffA")


def as_stored(text: str) -> str | None:
    """The stored form of a text, computed in another way than by the service."""
    whole = json.loads(json.dumps(text.replace("\0", "")))
    kept = re.sub("[\ud800-\udfff]", "\ufffd", whole).strip()
    return kept or None


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(name=st.lists(characters, max_size=20).map("".join))
async def test_any_text_is_stored_in_postgres(service: Service, database: Database, name: str) -> None:
    """Without NUL, and with lone surrogates replaced."""
    person = Person()
    body = user_created(person, first_name=name, last_name=None)

    assert (await service.deliver(body)).json() == {"outcome": "created"}
    assert (await service.deliver(body)).json() == {"outcome": "exists"}

    row = database.execute("SELECT name FROM users WHERE clerk_id = %s", [person.clerk_id]).fetchone()
    assert row == {"name": as_stored(name)}


def of_size(**members: Any) -> bytes:
    return user_created(Person(), **members)


LARGE = {
    "a string of 250 KB": lambda: of_size(bio="x" * 250_000),
    "18,000 keys": lambda: of_size(**{f"k{number}": 1 for number in range(18_000)}),
    "2,000 addresses": lambda: of_size(
        email_addresses=[address(f"{number}@example.com", f"idn_{number}") for number in range(2000)],
        primary_email_address_id="idn_1999",
    ),
    "a name of escapes": lambda: of_size(first_name="\ud800" * 40_000),
}


@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE.keys())
async def test_a_large_event_is_handled(service: Service, make: Callable[[], bytes]) -> None:
    """Up to 256 KiB, whatever fills them."""
    body = make()
    assert 100_000 < len(body) <= 262_144

    assert (await service.deliver(body)).json() == {"outcome": "created"}


async def test_a_repeated_delivery_changes_nothing(service: Service, database: Database, backboard: Sandbox) -> None:
    """The same message within five minutes creates no second row and no second assistant."""
    body = user_created(Person())
    await service.deliver(body)
    before = database.execute("SELECT * FROM users").fetchall()

    assert (await service.deliver(body)).json() == {"outcome": "exists"}

    assert database.execute("SELECT * FROM users").fetchall() == before
    assert len(backboard.calls()) == 1


async def test_a_replay_does_not_bring_a_deleted_user_back(
    service: Service, database: Database, backboard: Sandbox
) -> None:
    """Clerk's dashboard signs the old body again."""
    person = Person()
    body = user_created(person)
    await service.deliver(body)
    await service.deliver(event("user.deleted", {"id": person.clerk_id, "deleted": True}))

    assert (await service.deliver(body, svix_id="msg_2")).json() == {"outcome": "gone"}

    (row,) = database.execute("SELECT email, deleted_at FROM users").fetchall()
    assert (row["email"], row["deleted_at"] is None) == (None, False)
    assert backboard.alive() == []
