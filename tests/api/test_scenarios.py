"""The scenarios over HTTP: written by the chat backend, read by all who are let in, named by sessions."""

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from app.api.scenario_schemas import ScenarioAnswer, ScenarioPage
from app.api.schemas import SessionAnswer, SessionPage
from app.application import create_app
from app.chat.statements import Statements
from tests.support.asgi import Log
from tests.support.factories import Person
from tests.support.service import Chat, Service, in_process, settings_of
from tools.sandbox.clerk.frontend_api import ClerkIssuer

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]

WHOLE = {
    "name": "City trip",
    "description": "A few days in a city.",
    "system_prompt": "You plan city trips.\nAsk for dates first.",
    "model": "provider/model-4.5",
    "is_active": True,
}
EMPTY = {"description": None, "system_prompt": None, "model": None, "is_active": True}
TIMES = ("created_at", "updated_at")


@pytest.fixture
def chat(service: Service) -> Chat:
    return Chat(service.client)


def without_times(scenario: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in scenario.items() if name not in TIMES}


async def test_a_scenario_is_made_once_and_then_replaced(chat: Chat) -> None:
    """201, then 200; the same again changes nothing, and a member that is missing becomes empty."""
    made = await chat.put("/scenarios/city-trip", WHOLE)
    again = await chat.put("/scenarios/city-trip", WHOLE)
    replaced = await chat.put("/scenarios/city-trip", {"name": "Another", "slug": "ignored"})

    assert [one.status_code for one in (made, again, replaced)] == [201, 200, 200]
    assert without_times(made.json()) == {"slug": "city-trip", **WHOLE}
    assert again.json() == made.json()
    assert without_times(replaced.json()) == {"slug": "city-trip", "name": "Another", **EMPTY}
    assert replaced.json()["created_at"] == made.json()["created_at"] < replaced.json()["updated_at"]
    assert (await chat.get("/scenarios/city-trip")).json() == replaced.json()
    ScenarioAnswer.model_validate(replaced.json())


ACCEPTED: list[dict[str, Any]] = [
    {"name": "x" * 200}, {"description": "\u00e9" * 2000}, {"system_prompt": "\U0001f600" * 16_000},
    {"model": "x" * 200}, {"name": "a", "description": None, "system_prompt": None, "model": None},
    {"description": "a\nb\tc"},
]  # fmt: skip
REFUSED: list[dict[str, Any]] = [
    {"name": None}, {"name": ""}, {"name": " "}, {"name": "a\nb"}, {"name": "x" * 201}, {"name": 7},
    {"description": ""}, {"description": "x" * 2001}, {"system_prompt": ""}, {"system_prompt": "x" * 16_001},
    {"system_prompt": ["x"]}, {"system_prompt": "\0"}, {"model": ""}, {"model": "a b"}, {"model": "x" * 201},
    {"model": "mod\u00e9l"}, {"is_active": None}, {"is_active": 1}, {"is_active": "true"},
]  # fmt: skip


async def test_a_scenario_is_stored_as_it_came(chat: Chat) -> None:
    """Up to its bounds, which the table has too."""
    for changed in ACCEPTED:
        stored = (await chat.put("/scenarios/a", WHOLE | changed)).json()

        assert without_times(stored) == {"slug": "a", **WHOLE, **changed}


async def test_a_scenario_that_cannot_be_stored_is_422(chat: Chat, database: Database) -> None:
    """With the member at fault."""
    for changed in REFUSED:
        answer = await chat.put("/scenarios/a", WHOLE | changed)

        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"#/{next(iter(changed))}")
    assert database.execute("SELECT * FROM scenarios").fetchall() == []


async def test_a_malformed_slug_is_422(chat: Chat) -> None:
    """Reading, writing and deleting. A line end is none of the router's paths."""
    for slug in ("A", "a_b", "-a", "a-", "a--b", "a.b", "a%20b", "%C3%A9", "x" * 65, "%D9%A3", "a%0A"):
        path = f"/scenarios/{slug}"
        answers = [await chat.get(path), await chat.put(path, WHOLE), await chat.delete(path)]

        assert {answer.status_code for answer in answers} == {404 if slug == "a%0A" else 422}, slug


async def test_the_list_has_the_active_ones_in_the_order_of_their_slugs(chat: Chat) -> None:
    """Page by page; retired ones where they are asked for. One by its slug is read, active or not."""
    for slug in ("c", "a", "x" * 64, "b", "1"):
        await chat.put(f"/scenarios/{slug}", WHOLE | {"is_active": slug != "b"})

    async def slugs(query: str) -> list[list[str]]:
        pages: list[list[str]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = (await chat.get(f"/scenarios?limit=2{query}" + (f"&cursor={cursor}" if cursor else ""))).json()
            ScenarioPage.model_validate(page)
            pages.append([one["slug"] for one in page["scenarios"]])
            cursor = page["next"]
        return pages

    assert await slugs("") == await slugs("&include_inactive=false") == [["1", "a"], ["c", "x" * 64]]
    assert await slugs("&include_inactive=true") == [["1", "a"], ["b", "c"], ["x" * 64]]
    assert (await chat.get("/scenarios/b")).json()["is_active"] is False


async def test_a_parameter_of_the_list_that_cannot_be_used_is_422(chat: Chat) -> None:
    for query in (
        *("limit=0", "limit=101", "limit=x", "cursor=A", "cursor="),
        *("include_inactive=1", "include_inactive=", "include_inactive=true&include_inactive=true"),
    ):
        answer = await chat.get(f"/scenarios?{query}")

        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, query.partition("=")[0])


