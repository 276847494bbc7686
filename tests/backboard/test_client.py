"""What each response of Backboard means, and when the circuit breaker opens and closes."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
import respx

from app.backboard import circuit_breaker, client
from app.backboard.calls import build_backboard_client
from app.backboard.circuit_breaker import CircuitBreaker
from app.backboard.client import Backboard
from app.backboard.models import Assistant
from app.deadline import Deadline
from app.errors import (
    AssistantMissing,
    AssistantUnavailable,
    CircuitOpen,
    DatabaseDown,
    NotSent,
    OutcomeUnknown,
    Rejected,
    Throttled,
)

pytestmark = pytest.mark.anyio

URL = "https://backboard.test/api"
ASSISTANTS = f"{URL}/assistants"
CLERK_ID = "user_2abc"
NAME = "clerk:user_2abc"
UUID = "1f0c2b9e-6a55-4a2e-9b7e-0d7a6c1f7c11"
OTHER_UUID = "2f0c2b9e-6a55-4a2e-9b7e-0d7a6c1f7c11"
EARLIER = "2026-09-18T10:11:12.345Z"
LATER = "2026-09-18T10:11:12.346Z"


def assistant(**changed: Any) -> dict[str, Any]:
    return {"assistant_id": UUID, "name": NAME, "created_at": EARLIER, "tok_k": 10} | changed


@pytest.fixture
async def backboard() -> AsyncIterator[Backboard]:
    async with build_backboard_client(url=URL, api_key="espr_test", connections=5) as client:
        yield Backboard(client, name_prefix="clerk:", system_prompt="Be kind.")


async def create(backboard: Backboard) -> Assistant:
    return await backboard.create_assistant(CLERK_ID, Deadline())


async def find(backboard: Backboard) -> Assistant | None:
    found = await backboard.find_assistants(CLERK_ID, Deadline())
    return found[0] if found else None


@pytest.mark.parametrize("status", [200, 201])
@respx.mock
async def test_a_create_may_answer_200_or_201(backboard: Backboard, status: int) -> None:
    """The documentation says 200; the live server's status is not known."""
    respx.post(ASSISTANTS).respond(status, json=assistant())

    made = await create(backboard)

    assert (made.id, made.name) == (UUID, NAME)


@respx.mock
async def test_a_create_sends_the_name_and_the_prompt_and_nothing_else(backboard: Backboard) -> None:
    """The key is sent as X-API-Key, and no personal data is sent."""
    route = respx.post(ASSISTANTS).respond(json=assistant())

    await create(backboard)

    request = route.calls.last.request
    assert json.loads(request.content) == {"name": NAME, "system_prompt": "Be kind."}
    assert request.headers["X-API-Key"] == "espr_test"
    assert "Authorization" not in request.headers
    assert request.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("status", [301, 307, 400, 401, 402, 403, 404, 405, 413, 415, 422])
@respx.mock
async def test_a_refusal_is_rejected(backboard: Backboard, status: int) -> None:
    """Nothing was created, no redirect is followed, and the create is sent once."""
    route = respx.post(ASSISTANTS).respond(status, headers={"Location": f"{URL}/elsewhere"})

    with pytest.raises(Rejected):
        await create(backboard)

    assert route.call_count == 1


@pytest.mark.parametrize("status", [202, 204, 408, 409, 500, 502, 503, 504])
@respx.mock
async def test_a_create_that_may_be_done_is_unknown_and_not_repeated(backboard: Backboard, status: int) -> None:
    """A 500 after the commit has been seen; a second create could create a second assistant."""
    route = respx.post(ASSISTANTS).respond(status)

    with pytest.raises(OutcomeUnknown):
        await create(backboard)

    assert route.call_count == 1


UNUSABLE = {
    "empty": b"",
    "html": b"<html></html>",
    "cut": json.dumps(assistant()).encode()[:-9],
    "not utf-8": b'{"assistant_id": "\xff"}',
    "an array": json.dumps([assistant()]).encode(),
    "wrapped": json.dumps({"assistant": assistant()}).encode(),
    "null": b"null",
    "NaN": json.dumps(assistant(tok_k=float("nan"))).encode(),
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "no id": json.dumps({"name": NAME}).encode(),
    "id of no UUID": json.dumps(assistant(assistant_id="asst_1")).encode(),
    "id of a number": json.dumps(assistant(assistant_id=7)).encode(),
    "id null": json.dumps(assistant(assistant_id=None)).encode(),
    "no name": json.dumps({"assistant_id": UUID}).encode(),
    "another name": json.dumps(assistant(name="clerk:user_2abd")).encode(),
    "name with a blank": json.dumps(assistant(name=NAME + " ")).encode(),
    "too large": json.dumps(assistant(system_prompt="x" * 300_000)).encode(),
}


