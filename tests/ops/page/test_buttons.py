"""What the operators do: find a user, sync, repair and erase them; each is remembered with its outcome."""

import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import pytest

from app.application import create_app
from app.commands.ops.one_user import OneUser
from app.errors import DatabaseUnavailable
from app.ops.models import ActionResult
from app.ops.reads import ask, record_action
from tests.ops.conftest import QUERIES
from tests.ops.page.conftest import ON_PAGE, TOKEN, TOKENS
from tests.ops.rows import deliver, fail, sign_up
from tests.support.factories import Person
from tests.support.service import Service, in_process, settings_of
from tools.sandbox.clerk import LOCAL_KEY, Clerk

pytestmark = pytest.mark.anyio


def actions(database: Any) -> list[tuple[Any, ...]]:
    rows = database.execute(b"SELECT who, action, clerk_id, result FROM actions ORDER BY id").fetchall()
    return [tuple(row.values()) for row in rows]


@pytest.fixture
async def with_clerk(variables: dict[str, str]) -> AsyncIterator[tuple[Service, Clerk]]:
    """The service with a key for Clerk."""
    with Clerk() as clerk:
        more = {"CLERK_SECRET_KEY": LOCAL_KEY, "CLERK_API_URL": clerk.url}
        async with in_process(create_app(settings_of(variables | TOKENS | more))) as service:
            yield service, clerk


async def press(service: Service, path: str, form: Any = None) -> str:
    """Press a button; returns what the page says then."""
    answer = await service.client.post(path, data=form or {}, auth=("on call", TOKEN), headers=ON_PAGE)
    assert answer.status_code == 303, answer.text
    page = await service.client.get(answer.headers["location"], auth=("on call", TOKEN))
    return unescape(re.sub(r"<[^>]+>", "", page.text))


@pytest.mark.parametrize("word", ["A@Example.com", " user_a ", "assistant-of-user_a"])
async def test_one_hit_leads_to_the_user(post: Any, database: Any, word: str) -> None:
    sign_up(database, "user_a", email="a@example.com")
    deliver(database, "msg_1")

    answer = await post("/ops/find", {"q": word})

    assert (answer.status_code, answer.headers["location"]) == (303, "/ops/users/user_a")


async def test_a_delivery_without_a_user_leads_to_itself_and_several_users_to_a_choice(
    post: Any, database: Any
) -> None:
    deliver(database, "msg_1", clerk_id=None)
    for clerk_id in ("user_a", "user_b"):
        sign_up(database, clerk_id, email="both@example.com")

    alone, both, none = [await post("/ops/find", {"q": word}) for word in ("msg_1", "both@example.com", "nothing")]

    assert alone.headers["location"] == "/ops/deliveries/msg_1"
    assert re.findall(r'<td><a class="id" href="(/ops/users/user_[ab])"', both.text)[::2] == [
        "/ops/users/user_a",
        "/ops/users/user_b",
    ]
    assert "Nothing found" in none.text


@pytest.mark.parametrize("svix_id", ["a/b", "a//b", "a?b", "a#b", "a%2Fb", "a b"])
async def test_the_link_of_a_delivery_leads_to_it(svix_id: str, post: Any, get: Any, database: Any) -> None:
    """Whatever its id is; also when it is found by the id of its request."""
    deliver(database, svix_id, clerk_id=None, request_id="request/1")

    found = [await post("/ops/find", {"q": word}) for word in (svix_id, "request/1")]
    pages = [await get(answer.headers["location"]) for answer in found]
    listed = re.search(r'<a class="id short" href="([^"]+)"', (await get("/ops/deliveries")).text)
    assert listed
    pages.append(await get(unescape(listed[1])))

    assert [f'<h1 class="id">{svix_id}</h1>' in page.text for page in pages] == [True] * 3


async def test_a_half_made_user_is_repaired_and_the_page_says_so(
    opened: Service, database: Any, backboard: Any
) -> None:
    """Without a key for Clerk a verified event is what speaks for the user."""
    fail(database, "msg_1", "backboard_error", clerk_id="user_a", minutes=10)
    database.execute(b"INSERT INTO provisioning_attempts (clerk_id, tries) VALUES ('user_a', 2)")

    text = await press(opened, "/ops/users/user_a/repair")

    assert "repair: No row, or no assistant at Backboard: repaired." in text
    assert "Has an assistant and can chat" in text
    assert len(backboard.alive()) == 1
    assert database.execute(b"SELECT resolved_at IS NULL AS fails FROM deliveries").fetchall() == [{"fails": False}]
    assert [row[:3] for row in actions(database)] == [("on call", "repair", "user_a")]