async def test_a_session_answers_its_scenario_whole(chat: Chat) -> None:
    """Wherever it is answered, and as the scenario is now; it is null without one."""
    scenario = (await chat.put("/scenarios/a", WHOLE)).json()
    person = Person()
    opened = (await chat.open(person, scenario="a")).json()
    plain = (await chat.open(person, scenario=None)).json()
    path, one = f"/users/{person.clerk_id}/sessions", f"/sessions/{opened['id']}"
    SessionAnswer.model_validate(opened)

    changed = (await chat.put("/scenarios/a", WHOLE | {"model": None, "is_active": False})).json()

    assert (opened["scenario"], plain["scenario"]) == (scenario, None)
    assert (await chat.get(one)).json()["scenario"] == changed
    assert (await chat.patch(one, {"status": "archived"})).json()["scenario"] == changed
    for listed in (
        await chat.get(path),
        await chat.get(path + "?q=trip"),
        await chat.post(path + "/search", {"q": "trip"}),
    ):
        SessionPage.model_validate(listed.json())
        assert {one["id"]: one["scenario"] for one in listed.json()["sessions"]} == {
            opened["id"]: changed, plain["id"]: None,
        }  # fmt: skip


async def test_a_list_of_sessions_takes_one_statement_for_all_scenarios(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And none where no session names one."""
    person, sent = Person(), []
    send = Statements.send

    async def counting(self: Statements, *statements: Any, **how: Any) -> Any:
        sent.append(statements)
        return await send(self, *statements, **how)

    await chat.open(person)
    monkeypatch.setattr(Statements, "send", counting)
    await chat.get(f"/users/{person.clerk_id}/sessions")
    before = len(sent)
    for slug in ("a", "b"):
        await chat.put(f"/scenarios/{slug}", WHOLE)
        for _ in range(2):
            await chat.open(person, scenario=slug)
    sent.clear()
    listed = (await chat.get(f"/users/{person.clerk_id}/sessions")).json()["sessions"]

    assert (before, len(sent)) == (0, 1)
    assert [one["scenario"] and one["scenario"]["slug"] for one in listed] == ["b", "b", "a", "a", None]


async def test_a_scenario_that_a_session_names_is_retired_and_not_deleted(chat: Chat, log: Log) -> None:
    """409 as long as there is one; then 204, and 404."""
    await chat.put("/scenarios/a", WHOLE)
    session = (await chat.open(Person(), scenario="a")).json()

    refused = await chat.delete("/scenarios/a")
    line = log.lines()[-1]
    await chat.delete(f"/sessions/{session['id']}")
    answers = [await chat.delete("/scenarios/a"), await chat.delete("/scenarios/a"), await chat.get("/scenarios/a")]

    assert (refused.status_code, line["reason"], line["scenario"]) == (409, "scenario_in_use", "a")
    assert refused.json()["code"] == "scenario_in_use"
    assert "is_active" in refused.json()["detail"]
    assert [answer.status_code for answer in answers] == [204, 404, 404]
    assert {answer.json()["code"] for answer in answers[1:]} == {"scenario_missing"}


@pytest.fixture
async def signed_in(variables: dict[str, str]) -> AsyncIterator[tuple[Chat, Person, Chat]]:
    """A signed-in user with a session token, and the chat backend."""
    person = Person()
    with ClerkIssuer() as issuer:
        async with in_process(create_app(settings_of(variables | {"CLERK_ISSUER": issuer.url}))) as service:
            yield Chat(service.client, issuer.token(person)), person, Chat(service.client)


async def test_a_signed_in_user_reads_scenarios_and_names_them(
    signed_in: tuple[Chat, Person, Chat], database: Database
) -> None:
    """But writes none: 403, also for a malformed slug or body, and nothing is changed."""
    user, person, backend = signed_in
    made = (await backend.put("/scenarios/a", WHOLE)).json()
    rows = database.execute("SELECT * FROM scenarios").fetchall()

    refused = [
        await user.put("/scenarios/a", WHOLE | {"name": "Mine"}),
        await user.put("/scenarios/b", WHOLE),
        await user.put("/scenarios/B", {}),
        await user.delete("/scenarios/a"),
        await user.delete("/scenarios/unknown"),
    ]

    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(403, "service_token")}
    assert database.execute("SELECT * FROM scenarios").fetchall() == rows
    assert (await user.get("/scenarios")).json()["scenarios"] == [made]
    assert (await user.get("/scenarios/a")).json() == made
    assert (await user.open(person, scenario="a")).json()["scenario"] == made
