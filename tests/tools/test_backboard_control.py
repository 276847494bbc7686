"""The Backboard sandbox is steered from Python and over HTTP: switches for unknowns, planned faults, a ledger."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tools.sandbox import faults
from tools.sandbox.backboard import Sandbox
from tools.sandbox.backboard import faults as backboard_faults

NAME = "clerk:user_sandbox"


@pytest.fixture
def control(backboard: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=backboard.url.removesuffix("/api"), trust_env=False, verify=False) as control:
        yield control


def create(client: httpx.Client) -> httpx.Response:
    return client.post("/assistants", json={"name": NAME})


def listed(client: httpx.Client, **parameters: Any) -> list[str]:
    return [assistant["assistant_id"] for assistant in client.get("/assistants", params=parameters).json()]


def test_the_name_filter_can_be_ignored(client: httpx.Client, backboard: Sandbox) -> None:
    """As by an older server that does not know `name`."""
    backboard.switches.name_filter = False
    backboard.make_assistant("another")

    assert len(listed(client, name=NAME)) == 1


def test_new_assistants_can_be_invisible_for_a_while(client: httpx.Client, backboard: Sandbox) -> None:
    """A new assistant is missing from the listing, though its id is served."""
    backboard.switches.visible_after = 60
    made = create(client).json()["assistant_id"]

    assert (listed(client, name=NAME), client.get(f"/assistants/{made}").status_code) == ([], 200)


def test_the_order_of_a_listing_can_be_reversed(client: httpx.Client, backboard: Sandbox) -> None:
    """Ascending begins with the oldest."""
    now = datetime.now(UTC)
    ids = [backboard.make_assistant(NAME, created_at=now - timedelta(days=age)).id for age in (2, 3, 1)]

    ascending = listed(client)
    backboard.switches.order = "descending"

    assert ascending == [ids[1], ids[0], ids[2]]
    assert listed(client) == ascending[::-1]


def test_the_other_unknowns_have_switches(client: httpx.Client, backboard: Sandbox) -> None:
    """The status of a create, an echoed description, unknown fields and clamped paging."""
    switches = backboard.switches
    switches.create_status, switches.echo_description = 201, True
    switches.extra_fields = switches.clamp_paging = True

    response = client.post("/assistants", json={"name": NAME, "description": "Be kind."})

    assert response.status_code == 201
    assert response.json()["description"] == response.json()["system_prompt"] == "Be kind."
    assert "a_field_of_tomorrow" in response.json()
    assert len(listed(client, limit=5000, skip=-1)) == 1


@pytest.mark.parametrize(
    ("spelling", "end"),
    [("z", r"\.\d{3}Z"), ("offset", r"\.\d{3}\+00:00"), ("naive", r"\.\d{3}"), ("microseconds", r"\.\d{6}Z")],
)
def test_timestamps_have_four_spellings(client: httpx.Client, backboard: Sandbox, spelling: Any, end: str) -> None:
    backboard.switches.timestamps = spelling

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d" + end, create(client).json()["created_at"])


def test_the_ledger_keeps_every_call(client: httpx.Client, backboard: Sandbox) -> None:
    """In order, with kind, path, name, fault and the status of the response."""
    backboard.next_lookup(backboard_faults.status(503))
    made = create(client).json()["assistant_id"]
    client.get("/assistants", params={"name": NAME})
    client.delete(f"/assistants/{made}")

    assert [(call.kind, call.path, call.name, call.fault, call.status) for call in backboard.calls()] == [
        ("create", "/assistants", NAME, "", 200),
        ("lookup", "/assistants", NAME, "503", 503),
        ("delete", f"/assistants/{made}", NAME, "", 200),
    ]
    assert len(backboard.calls("POST", "/assistants")) == len(backboard.calls(kind="create")) == 1


def test_queued_faults_come_in_order_and_once(client: httpx.Client, backboard: Sandbox) -> None:
    """Each call takes the next fault of its kind; calls of other kinds take none."""
    backboard.next_create(backboard_faults.status(500), faults.behaves(), backboard_faults.status(429))

    statuses = [create(client).status_code, client.get("/assistants").status_code]
    statuses += [create(client).status_code for _ in range(3)]

    assert statuses == [500, 200, 200, 429, 200]


def test_a_fault_can_be_planned_for_one_name(client: httpx.Client, backboard: Sandbox) -> None:
    """Calls about other assistants go through."""
    backboard.next_create(backboard_faults.status(500), where=lambda name: name.endswith("unlucky"))

    statuses = [client.post("/assistants", json={"name": name}).status_code for name in ("lucky", "unlucky")]

    assert statuses == [200, 500]


def test_a_standing_fault_stays_until_it_is_cleared(client: httpx.Client, backboard: Sandbox) -> None:
    """A fault of kind `any` happens to every call; a queued one comes first."""
    backboard.always("any", backboard_faults.status(401))
    backboard.next_create(backboard_faults.status(402))

    statuses = [create(client).status_code, create(client).status_code, client.get("/threads").status_code]
    backboard.clear()

    assert [*statuses, create(client).status_code] == [402, 401, 401, 200]


def test_a_fault_of_an_unknown_kind_is_an_error(backboard: Sandbox) -> None:
    """A misspelt kind raises at once; otherwise its fault would never happen."""
    with pytest.raises(ValueError, match="craete"):
        backboard.next("craete", faults.hangs())


def test_a_reset_forgets_everything(client: httpx.Client, backboard: Sandbox) -> None:
    """After a reset there are no assistants, calls, faults or switches."""
    create(client)
    backboard.always("any", backboard_faults.status(500))
    backboard.switches.create_status = 201

    backboard.reset()

    assert (backboard.made(), backboard.calls()) == ([], [])
    assert create(client).status_code == 200


def test_assistants_can_be_made_and_deleted_without_a_call(client: httpx.Client, backboard: Sandbox) -> None:
    """As orphans, duplicates and assistants deleted at the dashboard."""
    orphan, vanished = (backboard.make_assistant(NAME) for _ in range(2))

    backboard.delete_assistant(vanished.id)

    assert listed(client, name=NAME) == [orphan.id]


def test_a_test_can_wait_for_a_call_and_for_its_effect(client: httpx.Client, backboard: Sandbox) -> None:
    """wait_for returns as soon as the condition holds, and fails if it never does."""
    gate = threading.Event()
    backboard.next_create(faults.held(gate))
    sender = threading.Thread(target=create, args=[client])
    sender.start()

    backboard.wait_for(lambda: len(backboard.calls("POST")) == 1)
    with pytest.raises(TimeoutError):
        backboard.wait_for(lambda: bool(backboard.alive(NAME)), seconds=0.02)
    gate.set()
    backboard.wait_for(lambda: len(backboard.alive(NAME)) == 1)
    sender.join()


def test_latency_delays_every_call(client: httpx.Client, backboard: Sandbox) -> None:
    backboard.switches.latency = 0.1
    started = time.monotonic()
    client.get("/assistants")

    assert time.monotonic() - started >= 0.1


def test_faults_and_switches_can_be_set_over_http(client: httpx.Client, control: httpx.Client) -> None:
    """A fault and how often, switches, assistants and a reset."""
    control.post("/_control", json={"create": "500_after_commit", "times": 2, "create_status": 201})
    statuses = [create(client).status_code for _ in range(3)]
    control.post("/_control", json={"reset": True, "make": NAME})

    assert statuses == [500, 500, 201]
    assert [made["name"] for made in control.get("/_ledger").json()["assistants"]] == [NAME]


def test_a_standing_fault_can_be_set_and_cleared_over_http(client: httpx.Client, control: httpx.Client) -> None:
    """`always` makes a fault stay, `seconds` sets its pause, and `clear` ends it."""
    control.post("/_control", json={"any": "slow", "always": True, "seconds": 0.05})
    create(client)
    control.post("/_control", json={"clear": True})
    create(client)

    assert [call["fault"] for call in control.get("/_ledger").json()["calls"]] == ["slow", ""]


@pytest.mark.parametrize(
    "settings",
    [[], {"create": "hiccup"}, {"latency": "long"}, {"order": "odd"}, {"name_filter": 1}, {"explode": True}],
)
def test_an_invalid_control_request_changes_nothing(control: httpx.Client, backboard: Sandbox, settings: Any) -> None:
    """The response is a 400 with the valid names, and valid settings beside the mistake are not applied."""
    body = {"make": NAME} | settings if isinstance(settings, dict) else settings

    response = control.post("/_control", json=body)

    assert response.status_code == 400
    assert "500_after_commit" in response.json()["there_is"]["faults"]
    assert backboard.made() == []


def test_every_fault_with_a_name_can_be_made() -> None:
    """None of the names for /_control raises."""
    assert all(make().name is not None for make in backboard_faults.NAMED.values())


def test_it_runs_alone() -> None:
    """`python -m tools.sandbox.backboard` prints its URL and serves."""
    command = [sys.executable, "-m", "tools.sandbox.backboard", "--key", "espr_alone"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as alone:
        assert alone.stdout is not None
        url = alone.stdout.readline().strip()
        response = httpx.get(f"{url}/assistants", headers={"X-API-Key": "espr_alone"}, trust_env=False)
        alone.terminate()

    assert response.json() == []