@pytest.mark.parametrize("body", UNUSABLE.values(), ids=UNUSABLE.keys())
@respx.mock
async def test_an_unreadable_2xx_is_unknown(backboard: Backboard, body: bytes) -> None:
    """An assistant may exist, so the next try has to look by name."""
    respx.post(ASSISTANTS).respond(200, content=body)

    with pytest.raises(OutcomeUnknown):
        await create(backboard)


@respx.mock
async def test_a_compressed_response_is_unreadable(backboard: Backboard) -> None:
    """The request accepts identity alone; a few KB of gzip can hide 50 MB."""
    respx.post(ASSISTANTS).mock(
        return_value=httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"\x1f\x8b"))
    )

    with pytest.raises(OutcomeUnknown):
        await create(backboard)


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ConnectTimeout])
@respx.mock
async def test_a_request_that_was_not_sent_is_repeated_once(backboard: Backboard, error: type[Exception]) -> None:
    """Nothing can have been created."""
    route = respx.post(ASSISTANTS).mock(side_effect=error("no"))

    with pytest.raises(NotSent):
        await create(backboard)

    assert route.call_count == 2


@pytest.mark.parametrize(
    "error", [httpx.ReadTimeout, httpx.WriteTimeout, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError]
)
@respx.mock
async def test_a_connection_lost_after_sending_is_unknown(backboard: Backboard, error: type[Exception]) -> None:
    """The request may have arrived."""
    route = respx.post(ASSISTANTS).mock(side_effect=error("no"))

    with pytest.raises(OutcomeUnknown):
        await create(backboard)

    assert route.call_count == 1


def in_seconds(seconds: int) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({}, 5),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 1),
        ({"Retry-After": "9" * 5000}, 30),
        ({"Retry-After": "-3"}, 5),
        ({"Retry-After": "soon"}, 5),
        ({"Retry-After": "²"}, 5),
        ({"Retry-After": in_seconds(3600)}, 30),
        ({"Retry-After": in_seconds(-3600)}, 1),
        ({"Retry-After": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}, 5),
    ],
)
@respx.mock
async def test_a_429_passes_its_retry_after_on(backboard: Backboard, header: dict[str, str], expected: int) -> None:
    """Limited to 1 to 30 s, and 5 s where it is missing or malformed."""
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in header.items()]
    respx.post(ASSISTANTS).mock(return_value=httpx.Response(429, headers=encoded))

    with pytest.raises(Throttled) as caught:
        await create(backboard)

    assert caught.value.retry_after == expected


@respx.mock
async def test_a_create_without_enough_time_is_not_sent(backboard: Backboard) -> None:
    """Its outcome would be unknown."""
    route = respx.post(ASSISTANTS).respond(json=assistant())

    with pytest.raises(Exception, match="deadline"):
        await backboard.create_assistant(CLERK_ID, Deadline(1.5))

    assert route.call_count == 0


@respx.mock
async def test_an_empty_list_means_no_assistant(backboard: Backboard) -> None:
    """The exact name is the filter, and the limit has room for duplicates."""
    route = respx.get(ASSISTANTS).respond(json=[])

    assert await find(backboard) is None

    assert dict(route.calls.last.request.url.params) == {"name": NAME, "limit": "10"}


@pytest.mark.parametrize("flip", [False, True])
@respx.mock
async def test_the_oldest_of_several_is_adopted(backboard: Backboard, flip: bool) -> None:  # noqa: FBT001  # A case.
    """It is the most likely to have memories; the order of the list is not known."""
    listed = [assistant(), assistant(assistant_id=OTHER_UUID, created_at=LATER)]
    respx.get(ASSISTANTS).respond(json=listed[::-1] if flip else listed)

    adopted = await find(backboard)

    assert adopted is not None
    assert adopted.id == UUID


