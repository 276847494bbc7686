"""Clerk's session tokens for ensure-user: which are valid, and which requests to Clerk they can cause."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Iterator
from hmac import digest
from typing import Any

import httpx
import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from app.application import create_app
from app.clerk import jwks, session_tokens
from tests.support.asgi import Log
from tests.support.factories import TOKEN, Person, event, user_data
from tests.support.service import Service, in_process, settings_of
from tools.sandbox.backboard import Sandbox
from tools.sandbox.clerk import LOCAL_KEY, Clerk
from tools.sandbox.clerk.frontend_api import KEY_ID, ClerkIssuer, jwk_of, new_key, pem_of

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]

PARTIES = "https://app.example.com,http://localhost:3000"
OTHER_KEY = new_key()
SHORT_KEY = new_key(1024)


@pytest.fixture
def issuer() -> Iterator[ClerkIssuer]:
    with ClerkIssuer() as issuer:
        yield issuer


@pytest.fixture
async def open_service(variables: dict[str, str], issuer: ClerkIssuer) -> AsyncIterator[Service]:
    """The service, with session tokens of that issuer enabled."""
    more = {"CLERK_ISSUER": issuer.url, "CLERK_AUTHORIZED_PARTIES": PARTIES}
    async with in_process(create_app(settings_of(variables | more))) as service:
        yield service


async def ask(service: Service, token: str, body: Any = None) -> httpx.Response:
    """Call ensure-user as a browser does."""
    headers = {"Authorization": f"Bearer {token}"}
    return await service.client.post("/ensure-user", json={} if body is None else body, headers=headers)


async def test_a_signed_in_user_gets_their_own_row(
    open_service: Service, issuer: ClerkIssuer, database: Database
) -> None:
    """The user is the token's subject; the body may be empty or name the same user."""
    person = Person()

    made = await ask(open_service, issuer.token(person))
    again = await ask(open_service, issuer.token(person), {"clerk_id": person.clerk_id})

    assert (made.status_code, again.status_code) == (201, 200)
    assert made.json() == again.json()
    assert [row["clerk_id"] for row in database.execute("SELECT clerk_id FROM users")] == [person.clerk_id]


async def test_a_body_that_names_another_user_is_forbidden(
    open_service: Service, issuer: ClerkIssuer, backboard: Sandbox
) -> None:
    """403, and nothing is created."""
    answer = await ask(open_service, issuer.token(Person()), {"clerk_id": Person().clerk_id})

    assert (answer.status_code, answer.json()["title"]) == (403, "Forbidden")
    assert backboard.calls() == []


@pytest.mark.parametrize("body", [{"clerk_id": "canary"}, {"clerk_id": 7}, [], "canary"])
async def test_a_malformed_body_is_422(open_service: Service, issuer: ClerkIssuer, body: Any) -> None:
    assert (await ask(open_service, issuer.token(Person()), body)).status_code == 422


async def test_the_profile_in_a_browsers_body_is_ignored(
    open_service: Service, issuer: ClerkIssuer, database: Database
) -> None:
    """E-mail and name come from Clerk's events alone."""
    await ask(open_service, issuer.token(Person()), {"email": "canary.forged@example.com", "name": ["Canaryforged"]})

    (row,) = database.execute("SELECT email, name FROM users").fetchall()
    assert row == {"email": None, "name": None}


async def test_a_deleted_user_is_410_with_a_valid_token(open_service: Service, issuer: ClerkIssuer) -> None:
    """A token stays valid for up to a minute after the deletion."""
    person = Person()
    await open_service.deliver(event("user.deleted", {"id": person.clerk_id, "deleted": True}))

    assert (await ask(open_service, issuer.token(person))).status_code == 410


async def test_the_profile_comes_from_clerk_where_the_key_is_set(
    variables: dict[str, str], issuer: ClerkIssuer, database: Database
) -> None:
    """As for calls of the chat backend."""
    person = Person()
    with Clerk({LOCAL_KEY}) as clerk:
        clerk.users[person.clerk_id] = user_data(person)
        more = {"CLERK_ISSUER": issuer.url, "CLERK_SECRET_KEY": LOCAL_KEY, "CLERK_API_URL": clerk.url}
        async with in_process(create_app(settings_of(variables | more))) as service:
            assert (await ask(service, issuer.token(person))).status_code == 201

    (row,) = database.execute("SELECT email FROM users").fetchall()
    assert row["email"] == person.email


