"""clients/python against the service; its synchronous half is generated from the other (test_stale.py)."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from clerk_backboard_sync import AsyncClient, Client, Failure, NoAnswer, Problem, Retries

from tests.support import factories
from tests.support.factories import Person
from tests.support.service import Service
from tools.clients.__main__ import PYTHON
from tools.processes import ROOT, ServerProcess

pytestmark = pytest.mark.anyio

URL = "http://test"
GENERATORS = ROOT / ".local" / "clients" / "bin" / "python"
Answer = Callable[[], httpx.Response]


@pytest.fixture
def person() -> Person:
    return Person()


class Faulty(httpx.AsyncBaseTransport):
    """The service behind a network: `plan` has what becomes of the first calls, one by one.

    `lost` is a call that is done and not answered; a function answers in the service's place; all others go through.
    """

    def __init__(self, service: Service, *plan: str | Answer) -> None:
        self.transport = service.client._transport
        self.plan = [*plan]
        self.sent: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        planned = self.plan.pop(0) if self.plan else "through"
        if callable(planned):
            return planned()
        response = await self.transport.handle_async_request(request)
        if planned == "lost":
            await response.aread()
            raise httpx.ReadTimeout("lost")
        return response


def client_of(transport: Faulty, **options: Any) -> AsyncClient:
    retries = Retries(**{"first_wait": 0.0, **options.pop("retries", {})})
    return AsyncClient(URL, options.pop("token", factories.TOKEN), transport=transport, retries=retries, **options)


def busy(status: int = 503, text: str = "{}", **headers: str) -> Answer:
    return lambda: httpx.Response(
        status, text=text, headers={name.replace("_", "-"): headers[name] for name in headers}
    )


def refused() -> httpx.Response:
    raise httpx.ConnectError("refused")


async def test_a_conversation_by_every_method(service: Service, person: Person) -> None:
    async with client_of(Faulty(service)) as client:
        user = await client.ensure_user(person.clerk_id, name="Canary")
        assert await client.get_user(person.clerk_id) == user
        scenario = await client.put_scenario("city-trip", {"name": "City trip", "model": "m-1"})
        assert await client.get_scenario("city-trip") == scenario
        assert (await client.list_scenarios(include_inactive=True))["scenarios"] == [scenario]
        session = await client.open_session(person.clerk_id, {"title": "Lisbon", "scenario": "city-trip"})
        assert session["scenario"] == scenario
        question = await client.add_message(session["id"], {"role": "user", "content": "Where?"})
        batch = await client.add_messages(
            session["id"], {"messages": [{"role": "assistant", "content": "Alfama.", "metadata": {"tokens": 7}}]}
        )
        answer = batch["messages"][0]["id"]
        changed = await client.change_message(session["id"], answer, {"metadata": {"liked": True}})
        assert changed["metadata"] == {"tokens": 7, "liked": True}
        page = await client.list_messages(session["id"], limit=1)
        assert [message["id"] for message in page["messages"]] == [answer]
        earlier = await client.list_messages(session["id"], before=page["before"])
        assert [message["id"] for message in earlier["messages"]] == [question["id"]]
        assert (await client.get_stats(person.clerk_id))["total_tokens"] == 7
        await client.replace_preferences(person.clerk_id, {"language": "pt", "seat": "aisle"})
        merged = await client.merge_preferences(person.clerk_id, {"seat": None})
        assert await client.get_preferences(person.clerk_id) == merged
        await client.change_session(session["id"], {"status": "completed"})
        assert (await client.get_session(session["id"]))["status"] == "completed"
        found = await client.search_sessions(person.clerk_id, {"q": "Alfama"})
        listed = await client.list_sessions(person.clerk_id, q="Lisbon", status="completed,archived")
        assert [one["id"] for one in found["sessions"] + listed["sessions"]] == [session["id"]] * 2
        await client.delete_message(session["id"], question["id"])
        await client.delete_session(session["id"])
        await client.delete_scenario("city-trip")
        with pytest.raises(Problem) as raised:
            await client.get_session(session["id"])
    assert (raised.value.status, raised.value.code, raised.value.tries) == (404, "missing", 1)


async def test_whatever_is_lost_each_thing_is_made_and_deleted_once(
    service: Service, person: Person, database: psycopg.Connection[Any]
) -> None:
    transport = Faulty(service, "lost", busy(retry_after="0"), refused)
    client = client_of(transport)
    session = await client.open_session(person.clerk_id)
    assert len(transport.sent) == 4

    transport.plan = ["lost"]
    message = await client.add_message(session["id"], {"role": "user", "content": "Canary"})
    transport.plan = ["lost"]
    await client.add_messages(session["id"], {"messages": [{"role": "user", "content": "Canary"}]})
    assert (await client.get_session(session["id"]))["message_count"] == 2

    transport.plan = ["lost"]
    await client.delete_message(session["id"], message["id"])
    transport.plan = ["lost"]
    await client.delete_session(session["id"])
    assert database.execute("SELECT FROM sessions").fetchall() == []
    with pytest.raises(Problem):
        await client.delete_session(session["id"])


async def test_a_key_opens_its_session_again(service: Service, person: Person) -> None:
    client = client_of(Faulty(service))

    first = await client.open_session(person.clerk_id, idempotency_key="trip-1")

    assert await client.open_session(person.clerk_id, idempotency_key="trip-1") == first


async def test_a_refusal_is_a_problem_with_its_places(service: Service) -> None:
    transport = Faulty(service)

    with pytest.raises(Problem) as raised:
        await client_of(transport).ensure_user("no id")

    problem = raised.value
    assert (problem.status, problem.code, problem.errors[0]["pointer"]) == (422, "clerk_id", "#/clerk_id")
    assert str(problem.request_id) in str(problem)
    assert len(transport.sent) == 1


PAGE = "<html>"
FAILURES: dict[str, tuple[list[Any], dict[str, float], dict[str, Any]]] = {
    "tries run out": ([busy(retry_after="0")] * 2, {"tries": 2}, {"status": 503, "tries": 2}),
    "a wait too long": ([busy(retry_after="3600")], {}, {"status": 503, "retry_after": 3600.0, "tries": 1}),
    "a date": (
        [busy(retry_after="Fri, 27 Nov 2026")],
        {"first_wait": 9, "seconds": 8},
        {"retry_after": None, "tries": 1},
    ),
    "408 and 429": ([busy(408, retry_after="0"), busy(429), busy(503)], {"tries": 3}, {"status": 503}),
    "no address": ([refused] * 3, {"tries": 3}, {"tries": 3}),
    "a page of a proxy": (
        [busy(502, PAGE), busy(504, PAGE), busy(503, PAGE)],
        {"tries": 3},
        {"code": None, "tries": 3},
    ),
    "a list for a problem": ([busy(422, "[1]")], {}, {"status": 422, "code": None, "errors": []}),
    "another program": ([busy(200, PAGE)], {}, {"status": 200, "tries": 1}),
    "a redirect": ([busy(302, PAGE)], {}, {"status": 302, "tries": 1}),
    "a bug": ([busy(500, PAGE)], {}, {"status": 500, "tries": 1}),
}


@pytest.mark.parametrize(("plan", "retries", "expected"), FAILURES.values(), ids=FAILURES)
async def test_a_failure_is_an_error_of_its_kind(
    service: Service, plan: list[Any], retries: dict[str, float], expected: dict[str, Any]
) -> None:
    transport = Faulty(service, *plan)

    with pytest.raises(Failure) as raised:
        await client_of(transport, retries=retries).get_user("user_1")

    assert {name: getattr(raised.value, name) for name in expected} == expected
    assert isinstance(raised.value, NoAnswer) == (plan[0] is refused)
    assert len(transport.sent) == len(plan) == raised.value.tries


async def test_the_token_of_a_function_is_asked_for_before_each_try(service: Service) -> None:
    tokens = ["canary-of-no-service", factories.TOKEN]

    async def token() -> str:
        return tokens.pop(0)

    with pytest.raises(Problem) as raised:
        await client_of(Faulty(service, busy(retry_after="0")), token=token).get_user("user_1")

    assert raised.value.status == 404


@pytest.mark.parametrize("token", ["", "canary\n", "a b", "\u00e4"])
async def test_a_token_that_no_header_takes_is_not_shown(service: Service, token: str) -> None:
    transport = Faulty(service)

    with pytest.raises(ValueError, match="characters that no token has") as raised:
        await client_of(transport, token=token).get_user("user_1")

    assert "canary" not in str(raised.value)
    assert transport.sent == []


@pytest.mark.parametrize("url", ["nowhere", "ftp://host", "http://", "http://a:b", "http://a:0"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"address|[Pp]ort"):
        Client(url, factories.TOKEN)


@pytest.mark.parametrize("session_id", ["", ".", ".."])
async def test_an_id_that_leads_elsewhere_is_not_sent(service: Service, session_id: str) -> None:
    transport = Faulty(service)

    with pytest.raises(ValueError, match="an id"):
        await client_of(transport).list_messages(session_id)

    assert transport.sent == []


def test_the_synchronous_client_converses(lasting_server: ServerProcess, person: Person) -> None:
    answers = iter([busy(retry_after="0"), refused])
    through = httpx.HTTPTransport()

    def answer(request: httpx.Request) -> httpx.Response:
        planned = next(answers, None)
        return planned() if planned else through.handle_request(request)

    with Client(
        lasting_server.url,
        lambda: factories.TOKEN,
        transport=httpx.MockTransport(answer),
        retries=Retries(first_wait=0),
    ) as client:
        session = client.open_session(person.clerk_id)
        client.add_message(session["id"], {"role": "user", "content": "Canary"})
        assert [one["content"] for one in client.list_messages(session["id"])["messages"]] == ["Canary"]
    through.close()


@pytest.mark.skipif(
    not GENERATORS.exists(), reason="clients/python is not installed; .ci/run does that, in .local/clients"
)
def test_the_installed_package_has_every_module_and_its_types() -> None:
    asked = "import importlib.metadata as m; print(*m.files('clerk-backboard-sync-client'))"
    done = subprocess.run([str(GENERATORS), "-c", asked], capture_output=True, text=True, check=False)
    if "PackageNotFoundError" in done.stderr:
        pytest.skip("clients/python is not installed in .local/clients; .ci/run does that")

    installed = {Path(name).name for name in done.stdout.split() if name.startswith("clerk_backboard_sync/")}
    assert {path.name for path in PYTHON.iterdir() if path.is_file()} <= installed