@respx.mock
async def test_of_equally_old_assistants_the_lowest_id_is_adopted(backboard: Backboard) -> None:
    """Two processes must adopt the same one."""
    respx.get(ASSISTANTS).respond(json=[assistant(assistant_id=OTHER_UUID), assistant()])

    adopted = await find(backboard)

    assert adopted is not None
    assert adopted.id == UUID


@respx.mock
async def test_a_server_that_ignores_the_filter_is_read_to_the_end(backboard: Backboard) -> None:
    """Older servers list all assistants, and the match may come after the limit."""
    strangers = [assistant(assistant_id=str(uuid4()), name=f"clerk:user_{number}") for number in range(200)]
    respx.get(ASSISTANTS, params={"skip": 0}).respond(json=strangers)
    respx.get(ASSISTANTS, params={"skip": 200}).respond(json=[*strangers[:50], assistant()])
    respx.get(ASSISTANTS, params={"limit": 10}).respond(json=strangers[:10])

    adopted = await find(backboard)

    assert adopted is not None
    assert adopted.name == NAME


def page_of_strangers(request: httpx.Request) -> httpx.Response:
    """A full page of other users' assistants."""
    number = int(request.url.params["limit"])
    return httpx.Response(200, json=[assistant(assistant_id=str(uuid4()), name="clerk:user_1") for _ in range(number)])


@respx.mock
async def test_a_listing_that_never_ends_is_a_failed_lookup(
    backboard: Backboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 10,200 assistants Backboard lists no more, and an unlisted assistant may exist."""
    monkeypatch.setattr(client, "LOOKUP_SECONDS", 20.0)
    respx.get(ASSISTANTS).mock(side_effect=page_of_strangers)

    with pytest.raises(OutcomeUnknown, match="listing_cut"):
        await find(backboard)


@respx.mock
async def test_a_listing_that_ignores_skip_is_a_failed_lookup(backboard: Backboard) -> None:
    """It would return its first page 51 times, and never the rest."""
    strangers = [assistant(assistant_id=str(uuid4()), name=f"clerk:user_{number}") for number in range(200)]
    listing = respx.get(ASSISTANTS).respond(json=strangers)

    with pytest.raises(OutcomeUnknown, match="repeats"):
        await find(backboard)

    assert listing.call_count == 3


@respx.mock
async def test_deleting_an_assistant_that_is_not_there_succeeds(backboard: Backboard) -> None:
    """When the 404 is Backboard's own, and the address lists assistants."""
    respx.delete(url__startswith=f"{ASSISTANTS}/{UUID}").respond(404, json={"detail": "Assistant not found"})
    respx.get(ASSISTANTS).respond(json=[])

    await backboard.delete_assistant(UUID, Deadline())


@pytest.mark.parametrize(
    ("deleting", "listing"),
    [
        (httpx.Response(404, html="<h1>Not Found</h1>"), httpx.Response(200, json=[])),
        (httpx.Response(404), httpx.Response(200, json=[])),
        (httpx.Response(404, json={"error": "no such app"}), httpx.Response(200, json=[])),
        (httpx.Response(404, json={"detail": "Not Found"}), httpx.Response(404, json={"detail": "Not Found"})),
        (httpx.Response(404, json={"detail": "Not Found"}), httpx.Response(200, html="<h1>Welcome</h1>")),
    ],
    ids=["gateway", "empty", "another's words", "wrong path", "a website"],
)
@respx.mock
async def test_a_404_of_a_wrong_address_is_not_a_deletion(
    backboard: Backboard, deleting: httpx.Response, listing: httpx.Response
) -> None:
    """The assistant exists at the right address, and nothing would look for it again."""
    respx.delete(url__startswith=f"{ASSISTANTS}/{UUID}").mock(return_value=deleting)
    respx.get(ASSISTANTS).mock(return_value=listing)

    with pytest.raises(AssistantUnavailable):
        await backboard.delete_assistant(UUID, Deadline())


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        (httpx.Response(200, json={"memories": [{"id": "1"}], "total_count": 7}), 7),
        (httpx.Response(200, json={"memories": [], "total_count": 0}), 0),
        (httpx.Response(404, json={"detail": "Assistant not found"}), 0),
        (httpx.Response(404, html="<h1>Not Found</h1>"), None),
        (httpx.Response(200, json={"memories": []}), None),
        (httpx.Response(200, json=[]), None),
        (httpx.Response(200, json={"total_count": "7"}), None),
        (httpx.Response(500), None),
    ],
    ids=["some", "none", "no assistant", "a gateway", "no count", "a list", "a text", "500"],
)
@respx.mock
async def test_memories_are_counted_or_the_count_fails(
    backboard: Backboard, answer: httpx.Response, count: int | None
) -> None:
    """A count that cannot be read is never 0: erase would take it for a proof."""
    respx.get(f"{ASSISTANTS}/{UUID}/memories").mock(return_value=answer)
    if count is None:
        with pytest.raises(AssistantUnavailable):
            await backboard.count_memories(UUID, Deadline())
        return

    assert await backboard.count_memories(UUID, Deadline()) == count