async def test_a_service_token_causes_no_fetch(open_service: Service, issuer: ClerkIssuer) -> None:
    """Service tokens are compared first, and may name any user."""
    assert (await open_service.ensure(Person(), token=TOKEN)).status_code == 201
    assert issuer.requests == []


async def test_without_an_issuer_session_tokens_are_refused(service: Service, issuer: ClerkIssuer) -> None:
    """They have to be enabled."""
    assert (await ask(service, issuer.token(Person()))).status_code == 401
    assert issuer.requests == []


def spliced(token: str, header: dict[str, Any] | bytes, claims: dict[str, Any] | bytes | None = None) -> str:
    """The token with another header or other claims, and with its old signature."""
    parts = token.split(".")
    for place, part in enumerate((header, claims)):
        if part is not None:
            raw = part if isinstance(part, bytes) else json.dumps(part).encode()
            parts[place] = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return ".".join(parts)


def forged(issuer: ClerkIssuer, key: Any, algorithm: str | None, **header: Any) -> str:
    """Valid claims, signed with another key or algorithm."""
    claims = issuer.claims(Person())
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": KEY_ID, **header})


NOW = int(time.time())
WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "expired": {"exp": NOW - 6},
    "no expiry": {"exp": None},
    "an expiry of another type": {"exp": "soon"},
    "an endless expiry": {"exp": float("inf")},
    "an expiry of true": {"exp": True},
    "not yet": {"nbf": NOW + 600},
    "no beginning": {"nbf": None},
    "made in ten minutes": {"iat": NOW + 600},
    "a time of issue of another type": {"iat": "now"},
    "a time of issue of true": {"iat": True},
    "another instance": {"iss": "https://canary.clerk.accounts.dev"},
    "no issuer": {"iss": None},
    "an issuer with a slash": {"iss": "/"},
    "another origin": {"azp": "https://canary.example"},
    "no origin": {"azp": None},
    "a list of origins": {"azp": ["https://app.example.com"]},
    "a machine": {"sub": "mch_canary"},
    "an OAuth client": {"sub": "client_canary"},
    "no subject": {"sub": None},
    "a subject with a line break": {"sub": "user_1\n"},
    "an endless subject": {"sub": "user_" + "a" * 65},
    "a subject of another type": {"sub": 7},
    "no session": {"sid": None},
    "an empty session": {"sid": ""},
    "a pending session": {"sts": "pending"},
    "an unknown state": {"sts": "canary"},
}
WRONG_HEADERS: dict[str, dict[str, Any]] = {
    "a machine token": {"cat": "cl_B7d4PD333AAA"},
    "a template's token": {"cat": "cl_B7d4PD222AAA"},
    "a category of another type": {"cat": ["cl_B7d4PD111AAA"]},
    "an OAuth access token": {"typ": "at+jwt"},
    "unknown extensions": {"crit": ["exp"]},
    "a key of the token's own": {"kid": "ins_canary9", "jku": "http://127.0.0.1:1/"},
}


