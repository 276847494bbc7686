"""The Backboard sandbox, on which other tests rely, follows Backboard's API and keeps a correct ledger."""

from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.support.factories import API_KEY
from tools.sandbox.backboard import Sandbox

NAME = "clerk:user_sandbox"


def create(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    response = client.post("/assistants", json={"name": NAME} | fields)
    assert response.status_code == 200
    assistant: dict[str, Any] = response.json()
    return assistant


def listed(client: httpx.Client, **parameters: Any) -> list[str]:
    return [assistant["assistant_id"] for assistant in client.get("/assistants", params=parameters).json()]


def test_a_create_returns_the_whole_assistant(client: httpx.Client) -> None:
    """The body of the response is the assistant itself, with every documented field and its default."""
    assistant = create(client, system_prompt="Be kind.", instructions="not a field")

    assert UUID(assistant.pop("assistant_id")).version == 4
    assert datetime.fromisoformat(assistant.pop("created_at")).tzinfo is not None
    assert assistant == {
        "name": NAME,
        "system_prompt": "Be kind.",
        "description": None,
        "tools": None,
        "tok_k": 10,
        "embedding_provider": "openai",
        "embedding_model_name": "text-embedding-3-large",
        "embedding_dims": 3072,
        "custom_fact_extraction_prompt": None,
        "custom_update_memory_prompt": None,
    }


def test_names_are_not_unique(client: httpx.Client, backboard: Sandbox) -> None:
    """Each create makes another assistant, even under the same idempotency key."""
    for _ in range(2):
        client.post("/assistants", json={"name": NAME}, headers={"Idempotency-Key": "once"})

    assert len({assistant.id for assistant in backboard.alive(NAME)}) == 2


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "missing"),
        ({"name": None}, "string_type"),
        ({"name": ""}, "string_too_short"),
        ({"name": "x" * 256}, "string_too_long"),
        ({"name": NAME, "tok_k": 0}, "greater_than_equal"),
        ({"name": NAME, "tok_k": 101}, "less_than_equal"),
        ({"name": NAME, "tok_k": "10"}, "int_type"),
        ({"name": NAME, "system_prompt": 7}, "string_type"),
        ({"name": NAME, "tools": {}}, "list_type"),
        ({"name": NAME, "embedding_dims": True}, "int_type"),
    ],
)
def test_a_create_is_validated(client: httpx.Client, backboard: Sandbox, fields: dict[str, Any], kind: str) -> None:
    """A field that Backboard would refuse is refused with 422 in the list shape, and nothing is made."""
    response = client.post("/assistants", json=fields)

    assert response.status_code == 422
    assert [(problem["type"], problem["loc"][0]) for problem in response.json()["detail"]] == [(kind, "body")]
    assert backboard.made() == []


@pytest.mark.parametrize(
    ("body", "content_type", "kind"),
    [
        (b"", "application/json", "missing"),
        (b"{", "application/json", "json_invalid"),
        (b"[]", "application/json", "model_attributes_type"),
        (b'{"name": "x"}', "text/plain", "model_attributes_type"),
    ],
)
def test_a_create_takes_a_json_object_only(client: httpx.Client, body: bytes, content_type: str, kind: str) -> None:
    """A body that is missing, no JSON, no object or not called JSON is a 422."""
    response = client.post("/assistants", content=body, headers={"Content-Type": content_type})

    assert (response.status_code, response.json()["detail"][0]["type"]) == (422, kind)


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "espr_wrong"}, {"Authorization": f"Bearer {API_KEY}"}])
def test_only_the_right_key_in_the_right_header_is_accepted(backboard: Sandbox, headers: dict[str, str]) -> None:
    """Without a key, with a wrong one or with a bearer token, every call is a 401 in the ledger."""
    response = httpx.post(f"{backboard.url}/assistants", json={"name": NAME}, headers=headers, trust_env=False)

    assert (response.status_code, response.json()) == (401, {"detail": "Invalid or missing API key"})
    assert ([call.key_ok for call in backboard.calls()], backboard.made()) == ([False], [])


def test_each_key_has_an_account_of_its_own() -> None:
    """An assistant of one key is neither listed for another key nor found there by id."""
    with Sandbox(keys=["espr_one", "espr_two"]) as sandbox:
        made = sandbox.make_assistant(NAME, key="espr_one")
        with httpx.Client(base_url=sandbox.url, headers={"X-API-Key": "espr_two"}, trust_env=False) as other:
            assert listed(other) == []
            assert other.delete(f"/assistants/{made.id}").status_code == 404
        assert [one.id for one in sandbox.alive(NAME, key="espr_one")] == [made.id]


def test_a_lookup_finds_the_exact_name_only(client: httpx.Client, backboard: Sandbox) -> None:
    """The name filter is case-sensitive and matches no substring."""
    wanted = backboard.make_assistant(NAME)
    for near in (NAME.upper(), NAME + "x", NAME[:-1]):
        backboard.make_assistant(near)

    assert listed(client, name=NAME, limit=2) == [wanted.id]