@pytest.mark.parametrize("status", [200, 202, 204])
@respx.mock
async def test_a_deletion_may_answer_with_and_without_a_body(backboard: Backboard, status: int) -> None:
    respx.delete(url__startswith=f"{ASSISTANTS}/{UUID}").respond(status)

    await backboard.delete_assistant(UUID, Deadline())


@pytest.mark.parametrize(
    ("answer", "is_empty"),
    [
        (httpx.Response(200, json={"thread_id": UUID, "messages": []}), True),
        (httpx.Response(200, json={"thread_id": UUID.upper(), "messages": []}), True),
        (httpx.Response(200, json={"thread_id": UUID, "messages": [{"role": "user"}]}), False),
        (httpx.Response(200, json={"thread_id": UUID, "messages": None}), False),
        (httpx.Response(200, json={"thread_id": UUID}), False),
        (httpx.Response(200, json={"thread_id": OTHER_UUID, "messages": []}), False),
        (httpx.Response(404, json={"detail": "Thread not found"}), False),
    ],
    ids=["nothing said", "in capitals", "something said", "null", "no such member", "another thread", "gone"],
)
@respx.mock
async def test_only_a_thread_that_says_so_itself_is_empty(
    backboard: Backboard, answer: httpx.Response, *, is_empty: bool
) -> None:
    respx.get(f"{URL}/threads/{UUID}").mock(return_value=answer)

    assert await backboard.is_empty_thread(UUID, Deadline()) is is_empty


@respx.mock
async def test_a_404_below_an_assistant_says_that_the_assistant_is_missing(backboard: Backboard) -> None:
    """Only Backboard's own; that of a gateway is a wrong address."""
    threads = respx.route(url__startswith=f"{ASSISTANTS}/{UUID}/threads")
    threads.respond(404, json={"detail": "Assistant not found"})
    with pytest.raises(AssistantMissing):
        await backboard.create_thread(UUID, Deadline())
    with pytest.raises(AssistantMissing):
        await backboard.list_threads(UUID, Deadline())
    threads.respond(404, html="<h1>Not Found</h1>")
    with pytest.raises(Rejected):
        await backboard.create_thread(UUID, Deadline())


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(401),
        httpx.Response(404),
        httpx.Response(429),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, json={"assistants": []}),
        httpx.Response(200, json=[None]),
        httpx.Response(200, json=[{"name": NAME}]),
        httpx.Response(200, content=b"[" * 100_000),
    ],
    ids=["500", "401", "404", "429", "html", "wrapped", "null", "no id", "deep"],
)
@respx.mock
async def test_a_failed_lookup_does_not_mean_absent(backboard: Backboard, answer: httpx.Response) -> None:
    """A second assistant would be created."""
    respx.get(ASSISTANTS).mock(return_value=answer)

    with pytest.raises(AssistantUnavailable):
        await find(backboard)


@respx.mock
async def test_five_failures_in_a_row_open_the_circuit(backboard: Backboard) -> None:
    respx.post(ASSISTANTS).respond(500)
    for _ in range(5):
        with pytest.raises(OutcomeUnknown):
            await create(backboard)

    with pytest.raises(AssistantUnavailable) as caught:
        backboard.breaker.raise_if_open()

    assert caught.value.reason == "backboard_down"
    assert 1 <= caught.value.retry_after <= 5


@respx.mock
async def test_a_success_between_failures_starts_the_count_anew(backboard: Backboard) -> None:
    """Only failures in a row mean that Backboard is down."""
    respx.post(ASSISTANTS).mock(side_effect=[*[httpx.Response(500)] * 4, httpx.Response(200, json=assistant())] * 2)
    for _ in range(2):
        for _ in range(4):
            with pytest.raises(OutcomeUnknown):
                await create(backboard)
        await create(backboard)

    backboard.breaker.raise_if_open()


