"""Clerk's own Python client, clerk-backend-api, is content with the stand-in of Clerk.

Its models are strict: a page with one required field missing in one user is an error.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest

from tools.sandbox.clerk import LOCAL_KEY, Clerk

# The client looks at its own fields that it has declared deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*DEPRECATED:DeprecationWarning")


@pytest.fixture(scope="module")
def running_clerk() -> Iterator[Clerk]:
    with Clerk() as clerk:
        yield clerk


@pytest.fixture
def clerk(running_clerk: Clerk) -> Clerk:
    running_clerk.reset()
    return running_clerk


@pytest.fixture(scope="module")
def connections() -> Iterator[dict[str, Any]]:
    """The two of httpx that a client of Clerk wants; not verifying saves loading the certificates."""
    with httpx.Client(verify=False, trust_env=False) as client:
        yield {"client": client, "async_client": httpx.AsyncClient(verify=False, trust_env=False), "timeout_ms": 5000}


@pytest.fixture(scope="module")
def sdk(clerk_sdk: Any, running_clerk: Clerk, connections: dict[str, Any]) -> Any:
    return clerk_sdk.Clerk(bearer_auth=LOCAL_KEY, server_url=running_clerk.url, **connections)


def test_users_are_listed_counted_and_read(sdk: Any, clerk: Clerk) -> None:
    made = [clerk.add_user(username=f"user{number}", external_id=f"ext_{number}")["id"] for number in range(3)]

    page = sdk.users.list(request={"limit": 2, "order_by": "+created_at"})
    rest = sdk.users.list(request={"limit": 2, "order_by": "+created_at", "offset": 2})

    assert [user.id for user in [*page, *rest]] == made
    assert sdk.users.count(request={}).total_count == 3
    user = sdk.users.get(user_id=made[1])
    assert (user.id, user.email_addresses[0].email_address) == (made[1], f"{made[1]}@example.com")
    assert (user.has_image, user.passkeys, user.legal_accepted_at) == (False, [], None)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"email_address": ["USER_B@example.com", "nowhere@example.com"]}, ["user_b"]),
        ({"user_id": ["user_a", "user_c", "user_d"]}, ["user_a", "user_c"]),
        ({"external_id": ["ext_c"]}, ["user_c"]),
        ({"username": ["name_a"]}, ["user_a"]),
        ({"phone_number": ["+15550000"]}, []),
        ({"query": "NAME_B"}, ["user_b"]),
        ({"query": "example.com"}, ["user_a", "user_b", "user_c"]),
        ({"query": "a", "external_id": ["ext_c"]}, ["user_c"]),
        ({"created_at_after": 1, "created_at_before": 3}, ["user_b"]),
    ],
    ids=str,
)
def test_a_listing_and_a_count_obey_their_filters(
    sdk: Any, clerk: Clerk, filters: dict[str, Any], found: list[str]
) -> None:
    """Values of one parameter are alternatives, different parameters all count."""
    for moment, letter in enumerate("abc", 1):
        clerk.add_user(f"user_{letter}", username=f"name_{letter}", external_id=f"ext_{letter}", created_at=moment)

    listed = [user.id for user in sdk.users.list(request=filters | {"order_by": "+created_at"})]

    assert listed == found
    assert sdk.users.count(request=filters).total_count == len(found)


def test_a_user_is_made_changed_and_deleted(sdk: Any, clerk_sdk: Any, clerk: Clerk) -> None:
    """An identifier belongs to one user; metadata is merged; a deleted user is unknown."""
    identifiers = {"email_address": ["new@example.com", "second@example.com"], "phone_number": ["+15550001"]}
    made = sdk.users.create(**identifiers, first_name="New", external_id="ext_1", password="secret")
    changed = sdk.users.update(user_id=made.id, last_name="Name", username="newname")
    sdk.users.update_metadata(user_id=made.id, public_metadata={"plan": "pro", "trial": True})
    merged = sdk.users.update_metadata(user_id=made.id, public_metadata={"trial": None})
    flags = [(sdk.users.ban(user_id=made.id).banned, sdk.users.lock(user_id=made.id).locked)]
    flags += [(sdk.users.unban(user_id=made.id).banned, sdk.users.unlock(user_id=made.id).locked)]
    with pytest.raises(clerk_sdk.models.ClerkErrors) as taken:
        sdk.users.create(email_address=["second@example.com"])
    deleted = sdk.users.delete(user_id=made.id)
    with pytest.raises(clerk_sdk.models.ClerkErrors) as unknown:
        sdk.users.get(user_id=made.id)

    assert made.primary_email_address_id == made.email_addresses[0].id
    assert [address.email_address for address in made.email_addresses] == identifiers["email_address"]
    assert (made.phone_numbers[0].phone_number, made.password_enabled) == ("+15550001", True)
    assert (changed.first_name, changed.last_name, changed.username) == ("New", "Name", "newname")
    assert made.updated_at < changed.updated_at < merged.updated_at
    assert merged.public_metadata == {"plan": "pro"}
    assert flags == [(True, True), (False, False)]
    assert taken.value.data.errors[0].code == "form_identifier_exists"
    assert (deleted.id, deleted.external_id, deleted.deleted) == (made.id, "ext_1", True)
    assert unknown.value.data.errors[0].code == "resource_not_found"
    assert clerk.users == {}


def test_a_session_has_tokens_that_the_keys_verify(sdk: Any, clerk_sdk: Any, clerk: Clerk) -> None:
    """Until it is revoked; the keys are public at the instance's own address too."""
    user = clerk.add_user()["id"]
    session = sdk.sessions.create(request={"user_id": user})
    token = sdk.sessions.create_token(session_id=session.id).jwt

    (key,) = sdk.jwks.get_jwks().keys
    claims = jwt.decode(token, jwt.PyJWK(key.model_dump()), issuer=clerk.issuer)
    public = jwt.PyJWKClient(f"{clerk.issuer}/.well-known/jwks.json").get_signing_key_from_jwt(token)

    assert (claims["sub"], claims["sid"]) == (user, session.id)
    assert public.key_id == key.kid
    assert [one.id for one in sdk.sessions.list(user_id=user)] == [session.id]
    assert sdk.sessions.revoke(session_id=session.id).status.value == "revoked"
    assert sdk.sessions.get(session_id=session.id).status.value == "revoked"
    with pytest.raises(clerk_sdk.models.ClerkErrors):
        sdk.sessions.create_token(session_id=session.id)


def test_the_page_of_the_webhooks_has_an_address(sdk: Any) -> None:
    assert sdk.webhooks.generate_svix_auth_url().svix_url


def test_a_wrong_key_is_an_error_of_the_client(clerk_sdk: Any, clerk: Clerk, connections: dict[str, Any]) -> None:
    other = clerk_sdk.Clerk(bearer_auth="sk_test_other", server_url=clerk.url, **connections)

    with pytest.raises(clerk_sdk.models.ClerkErrors) as refused:
        other.users.list(request={})

    assert refused.value.data.errors[0].code == "clerk_key_invalid"