def test_pages_cover_a_listing_once(client: httpx.Client, backboard: Sandbox) -> None:
    """Skip and limit go through everything without a gap or an overlap, in random order too."""
    backboard.switches.order = "random"
    made = {backboard.make_assistant(f"{NAME}{number}").id for number in range(7)}

    pages = [listed(client, skip=skip, limit=3) for skip in (0, 3, 6, 9)]

    assert [len(page) for page in pages] == [3, 3, 1, 0]
    assert set().union(*pages) == made


@pytest.mark.parametrize("paging", [{"limit": 0}, {"limit": 201}, {"skip": -1}, {"skip": 10_001}, {"skip": "x"}])
def test_paging_out_of_range_is_refused(client: httpx.Client, paging: dict[str, Any]) -> None:
    """Outside Backboard's documented ranges the response is a 422."""
    assert client.get("/assistants", params=paging).status_code == 422


def test_an_update_changes_only_what_it_names(client: httpx.Client) -> None:
    """PUT is partial; a null clears a field."""
    made = create(client, system_prompt="Be kind.", tok_k=5)

    changed = client.put(f"/assistants/{made['assistant_id']}", json={"name": "new", "system_prompt": None})

    assert changed.json() == made | {"name": "new", "system_prompt": None}


def test_a_deletion_deletes_the_threads_too(client: httpx.Client, backboard: Sandbox) -> None:
    """Afterwards the assistant and its threads are 404; the ledger keeps the time."""
    assistant = f"/assistants/{create(client)['assistant_id']}"
    thread = f"/threads/{client.post(f'{assistant}/threads', json={}).json()['thread_id']}"

    deleted = client.delete(assistant)

    assert set(deleted.json()) == {"message", "assistant_id", "deleted_at"}
    assert [client.get(path).status_code for path in (assistant, thread)] == [404, 404]
    assert client.delete(assistant).json() == {"detail": "Assistant not found"}
    assert [made.deleted_at is None for made in backboard.made(NAME)] == [False]


def test_memories_hang_on_the_assistant(client: httpx.Client, backboard: Sandbox) -> None:
    """Counted in a wrapped listing, deleted all at once; they do not go with the assistant."""
    assistant = create(client)["assistant_id"]
    memories = f"/assistants/{assistant}/memories"

    added = [client.post(memories, json={"content": content}).status_code for content in ("one", "two")]
    listed = client.get(memories).json()
    deleted = client.delete(memories).status_code

    assert (added, listed["total_count"], len(listed["memories"]), deleted) == ([201, 201], 2, 2, 200)
    assert client.get(memories).json()["total_count"] == 0
    client.post(memories, json={"content": "three"})
    client.delete(f"/assistants/{assistant}")
    assert (client.get(memories).status_code, backboard.memories(assistant)) == (404, ["three"])


@pytest.mark.parametrize(("switch", "shown"), [("shown", [{}, {}]), ("empty", []), ("absent", None)])
def test_a_listing_of_threads_may_hide_their_messages(
    client: httpx.Client, backboard: Sandbox, switch: Any, shown: Any
) -> None:
    """The thread alone shows them always."""
    assistant = create(client)["assistant_id"]
    thread = backboard.make_thread(assistant, messages=2)
    backboard.switches.listed_messages = switch

    (listed,) = client.get(f"/assistants/{assistant}/threads").json()

    assert (len(listed["messages"]) if shown else listed.get("messages")) == (len(shown) if shown else shown)
    assert len(client.get(f"/threads/{thread.id}").json()["messages"]) == 2


def test_a_thread_needs_a_body(client: httpx.Client) -> None:
    """An empty object is enough, no body is not."""
    threads = f"/assistants/{create(client)['assistant_id']}/threads"

    refused, made = client.post(threads), client.post(threads, json={})

    assert refused.status_code == 422
    assert made.json() == client.get(f"/threads/{made.json()['thread_id']}").json()
    assert client.get(threads).json() == client.get("/threads").json() == [made.json()]
    assert set(made.json()) == {"thread_id", "created_at", "messages", "metadata_"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/assistants/asst_123", 422),
        ("GET", "/assistants/5d3c1bb4-0a52-4a8b-9c53-1f3a0c2c8f11", 404),
        ("DELETE", "/threads/5d3c1bb4-0a52-4a8b-9c53-1f3a0c2c8f11", 404),
        ("DELETE", "/threads/7", 422),
        ("PATCH", "/assistants", 405),
        ("GET", "/assistants/", 404),
        ("GET", "/v1/assistants", 404),
    ],
)
def test_unknown_ids_methods_and_paths_are_refused(client: httpx.Client, method: str, path: str, status: int) -> None:
    """Each with its own status, malformed ids included."""
    assert client.request(method, path).status_code == status


def test_a_chunked_body_is_read(client: httpx.Client, backboard: Sandbox) -> None:
    """A request without a length is served like any other, on one connection."""
    chunks = iter([b'{"name": ', f'"{NAME}"'.encode(), b"}"])

    sent = client.post("/assistants", content=chunks, headers={"Content-Type": "application/json"})

    assert sent.status_code == 200
    assert listed(client) == [made.id for made in backboard.alive(NAME)]