async def test_nothing_is_made_of_an_id_that_only_clerk_could_know(
    opened: Service, database: Any, backboard: Any
) -> None:
    deliver(database, "msg_1", clerk_id="user_b")
    answer = await opened.client.post("/ops/users/user_a/repair", auth=("on call", TOKEN), headers=ON_PAGE)

    assert answer.status_code == 303
    assert "Only Clerk can say" in actions(database)[0][3]
    assert backboard.made() == []


async def test_a_user_in_order_needs_no_repair(opened: Service) -> None:
    person = Person()
    assert (await opened.ensure(person)).status_code == 201

    assert "repair: Nothing had to be repaired." in await press(opened, f"/ops/users/{person.clerk_id}/repair")
    assert "Backboard has the assistant of the row." in unescape(
        (await opened.client.get(f"/ops/users/{person.clerk_id}?ask=backboard", auth=("x", TOKEN))).text
    )


async def test_a_lost_assistant_is_replaced(opened: Service, database: Any, backboard: Any) -> None:
    lost, other = Person(), Person()
    for person in (lost, other):
        assert (await opened.ensure(person)).status_code == 201
    row = database.execute(b"SELECT assistant_id FROM users WHERE clerk_id = %s", [lost.clerk_id]).fetchone()
    backboard.delete_assistant(row["assistant_id"])

    text = await press(opened, f"/ops/users/{lost.clerk_id}/repair")

    assert "no assistant at Backboard: repaired" in text
    assert len(backboard.alive()) == 2


async def test_sync_stores_what_clerk_says(with_clerk: tuple[Service, Clerk], database: Any) -> None:
    service, clerk = with_clerk
    sign_up(database, "user_a", email="old@example.com")
    clerk.add_user("user_a", email_address="new@example.com", first_name="New")

    text = await press(service, "/ops/users/user_a/sync")

    assert "sync: Clerk was asked, and the user is ensured: updated." in text
    assert "old@example.com" not in text


async def test_a_user_that_clerk_lacks_is_left_alone_while_the_key_may_be_anothers(
    with_clerk: tuple[Service, Clerk], database: Any
) -> None:
    """Clerk knows none of our users: most often the key is another instance's."""
    service, _ = with_clerk
    sign_up(database, "user_a", email=None, created_at="2025-01-01T00:00:00Z")

    text = await press(service, "/ops/users/user_a/repair")

    assert "Refused, because it could do harm" in text
    assert database.execute(b"SELECT count(*) AS n FROM deleted_users").fetchone()["n"] == 0


async def test_a_user_goes_as_clerk_says_and_a_young_one_waits(
    with_clerk: tuple[Service, Clerk], database: Any, backboard: Any
) -> None:
    """Another of our users that Clerk knows shows that the key is the right one."""
    service, clerk = with_clerk
    clerk.add_user("user_b")
    for clerk_id in ("user_a", "user_b", "user_young"):
        made = backboard.make_assistant(f"clerk:{clerk_id}")
        born = {} if clerk_id == "user_young" else {"created_at": "2025-01-01T00:00:00Z"}
        sign_up(database, clerk_id, email=None, assistant_id=made.id, **born)

    gone, young = [await press(service, f"/ops/users/{one}/repair") for one in ("user_a", "user_young")]

    assert "Deleted at Clerk, and not here: repaired." in gone
    assert "Deleted at Clerk, and not here: waits for its grace period." in young
    assert sorted(one.name for one in backboard.alive()) == ["clerk:user_b", "clerk:user_young"]


async def test_a_deletion_that_was_broken_off_is_finished(opened: Service, database: Any, backboard: Any) -> None:
    made = backboard.make_assistant("clerk:user_a")
    deleted = "2025-02-01T00:00:00Z"
    sign_up(database, "user_a", email=None, assistant_id=made.id, deleted_at=deleted)
    database.execute(b"INSERT INTO deleted_users VALUES ('user_a', %s)", [deleted])
    values = [deleted, deleted]
    database.execute(b"INSERT INTO provisioning_attempts VALUES ('user_a', 1, %s, %s)", values)

    await press(opened, "/ops/users/user_a/repair")

    assert backboard.alive() == []
    assert not database.execute(b"SELECT clerk_id FROM provisioning_attempts").fetchall()