def wrong_tokens(issuer: ClerkIssuer) -> dict[str, str]:
    """Invalid tokens, by what is wrong with them."""
    good = issuer.token(Person())
    pem = pem_of(issuer.key).encode()
    hmac = spliced(good, {"alg": "HS256", "typ": "JWT", "kid": KEY_ID}).rpartition(".")[0]
    mac = base64.urlsafe_b64encode(digest(pem, hmac.encode(), "sha256")).rstrip(b"=").decode()
    return {
        **{name: issuer.token(Person(), **changed) for name, changed in WRONG_CLAIMS.items()},
        **{name: issuer.token(Person(), header=header) for name, header in WRONG_HEADERS.items()},
        "no algorithm": forged(issuer, None, "none"),
        "no algorithm, in capitals": spliced(good, {"alg": "NONE", "typ": "JWT", "kid": KEY_ID}),
        "a MAC under the public key": f"{hmac}.{mac}",
        "another algorithm of the right key": forged(issuer, issuer.key, "RS512"),
        "PSS instead": forged(issuer, issuer.key, "PS256"),
        "another key": forged(issuer, OTHER_KEY, "RS256"),
        "claims that were exchanged": spliced(good, {"alg": "RS256", "kid": KEY_ID}, issuer.claims(Person())),
        "no signature": good.rpartition(".")[0] + ".",
        "half a signature": good[:-40],
        "no key id": forged(issuer, issuer.key, "RS256", kid=""),
        "a header that is a list": spliced(good, b"[]"),
        "a header that is not JSON": spliced(good, b"{"),
        "a header that is not text": spliced(good, b"\xff\xfe"),
        "a header without end": spliced(good, b"[" * 3000),
        "a nested header": spliced(
            good, b'{"alg":"RS256","kid":"%s","x":' % KEY_ID.encode() + b"[" * 2500 + b"]" * 2500 + b"}"
        ),
        "claims that are a number": spliced(good, {"alg": "RS256", "kid": KEY_ID}, b"7"),
        "four parts": good + ".canary",
        "one part": "canary",
        "empty parts": "..",
        "an opaque machine token": "mt_canary",
        "too long": issuer.token(Person(), more="x" * 9000),
    }


async def test_every_invalid_token_is_the_same_401(
    open_service: Service, issuer: ClerkIssuer, backboard: Sandbox
) -> None:
    """One body and one challenge, which do not tell what to try next."""
    bodies = set()
    for name, token in wrong_tokens(issuer).items():
        answer = await ask(open_service, token)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), name
        bodies.add(answer.text.replace(answer.headers["x-request-id"], ""))

    other = await ask(open_service, "canary-service-token-9999")
    assert bodies == {other.text.replace(other.headers["x-request-id"], "")}
    assert backboard.calls() == []
    assert (await ask(open_service, issuer.token(Person()))).status_code == 201


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": int(time.time()) - 3},
        {"sts": None},
        {"azp": "http://localhost:3000"},
        {"iat": int(time.time()) + 3},
        {"iat": None},
    ],
    ids=["a clock that is slow", "an older token", "the other origin", "a clock that is fast", "no time of issue"],
)
async def test_valid_variations_of_the_claims_are_accepted(
    open_service: Service, issuer: ClerkIssuer, changed: dict[str, Any]
) -> None:
    """Clocks differ by seconds, and older instances leave claims out."""
    if "exp" in changed:
        changed = {"exp": int(time.time()) - 3}
    if changed.get("iat"):
        changed = {"iat": int(time.time()) + 3}
    assert (await ask(open_service, issuer.token(Person(), **changed))).status_code == 201


@pytest.mark.parametrize("header", [{"cat": "cl_I7d4PD111III"}, {"typ": None}], ids=["no class", "no type"])
async def test_a_header_without_a_class_or_a_type_is_accepted(
    open_service: Service, issuer: ClerkIssuer, header: dict[str, Any]
) -> None:
    """Some instances use one category for all tokens."""
    assert (await ask(open_service, issuer.token(Person(), header=header))).status_code == 201


async def test_without_authorized_parties_any_origin_is_accepted(
    variables: dict[str, str], issuer: ClerkIssuer
) -> None:
    """Mobile apps have no origin."""
    async with in_process(create_app(settings_of(variables | {"CLERK_ISSUER": issuer.url}))) as service:
        assert (await ask(service, issuer.token(Person(), azp=None))).status_code == 201


@pytest.mark.parametrize("one_line", [True, False])
async def test_a_configured_key_needs_no_network(
    variables: dict[str, str], issuer: ClerkIssuer, *, one_line: bool
) -> None:
    """PEM on several lines or on one. A configured issuer is compared, and gets no request."""
    pem = pem_of(issuer.key)
    more = {"CLERK_JWT_KEY": pem.replace("\n", "\\n") if one_line else pem, "CLERK_ISSUER": issuer.url}
    async with in_process(create_app(settings_of(variables | more))) as service:
        statuses = [
            (await ask(service, token)).status_code
            for token in (issuer.token(Person()), issuer.token(Person(), iss="x"), forged(issuer, OTHER_KEY, "RS256"))
        ]

    assert statuses == [201, 401, 401]
    assert issuer.requests == []