@respx.mock
async def test_a_refused_key_opens_the_circuit_for_longer(backboard: Backboard) -> None:
    """The operator has to change the key."""
    respx.post(ASSISTANTS).respond(401)
    for _ in range(5):
        with pytest.raises(Rejected):
            await create(backboard)

    with pytest.raises(AssistantUnavailable) as caught:
        backboard.breaker.raise_if_open()

    assert caught.value.retry_after > 20


@respx.mock
async def test_successful_lookups_do_not_close_the_circuit_for_creates(backboard: Backboard) -> None:
    """Without creates, Backboard is down for new users."""
    respx.post(ASSISTANTS).respond(500)
    respx.get(ASSISTANTS).respond(json=[])
    for _ in range(5):
        await find(backboard)
        with pytest.raises(OutcomeUnknown):
            await create(backboard)

    with pytest.raises(AssistantUnavailable):
        backboard.breaker.raise_if_open()


@respx.mock
async def test_a_429_opens_the_circuit_for_its_retry_after_in_spite_of_a_success(backboard: Backboard) -> None:
    """The success belongs to a call that was sent before."""
    respx.post(ASSISTANTS).mock(
        side_effect=[httpx.Response(429, headers={"Retry-After": "20"}), httpx.Response(200, json=assistant())]
    )
    with pytest.raises(Throttled):
        await create(backboard)
    await create(backboard)

    with pytest.raises(AssistantUnavailable) as caught:
        backboard.breaker.raise_if_open()

    assert caught.value.retry_after > 15


@respx.mock
async def test_a_successful_create_closes_the_circuit_after_failed_lookups(backboard: Backboard) -> None:
    """Otherwise every later sign-up would be a probe."""
    respx.get(ASSISTANTS).respond(500)
    respx.post(ASSISTANTS).respond(json=assistant())
    for _ in range(5):
        with pytest.raises(OutcomeUnknown):
            await find(backboard)
    await create(backboard)

    backboard.breaker.raise_if_open()
    backboard.breaker.raise_if_open()


def open_breaker() -> CircuitBreaker:
    breaker = CircuitBreaker()
    for _ in range(circuit_breaker.FAILURES):
        breaker.failed("POST")
    return breaker


def test_after_the_pause_one_probe_is_admitted_and_its_create_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup that works is only the first half of the probe: other callers wait until the create is answered."""
    now = 1000.0
    monkeypatch.setattr(circuit_breaker, "monotonic", lambda: now)
    breaker = open_breaker()
    now += 5.1

    breaker.raise_if_open()
    with breaker.admitted():
        breaker.succeeded("GET")
        with pytest.raises(CircuitOpen), breaker.admitted():
            pass
        breaker.succeeded("POST")
        with breaker.admitted(), breaker.admitted():
            pass


@pytest.mark.parametrize("error", [None, DatabaseDown()], ids=["adopted", "failed at the database"])
def test_a_probe_without_a_verdict_lets_the_next_caller_be_the_probe_at_once(
    error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe that adopts an assistant sends no create, and says nothing about creates."""
    now = 1000.0
    monkeypatch.setattr(circuit_breaker, "monotonic", lambda: now)
    breaker = open_breaker()
    now += 5.1

    with suppress(DatabaseDown), breaker.admitted():
        breaker.succeeded("GET")
        if error:
            raise error

    with breaker.admitted(), pytest.raises(CircuitOpen):
        breaker.raise_if_open()


def test_an_overdue_probe_does_not_end_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(circuit_breaker, "monotonic", lambda: now)
    breaker = open_breaker()
    now += 5.1

    with breaker.admitted():
        now += 5.1
        second = breaker.admitted()
        second.__enter__()

    with pytest.raises(CircuitOpen):
        breaker.raise_if_open()
    second.__exit__(None, None, None)
    breaker.raise_if_open()


def test_the_circuit_is_closed_after_the_retry_after_that_it_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry-After is rounded up."""
    now = 1000.0
    monkeypatch.setattr(circuit_breaker, "monotonic", lambda: now)
    breaker = CircuitBreaker()
    for _ in range(5):
        breaker.failed("POST")
    now += 0.6

    with pytest.raises(AssistantUnavailable) as caught:
        breaker.raise_if_open()

    assert caught.value.retry_after is not None
    now += caught.value.retry_after
    breaker.raise_if_open()