async def test_an_erasure_needs_the_id_and_leaves_the_tombstone_alone(
    opened: Service, post: Any, database: Any
) -> None:
    person = Person()
    assert (await opened.ensure(person)).status_code == 201
    path = f"/ops/users/{person.clerk_id}/erase"

    wrong = await post(path, {"confirm": "user_other"})
    text = await press(opened, path, {"confirm": person.clerk_id})

    assert (wrong.status_code, "typed" in wrong.text) == (422, True)
    assert "Erased: 1 users, 1 assistants. Nothing is left but the tombstone." in text
    assert person.clerk_id not in text
    assert [(who, action, clerk_id) for who, action, clerk_id, _ in actions(database)] == [("on call", "erase", None)]


async def test_a_repair_finishes_the_deletions_of_the_users_own_sessions(
    opened: Service, database: Any, backboard: Any
) -> None:
    for clerk_id in ("user_a", "user_b"):
        made = backboard.make_assistant(f"clerk:{clerk_id}")
        thread = backboard.make_thread(made.id)
        sign_up(database, clerk_id, email=None, assistant_id=made.id)
        database.execute(
            b"INSERT INTO deleted_threads SELECT gen_random_uuid(), id, %s, now() - interval '2 hours' FROM users"
            b" WHERE clerk_id = %s",
            [thread.id, clerk_id],
        )

    text = await press(opened, "/ops/users/user_a/repair")

    assert "1 thread of deleted sessions deleted." in text
    assert len(backboard.threads()) == 1


async def test_a_failure_is_told_with_its_remedy(opened: Service, database: Any, backboard: Any) -> None:
    """An erasure that Backboard does not let us finish, and a repair: both say so, and both are remembered."""
    made = backboard.make_assistant("clerk:user_a")
    sign_up(database, "user_a", email=None, assistant_id=made.id)
    with backboard.refuse_connections():
        erased = await press(opened, "/ops/users/user_a/erase", {"confirm": "user_a"})
        repaired = await press(opened, "/ops/users/user_a/repair")
        asked = await opened.client.get("/ops/users/user_a?ask=backboard", auth=("on call", TOKEN))

    assert "erase: failed: " in erased
    assert "repair: failed: " in repaired
    assert "Backboard gave no answer" in asked.text
    assert [row[1:3] for row in actions(database)] == [("erase", "user_a"), ("repair", "user_a")]
    again = await press(opened, "/ops/users/user_a/erase", {"confirm": "user_a"})
    assert "Nothing is left but the tombstone." in again
    assert {row[2] for row in actions(database)} == {None}


async def test_an_action_is_remembered_before_it_ends(
    opened: Service, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a kill in the middle does not hide who began what."""
    sign_up(database, email=None)
    seen: list[Any] = []

    async def look(_: Any, clerk_id: str) -> ActionResult:
        page = await opened.client.get(f"/ops/users/{clerk_id}", auth=("on call", TOKEN))
        seen.extend((*actions(database), "by on call: under way" in page.text))
        return ActionResult("looked")

    monkeypatch.setattr(OneUser, "repair", look)
    text = await press(opened, "/ops/users/user_a/repair")

    assert seen == [("on call", "repair", "user_a", "under way"), True]
    assert "repair: looked" in text
    assert actions(database) == [("on call", "repair", "user_a", "looked")]


async def test_the_outcome_of_an_action_stands_on_no_other_users_page(get: Any, database: Any) -> None:
    for clerk_id in ("user_a", "user_b"):
        sign_up(database, clerk_id, email=None)
    database.execute(
        b"INSERT INTO actions (who, action, clerk_id, result)"
        b" VALUES ('x', 'sync', 'user_a', 'forgery'), ('x', 'erase', NULL, 'forgery')"
    )
    numbers = [row["id"] for row in database.execute(b"SELECT id FROM actions ORDER BY id").fetchall()]

    shown = {
        (clerk_id, number): '<p class="panel done"' in (await get(f"/ops/users/{clerk_id}?done={number}")).text
        for clerk_id in ("user_a", "user_b")
        for number in (*numbers, 0)
    }

    assert [place for place, is_shown in shown.items() if is_shown] == [("user_a", numbers[0])]


async def test_the_page_reads_with_a_transaction_that_can_write_nothing(pool: Any, database: Any) -> None:
    with pytest.raises(DatabaseUnavailable):
        await ask(pool, QUERIES, record_action(QUERIES, "on call", "sync", None))

    assert actions(database) == []