async def test_a_configured_key_needs_no_issuer(variables: dict[str, str], issuer: ClerkIssuer) -> None:
    """It belongs to one instance."""
    async with in_process(create_app(settings_of(variables | {"CLERK_JWT_KEY": pem_of(issuer.key)}))) as service:
        assert (await ask(service, issuer.token(Person()))).status_code == 201
        assert (await ask(service, forged(issuer, OTHER_KEY, "RS256"))).status_code == 401


async def test_the_keys_are_fetched_once_for_concurrent_callers(open_service: Service, issuer: ClerkIssuer) -> None:
    """And stay in memory."""
    issuer.delay = 0.2
    answers = await asyncio.gather(*(ask(open_service, issuer.token(Person())) for _ in range(10)))
    answers.append(await ask(open_service, issuer.token(Person())))

    assert {answer.status_code for answer in answers} == {201}
    assert issuer.requests == ["/.well-known/jwks.json"]


async def test_a_token_that_is_invalid_without_its_key_causes_no_fetch(
    open_service: Service, issuer: ClerkIssuer
) -> None:
    """Every check that needs no key comes first."""
    wrong = wrong_tokens(issuer)
    needs_the_key = {
        "another key", "claims that were exchanged", "half a signature", "a nested header", "a key of the token's own"
    }  # fmt: skip
    for name, token in wrong.items():
        if name not in needs_the_key:
            await ask(open_service, token)
            assert issuer.requests == [], name


