"""examples/nextjs, built and started, with its stand-in for Clerk's session: a turn by its routes."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest

from tests.examples import nextjs_build
from tests.support import factories
from tools.processes import ServerProcess, responds, start_http
from tools.sandbox.backboard import Sandbox, faults

pytestmark = pytest.mark.skipif(
    not shutil.which("node") or not nextjs_build.is_built(),
    reason="the Next.js example is not built as it is now; .ci/run does that, or python -m tests.examples.nextjs_build",
)

PROMPT = "Be brief."


@pytest.fixture
def browser(start_server: Callable[..., ServerProcess], backboard: Sandbox) -> Iterator[httpx.Client]:
    """A client of the started example."""
    server = start_server()
    variables = {
        "SERVICE_URL": server.url,
        "SERVICE_TOKEN": factories.TOKEN,
        "BACKBOARD_API_URL": backboard.url,
        "BACKBOARD_API_KEY": factories.API_KEY,
        "NEXT_TELEMETRY_DISABLED": "1",
        "STAND_IN_USER": factories.Person().clerk_id,
    }
    scenario = {"name": "City trip", "system_prompt": PROMPT, "model": "m-1"}
    bearer = {"Authorization": f"Bearer {factories.TOKEN}"}
    assert httpx.put(f"{server.url}/scenarios/city-trip", json=scenario, headers=bearer).status_code == 201
    with start_http(
        ["node", "node_modules/next/dist/bin/next", "start", "--hostname", "127.0.0.1"],
        variables,
        cwd=nextjs_build.APP,
    ) as example:
        example.wait_until_ready(responds(example.url, "/"))
        with httpx.Client(base_url=example.url, timeout=30) as client:
            yield client


def ask(browser: httpx.Client, session_id: str, content: str, **more: str) -> httpx.Response:
    question = {"session_id": session_id, "id": str(uuid.uuid4()), "content": content, **more}
    return browser.post("/api/chat", json=question)


def test_a_conversation_in_the_browser(
    browser: httpx.Client, backboard: Sandbox, database: psycopg.Connection[Any]
) -> None:
    """Opened once under its key, streamed, stored with model and tokens; another user's is not found."""
    assert "New conversation" in browser.get("/").text
    assert [one["slug"] for one in browser.get("/api/conversation").json()["scenarios"]] == ["city-trip"]
    wanted = {"key": "trip-1", "scenario": "city-trip"}
    session = browser.post("/api/conversation", json=wanted).json()["session"]
    assert browser.post("/api/conversation", json=wanted).json()["session"]["id"] == session["id"]

    backboard.switches.stream_pace = 0.05
    question = {"session_id": session["id"], "id": str(uuid.uuid4()), "content": "Where should I eat?"}
    with browser.stream("POST", "/api/chat", json=question) as response:
        assert response.status_code == 200
        pieces = [*response.iter_text()]
    backboard.switches.stream_pace = 0
    assert "".join(pieces) == "You said: Where should I eat?"
    assert len(pieces) > 1

    shown = browser.get("/api/conversation").json()
    assert shown["session"]["id"] == session["id"]
    assert [one["content"] for one in shown["messages"]] == ["Where should I eat?", "You said: Where should I eat?"]
    assert shown["messages"][0]["id"] == question["id"]
    assert shown["messages"][1]["metadata"] == {"model": "m-1", "tokens": 12}
    asked = backboard.messages(session["thread_id"])[0].settings
    assert asked == {"system_prompt": PROMPT, "model_name": "m-1", "memory": "Auto"}

    assert ask(browser, session["id"], "").json()["code"] == "shape"
    assert ask(browser, str(uuid.uuid4()), "Canary").status_code == 404
    backboard.next("send_message", faults.error_event())
    with pytest.raises(httpx.RemoteProtocolError):
        ask(browser, session["id"], "And then?")
    database.execute("UPDATE users SET clerk_id = 'user_other'")
    assert ask(browser, session["id"], "Canary").status_code == 404
    roles = [row["role"] for row in database.execute("SELECT role FROM messages ORDER BY position").fetchall()]
    assert roles == ["user", "assistant", "user"]
