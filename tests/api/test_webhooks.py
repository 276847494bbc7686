"""What /webhooks/clerk and /ensure-user refuse, before they touch the database or Backboard."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.application import create_app
from tests.support import factories
from tests.support.asgi import Log, without_request_id
from tests.support.factories import Person, event, signed, user_created
from tests.support.service import Service, environment, in_process, settings_of

pytestmark = pytest.mark.anyio

PATHS = ["/webhooks/clerk", "/ensure-user"]
BEARER = {"Authorization": f"Bearer {factories.TOKEN}"}


@pytest.fixture
async def stranded(tmp_path: Path) -> AsyncIterator[Service]:
    """The service without a database and without Backboard: a request that needs either is a 503."""
    variables = environment(f"postgresql://app@/app?host={tmp_path}", "http://127.0.0.1:9/api")
    async with in_process(create_app(settings_of(variables))) as service:
        yield service


async def post(service: Service, path: str, content: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
    """Post with credentials for either path; `headers` replace some of them."""
    known = signed(content) | BEARER
    return await service.client.post(path, content=content, headers=known | (headers or {}))


def assert_problem(answer: httpx.Response, status: int) -> None:
    document = answer.json()
    assert (answer.status_code, document["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert document.keys() - {"code", "errors"} == {"type", "title", "status", "detail", "request_id"}
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
async def test_another_method_than_post_is_405(stranded: Service, path: str, method: str) -> None:
    """With an Allow header."""
    answer = await stranded.client.request(method, path)

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", ["/webhooks/clerk/", "//webhooks/clerk", "/webhooks/clerk;x",
                                  "/webhooks/%00", "/webhooks/clerk%0d%0a", "/%ff", "/ensure-user/"])  # fmt: skip
async def test_another_spelling_of_the_path_is_404(stranded: Service, path: str) -> None:
    """Never a redirect, which would name the host that the request claims."""
    assert_problem(await stranded.client.post(path, headers={"Host": "evil.example"}), 404)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "",
        "application/json; charset=latin-1",
        "application/json, text/plain",
    ],
)
async def test_another_content_type_than_json_is_415(stranded: Service, path: str, content_type: str) -> None:
    """Before a byte of the body is read."""
    assert_problem(await post(stranded, path, b"{}", {"content-type": content_type}), 415)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("encoding", ["gzip", "identity", "br", ""])
async def test_a_content_encoding_is_415(stranded: Service, path: str, encoding: str) -> None:
    """A few KB of gzip can hold gigabytes."""
    assert_problem(await post(stranded, path, b"{}", {"content-encoding": encoding}), 415)


async def test_other_spellings_of_the_content_type_are_accepted(stranded: Service) -> None:
    """Media types ignore case, and may name UTF-8."""
    headers = {"content-type": 'Application/JSON ; charset="UTF-8"'}

    assert (await post(stranded, "/webhooks/clerk", event("x.y", {}), headers)).json() == {"outcome": "ignored"}


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_over_256_kib_is_413(stranded: Service, path: str) -> None:
    """With and without a Content-Length."""
    exact, larger = b" " * 262_144, b" " * 262_145

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b" " * 1000

    assert_problem(await post(stranded, path, larger), 413)
    assert_problem(await post(stranded, path, exact), 422)
    chunked = await stranded.client.post(path, content=pieces(), headers=signed(b"") | BEARER)
    assert_problem(chunked, 413)


async def test_every_bad_signature_gets_the_same_answer(stranded: Service) -> None:
    """Only the log names the fault."""
    body = user_created(Person())
    right = signed(body)
    attempts: list[dict[str, str]] = [
        {},
        right | {"svix-signature": "garbage"},
        right | {"svix-signature": "v1,abc"},
        right | {"svix-timestamp": "hello"},
        right | {"svix-id": ""},
        signed(body, timestamp=1),
        signed(body, secret=b"x" * 24),
        signed(b"other"),
    ]
    answers = [
        await stranded.client.post(
            "/webhooks/clerk", content=body, headers={"content-type": "application/json"} | attempt
        )
        for attempt in attempts
    ]

    for answer in answers:
        assert_problem(answer, 400)
    assert all(without_request_id(answer.content) == without_request_id(answers[0].content) for answer in answers)


async def test_a_duplicate_signature_header_is_400(stranded: Service) -> None:
    """Another reader could take the other one."""
    body = user_created(Person())
    headers = [*signed(body).items(), ("Svix-Id", "msg_2")]

    assert_problem(await stranded.client.post("/webhooks/clerk", content=body, headers=headers), 400)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{", b'{"type": "user.created"}', b"\xff", b'{"type": "user.created", "data": {}}']
)
async def test_a_signed_but_unusable_event_is_422(stranded: Service, body: bytes) -> None:
    """It comes from Clerk, so it is not a 400."""
    assert_problem(await post(stranded, "/webhooks/clerk", body), 422)


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Basic Y2FuYXJ5", "Bearer", "Bearer ", factories.TOKEN, f"Bearer {factories.TOKEN}x", "Bearer x y",
     f"Bearer {factories.TOKEN[:-1]}", f"Bearer: {factories.TOKEN}"],
)  # fmt: skip
async def test_ensure_user_without_a_valid_token_is_401(stranded: Service, authorization: str | None) -> None:
    """With a challenge, before the body is read."""
    headers = {"content-type": "application/json"} | ({"Authorization": authorization} if authorization else {})

    answer = await stranded.client.post("/ensure-user", content=b"", headers=headers)

    assert_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_two_authorization_headers_are_401(stranded: Service) -> None:
    """Even if one of them is valid."""
    headers = [("Authorization", f"Bearer {factories.TOKEN}"), ("Authorization", "Bearer x")]

    assert_problem(await stranded.client.post("/ensure-user", json={}, headers=headers), 401)


async def test_without_service_tokens_ensure_user_is_401(variables: dict[str, str]) -> None:
    """A forgotten variable opens nothing."""
    async with in_process(create_app(settings_of(variables | {"SERVICE_TOKENS": ""}))) as service:
        assert (await service.ensure(Person())).status_code == 401
        assert (await service.ensure(Person(), token="")).status_code == 401


@pytest.mark.parametrize("word", ["Bearer", "bearer", "BEARER"])
async def test_both_tokens_and_any_case_of_bearer_are_accepted(service: Service, word: str) -> None:
    """There are two tokens during a rotation."""
    person = Person()
    for token in (factories.TOKEN, factories.OTHER_TOKEN):
        answer = await service.client.post(
            "/ensure-user", json={"clerk_id": person.clerk_id}, headers={"Authorization": f"{word} {token}"}
        )
        assert answer.status_code in (200, 201)


UNUSABLE = [b"", b"null", b"[]", b'"x"', b"1", b"{", b"\xff\xfe", b"{}", b'{"clerk_id": null}', b'{"clerk_id": 7}',
            b'{"clerk_id": ["user_a"]}', b'{"clerk_id": "user_"}', b'{"clerk_id": "user_a b"}',
            b'{"clerk_id": "org_a"}',
            b'{"clerk_id": "user_a\\n"}', b'{"clerk_id": "user_\\u0000"}', b'{"clerk_id": "user_\\ud800"}',
            b'{"clerk_id": "user_a", "clerk_id": "user_b"}', b'{"clerk_id": "user_a", "x": NaN}',
            b'{"clerk_id": "user_a", "email": 7}', b"[" * 100_000]  # fmt: skip


@pytest.mark.parametrize("body", UNUSABLE, ids=lambda body: ascii(body[:40]))
async def test_an_invalid_body_of_ensure_user_is_422(stranded: Service, body: bytes) -> None:
    assert_problem(await post(stranded, "/ensure-user", body), 422)


async def test_text_that_postgres_cannot_store_is_cleaned(service: Service) -> None:
    """Half an emoji or a NUL does not cost the user the row."""
    body = json.dumps({"clerk_id": Person().clerk_id, "name": "Canary\ud83d\0", "email": " ", "more": 1}).encode()

    answer = await post(service, "/ensure-user", body)

    assert (answer.status_code, answer.json()["name"], answer.json()["email"]) == (201, "Canary\ufffd", None)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a" * 20, True),
        ("a+/=-" * 4, True),
        ("a" * 200, True),
        ("a" * 19, False),
        ("a" * 201, False),
        ("x y" * 9, False),
    ],
)
async def test_the_routers_request_id_is_kept(stranded: Service, given: str, kept: bool) -> None:  # noqa: FBT001
    """If it is well-formed; otherwise the request gets a new one."""
    answer = await stranded.client.get("/healthz", headers={"X-Request-Id": given})

    assert (answer.headers["x-request-id"] == given) == kept
    assert answer.headers["x-request-id"]


async def test_a_head_over_32_kb_or_100_fields_is_431(stranded: Service) -> None:
    """A single header of 8 KB is accepted."""
    fields = {f"x-{number}": "y" for number in range(120)}

    assert (await stranded.client.get("/healthz", headers={"x": "y" * 8000})).status_code == 200
    assert_problem(await stranded.client.get("/healthz", headers={"x": "y" * 33_000}), 431)
    assert_problem(await stranded.client.get("/healthz", headers=fields), 431)


async def test_each_request_has_one_closing_line(stranded: Service, log: Log) -> None:
    """With a reason from a fixed list, and nothing of the request."""
    await post(stranded, "/webhooks/clerk?token=canary", b"canary", {"svix-signature": "v1,canary"})

    (line,) = [line for line in log.lines() if line["event"] == "webhook"]
    assert (line["status"], line["reason"]) == (400, "signature")
    assert "canary" not in str(line)