async def test_a_new_key_is_found_and_an_old_one_forgotten(
    open_service: Service, issuer: ClerkIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clerk rotates keys by adding one and withdrawing the other."""
    old = issuer.token(Person())
    assert (await ask(open_service, old)).status_code == 201
    issuer.key = OTHER_KEY
    issuer.keys = [jwk_of(OTHER_KEY, "ins_canary2")]
    monkeypatch.setattr(jwks, "RETRY_SECONDS", 0.0)

    assert (await ask(open_service, issuer.token(Person(), header={"kid": "ins_canary2"}))).status_code == 201
    monkeypatch.undo()
    assert (await ask(open_service, old)).status_code == 401
    assert len(issuer.requests) == 2


async def test_a_withdrawn_key_is_forgotten_after_an_hour(
    open_service: Service, issuer: ClerkIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The set is fetched again in the background; no token with an unknown key is needed."""
    old = issuer.token(Person())
    await ask(open_service, old)
    issuer.keys = [jwk_of(OTHER_KEY, "ins_canary2")]
    monkeypatch.setattr(jwks, "KEEP_SECONDS", 0.0)
    monkeypatch.setattr(jwks, "RETRY_SECONDS", 0.0)

    assert (await ask(open_service, old)).status_code in {200, 401}
    await asyncio.sleep(0.2)
    monkeypatch.undo()
    assert (await ask(open_service, old)).status_code == 401


async def test_invented_key_ids_are_401_and_share_a_fetch(
    open_service: Service, issuer: ClerkIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger causes no 5xx, and no fetch of their own: all wait for the next, but for those asked before."""
    monkeypatch.setattr(jwks, "RETRY_SECONDS", 0.4)
    invented = [issuer.token(Person(), header={"kid": f"ins_canaryx{number}"}) for number in range(20)]

    first = await ask(open_service, invented[0])
    others = await asyncio.gather(*(ask(open_service, token) for token in invented))
    again = [await ask(open_service, token) for token in invented]

    assert {answer.status_code for answer in (first, *others, *again)} == {401}
    assert len(issuer.requests) == 2


async def test_a_key_rotated_after_an_invented_one_is_never_401(
    open_service: Service, issuer: ClerkIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its user waits until Clerk is asked again, which is soon."""
    monkeypatch.setattr(jwks, "RETRY_SECONDS", 0.3)
    assert (await ask(open_service, issuer.token(Person(), header={"kid": "ins_canary9"}))).status_code == 401
    issuer.key = OTHER_KEY
    issuer.keys = [jwk_of(OTHER_KEY, "ins_canary2")]

    assert (await ask(open_service, issuer.token(Person(), header={"kid": "ins_canary2"}))).status_code == 201
    assert (await ask(open_service, issuer.token(Person(), header={"kid": "ins_canary9"}))).status_code == 401
    assert len(issuer.requests) == 2


async def test_a_key_published_while_its_set_is_fetched_is_not_401(
    open_service: Service, issuer: ClerkIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The set under way may be older than the key, so a caller who joined learns nothing from it but what it has."""
    monkeypatch.setattr(jwks, "RETRY_SECONDS", 0.3)
    issuer.delay = 0.2
    first = asyncio.create_task(ask(open_service, issuer.token(Person(), header={"kid": "ins_canary8"})))
    await asyncio.sleep(0.1)
    joined = [
        asyncio.create_task(ask(open_service, issuer.token(Person(), header=header)))
        for header in ({}, {"kid": "ins_canary9"})
    ]

    assert [(await one).status_code for one in (first, *joined)] == [401, 201, 401]
    assert len(issuer.requests) == 2


async def test_a_caller_who_cannot_wait_for_the_next_fetch_is_503(
    open_service: Service, issuer: ClerkIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never is 401 without one."""
    await ask(open_service, issuer.token(Person()))
    monkeypatch.setattr(session_tokens, "WAIT_SECONDS", 0.1)

    answer = await ask(open_service, issuer.token(Person(), header={"kid": "ins_canary9"}))

    assert answer.status_code == 503
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert (await ask(open_service, issuer.token(Person()))).status_code == 201


async def test_more_key_ids_than_are_remembered_are_401(
    open_service: Service, issuer: ClerkIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not remembered is asked for again."""
    monkeypatch.setattr(jwks, "MOST_ABSENT", 2)
    monkeypatch.setattr(jwks, "RETRY_SECONDS", 0.0)
    invented = [issuer.token(Person(), header={"kid": f"ins_canaryx{number % 3}"}) for number in range(6)]

    assert [(await ask(open_service, token)).status_code for token in invented] == [401] * 6
    assert (await ask(open_service, issuer.token(Person()))).status_code == 201
    assert len(issuer.requests) > 3


IMPERSONATIONS: dict[str, tuple[Any, str]] = {
    "a support engineer": ({"iss": "https://dashboard.clerk.com", "sub": "user_2canaryAdmin"}, "user_2canaryAdmin"),
    "an agent": ({"type": "agent", "sub": "agnt_2canary"}, "agnt_2canary"),
    "an address instead of an id": ({"sub": "canary.actor@example.com"}, "unknown"),
    "an actor without a name": ({}, "unknown"),
    "no object": ("user_2canaryAdmin", "unknown"),
}


@pytest.mark.parametrize(("act", "actor"), IMPERSONATIONS.values(), ids=IMPERSONATIONS)
async def test_an_impersonation_is_noted_in_the_log_with_the_actor(
    open_service: Service, issuer: ClerkIssuer, log: Log, act: Any, actor: str
) -> None:
    """The user's row is served, and who acts as the user is on record; an id only, never an address."""
    person = Person()

    assert (await ask(open_service, issuer.token(person, act=act))).status_code == 201

    (line,) = [line for line in log.lines() if line["event"] == "ensure_user"]
    assert (line["clerk_id"], line["actor"]) == (person.clerk_id, actor)


async def test_a_token_of_the_user_alone_has_no_actor_in_the_log(
    open_service: Service, issuer: ClerkIssuer, log: Log
) -> None:
    """Nor has a forged one: who signed it may not write into the log."""
    await ask(open_service, issuer.token(Person(), act=None))
    await ask(open_service, spliced(issuer.token(Person()), {"alg": "RS256", "kid": KEY_ID}, issuer.claims(Person())))

    assert [line.get("actor") for line in log.lines()] == [None, None]


METADATA = {
    "a huge number": b'{"x": 1e400}',
    "a number of 5,000 digits": b'{"x": ' + b"9" * 4999 + b"}",
    "1,500 arrays": b"[" * 1500 + b"]" * 1500,
    "a key twice": b'{"x": 1, "x": 2}',
}


@pytest.mark.parametrize("metadata", METADATA.values(), ids=METADATA)
async def test_metadata_in_a_token_does_not_shut_its_user_out(
    open_service: Service, issuer: ClerkIssuer, metadata: bytes
) -> None:
    """An instance may copy the metadata that a user's browser has written into the session token."""
    header, claims, _ = issuer.token(Person()).split(".")
    raw = base64.urlsafe_b64decode(claims + "==").rstrip(b"}") + b', "metadata": ' + metadata + b"}"
    signed = f"{header}.{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}"
    signature = issuer.key.sign(signed.encode(), PKCS1v15(), SHA256())
    token = f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"

    assert (await ask(open_service, token)).status_code == 201


FAULTS: dict[str, dict[str, Any]] = {
    "an error": {"status": 500},
    "a redirect": {"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}},
    "not JSON": {"body": b"<html>canary"},
    "another document": {"body": b"[1]"},
    "no keys": {"keys": []},
    "keys of no use": {"keys": [None, {"kty": "RSA"}, jwk_of(SHORT_KEY, KEY_ID), {"kty": "EC", "kid": KEY_ID}]},
    "keys of another use": {"keys": [jwk_of(OTHER_KEY, KEY_ID, use="enc"), jwk_of(OTHER_KEY, KEY_ID, alg="RS512")]},
    "numbers of another type": {"keys": [jwk_of(OTHER_KEY, KEY_ID, n=7), jwk_of(OTHER_KEY, KEY_ID, e="")]},
    "too much": {"padding": jwks.SET_BYTES},
    "compressed although not accepted": {"compressed": True, "headers": {"Content-Encoding": "gzip"}},
    "silence": {"delay": 3.0},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_without_usable_keys_a_token_is_503(
    open_service: Service, issuer: ClerkIssuer, fault: dict[str, Any]
) -> None:
    """With Retry-After, and one fetch for all callers. A set that comes after two seconds is not waited for."""
    for name, value in fault.items():
        setattr(issuer, name, value)

    answers = await asyncio.gather(*(ask(open_service, issuer.token(Person())) for _ in range(3)))
    answers.append(await ask(open_service, issuer.token(Person())))

    assert [answer.status_code for answer in answers] == [503] * 4
    assert all(1 <= int(answer.headers["retry-after"]) <= 5 for answer in answers)
    assert len(issuer.requests) == 1


async def test_a_known_key_works_while_the_set_cannot_be_fetched(
    open_service: Service, issuer: ClerkIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only tokens with an unknown key are 503."""
    await ask(open_service, issuer.token(Person()))
    issuer.status = 500
    monkeypatch.setattr(jwks, "RETRY_SECONDS", 0.0)

    assert (await ask(open_service, issuer.token(Person(), header={"kid": "ins_canary2"}))).status_code == 503
    assert (await ask(open_service, issuer.token(Person()))).status_code == 201
    assert (await ask(open_service, issuer.token(Person(), exp=NOW - 60))).status_code == 401


async def test_the_keys_are_fetched_again_after_a_failure(
    open_service: Service, issuer: ClerkIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sooner than after a success, since users are waiting."""
    issuer.status = 500
    assert (await ask(open_service, issuer.token(Person()))).status_code == 503
    issuer.status = 200
    monkeypatch.setattr(jwks, "RETRY_SECONDS", 0.0)

    assert (await ask(open_service, issuer.token(Person()))).status_code == 201


async def test_a_fetch_survives_the_caller_that_started_it(open_service: Service, issuer: ClerkIssuer) -> None:
    """Other callers wait for the same fetch."""
    issuer.delay = 0.3
    first = asyncio.create_task(ask(open_service, issuer.token(Person())))
    await asyncio.sleep(0.1)
    second = asyncio.create_task(ask(open_service, issuer.token(Person())))
    await asyncio.sleep(0)
    first.cancel()

    assert (await second).status_code == 201
    assert len(issuer.requests) == 1
