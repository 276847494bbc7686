"""The chat's sessions over HTTP: opened, listed, searched, changed, deleted; stats and preferences."""

import asyncio
import unicodedata
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from app.api.schemas import MessageAnswer, MessageList, MessagePage, SessionAnswer, SessionPage, StatsAnswer
from tests.support.factories import Person, event, user_created
from tests.support.service import Chat, Service
from tools.processes import wait_until
from tools.sandbox.backboard import Sandbox

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]


@pytest.fixture
def chat(service: Service) -> Chat:
    return Chat(service.client)


async def test_opening_a_session_makes_a_row_and_a_thread(chat: Chat, database: Database, backboard: Sandbox) -> None:
    """For an unknown user, it makes the user first."""
    person = Person()

    answer = await chat.open(person, title="Lisbon")

    session = answer.json()
    assert answer.status_code == 201
    (thread,) = backboard.threads()
    (assistant,) = backboard.alive(person.assistant_name)
    assert (session["thread_id"], session["assistant_id"]) == (thread.id, assistant.id)
    assert (session["clerk_id"], session["title"], session["status"]) == (person.clerk_id, "Lisbon", "active")
    assert (await chat.get(f"/sessions/{session['id']}")).json() == session
    assert database.execute("SELECT * FROM session_attempts").fetchall() == []


UNSEEN = [
    "",
    " ",
    "\t",
    "\n",
    "\x7f",
    "\x85",
    "\xa0",
    "\xad",
    "\u034f",
    "\u061c",
    "\u115f",
    "\u1680",
    "\u180e",
    "\u2003",
]
UNSEEN += [
    "\u200b",
    "\u200d",
    "\u2028",
    "\u202e",
    "\u2060",
    "\u2800",
    "\u3000",
    "\u3164",
    "\ufe0f",
    "\ufeff",
    "\U000e0020",
]


@pytest.mark.parametrize("blank", UNSEEN, ids=ascii)
async def test_a_title_in_which_there_is_nothing_to_see_is_refused(chat: Chat, blank: str) -> None:
    """Nor when there are several, or blanks round it."""
    person = Person()
    for title in (blank, blank * 3, f" {blank}\u200b"):
        assert (await chat.open(person, title=title)).status_code == 422


@pytest.mark.parametrize(
    "title", ["x", "\xa0x\u200b", "\u4e2d", "\u0e01", "\U0001f468\u200d\U0001f469", "\u2014", ".", "0"], ids=ascii
)
async def test_a_title_with_something_to_see_is_kept_as_it_is(chat: Chat, title: str) -> None:
    assert (await chat.open(Person(), title=title)).json()["title"] == title


async def test_a_session_without_a_title_is_called_new_trip(chat: Chat) -> None:
    assert (await chat.open(Person())).json()["title"] == "New Trip"


async def test_each_session_has_a_thread_of_its_own(chat: Chat, backboard: Sandbox) -> None:
    """Each takes one call to Backboard."""
    person = Person()

    sessions = [(await chat.open(person)).json() for _ in range(3)]

    assert {one["thread_id"] for one in sessions} == {one.id for one in backboard.threads()}
    assert len(backboard.calls()) == 4


async def test_sessions_are_listed_by_latest_activity(chat: Chat) -> None:
    """With the first 200 characters of each latest message."""
    person = Person()
    first, second, third = [(await chat.open(person, title=title)).json() for title in "ABC"]
    await chat.say(first, "user", "hello")
    await chat.say(first, "assistant", "x" * 300)

    answer = await chat.get(f"/users/{person.clerk_id}/sessions")

    listed = answer.json()["sessions"]
    assert [one["id"] for one in listed] == [first["id"], third["id"], second["id"]]
    assert (listed[0]["last_message"]["role"], listed[0]["last_message"]["content"]) == ("assistant", "x" * 200)
    assert (listed[1]["last_message"], answer.json()["next"]) == (None, None)


async def test_pages_of_sessions_neither_repeat_nor_skip(chat: Chat, database: Database) -> None:
    """Also where many sessions were active in the same microsecond."""
    person = Person()
    opened = [(await chat.open(person)).json()["id"] for _ in range(7)]
    database.execute("UPDATE sessions SET last_active_at = now()")

    path = f"/users/{person.clerk_id}/sessions?limit=3"
    pages = [(await chat.get(path)).json()]
    while cursor := pages[-1]["next"]:
        pages.append((await chat.get(f"{path}&cursor={cursor}")).json())

    assert [len(page["sessions"]) for page in pages] == [3, 3, 1]
    assert sorted(one["id"] for page in pages for one in page["sessions"]) == sorted(opened)


@pytest.mark.parametrize(
    ("text", "found"),
    [("lisbon", "A"), ("TRAM", "B"), ("100%", "C"), ("a_b", "C"), ("\\", "C"), ("%", "C"), ("_", "C"), ("ä", "B"),
     ("ÄPFEL", "B"), ("nowhere", ""), ("o", "AB"), ("a.b", ""), ("(?i)x|", "C"), ("[x]{2}", "C"), ("^$*+?", "C"),
     ("***:a", "")],
)  # fmt: skip
async def test_a_search_looks_into_titles_and_messages(chat: Chat, text: str, found: str) -> None:
    """It ignores case, treats wildcards as plain characters, and finds the user's own sessions only."""
    person, other = Person(), Person()
    sessions = {}
    for name, title in {"A": "Lisbon", "B": "Porto", "C": "third"}.items():
        sessions[name] = (await chat.open(person, title=title)).json()
    await chat.say(sessions["B"], "user", "Where is the tram, and the äpfel?")
    await chat.say(sessions["C"], "user", "100% a_b \\ sure (?i)x|[x]{2}^$*+?")
    await chat.say((await chat.open(other, title="Lisbon " + text)).json(), "user", text)

    answer = await chat.get(f"/users/{person.clerk_id}/sessions", params={"q": text})

    assert {one["id"] for one in answer.json()["sessions"]} == {sessions[name]["id"] for name in found}


SPELLINGS = {
    "two characters, searched as one": ("Cafe\u0301 do Chiado", "caf\u00e9"),
    "one character, searched as two": ("Caf\u00e9 do Chiado", "cafe\u0301"),
    "both in one text": ("Caf\u00e9 e cafe\u0301", "cafe\u0301 E CAF\u00c9"),
    "marks in another order": ("Vi\u1ec7t", "vie\u0302\u0323t"),
    "Hangul in parts": ("\u1112\u1161\u11ab\u1100\u1173\u11af", "\ud55c\uae00"),
    "the sign for \u00e5ngstr\u00f6m": ("10 \u212b", "10 \u00c5"),
    "a letter that NFC writes as two": ("\u0958", "\u0915\u093c"),
    "a tone behind a vowel with its mark": ("Vi\u00ea\u0323t", "vi\u1ec7t"),
    "a vowel in two halves": ("\u0b95\u0bc6\u0bbe", "\u0b95\u0bca"),
    "the sign for \u00e5ngstr\u00f6m, in small letters": ("10 \u212b", "10 a\u030a"),
    "the sign for kelvin": ("300 \u212a", "300 k"),
    "a dotted capital": ("\u0130stanbul", "istanbul"),
    "a dotted capital, in two characters": ("I\u0307stanbul", "\u0130STANBUL"),
    "a dotted capital, searched": ("ISTANBUL", "\u0130stanbul"),
    "a sigma at the end": ("\u03bf\u03b4\u03cc\u03c2", "\u039f\u0394\u038c\u03a3"),
    "a sharp s as a capital": ("STRA\u1e9eE", "stra\u00dfe"),
    "a long s": ("\u017flang", "slang"),
    "wildcards among them": ("100% cafe\u0301_", "100% caf\u00e9_"),
}


@pytest.mark.parametrize(("written", "searched"), SPELLINGS.values(), ids=SPELLINGS.keys())
async def test_a_search_knows_both_spellings_of_a_letter_with_marks(
    chat: Chat, database: Database, written: str, searched: str
) -> None:
    """In titles, in messages, and in messages from before; what was written is answered as it was."""
    person, other = Person(), Person()
    titled, said, old, _ = [(await chat.open(one, title=title)).json() for one, title in (
        (person, written), (person, "b"), (person, "c"), (other, written),
    )]  # fmt: skip
    answer = await chat.say(said, "user", "... " + written)
    database.execute("INSERT INTO messages (session_id, role, content) VALUES (%s, 'user', %s)", [old["id"], written])

    found = (await chat.get(f"/users/{person.clerk_id}/sessions", params={"q": searched})).json()["sessions"]

    assert {one["id"] for one in found} == {titled["id"], said["id"], old["id"]}
    assert (answer.json()["content"], titled["title"]) == ("... " + written, written)


MARKS = [chr(code) for code in range(0x300, 0x370) if unicodedata.combining(chr(code))]
RUNS = {
    "two marks by turns": "\u0301\u0323" * 10_000,
    "every mark, those that stand last first": "".join(sorted(MARKS, key=unicodedata.combining, reverse=True) * 200),
    "points of Hebrew": "\u05c2\u05b0" * 10_000,
    "one mark": "\u0301" * 20_000,
    "a letter now and then": ("e" + "\u0301\u0323" * 2_500) * 4,
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
async def test_marks_in_long_runs_do_not_keep_a_search_from_its_answer(
    chat: Chat, database: Database, run: str
) -> None:
    """Putting them in order takes the square of their number: more than the second that a search may take."""
    person = Person()
    session = (await chat.open(person)).json()
    for text in ("a" + run, "b" + run, "Caf\u00e9"):
        database.execute(
            "INSERT INTO messages (session_id, role, content) VALUES (%s, 'user', %s)", [session["id"], text]
        )

    answers = [
        await chat.get(f"/users/{person.clerk_id}/sessions", params={"q": text})
        for text in ("cafe\u0301", "b" + run[:150], "nowhere")
    ]

    assert [(answer.status_code, len(answer.json()["sessions"])) for answer in answers] == [
        (200, 1),
        (200, 1),
        (200, 0),
    ]


async def test_a_search_finds_the_same_without_the_index(chat: Chat, database: Database) -> None:
    """A database without pg_trgm has none."""
    person = Person()
    session = (await chat.open(person, title="Lisbon")).json()
    with database.transaction(force_rollback=False):
        database.execute("DROP INDEX IF EXISTS messages_content_trgm_idx, sessions_title_trgm_idx")
    try:
        answer = await chat.get(f"/users/{person.clerk_id}/sessions?q=ISBO")
    finally:
        database.execute("CREATE INDEX messages_content_trgm_idx ON messages USING gin (content gin_trgm_ops)")
        database.execute("CREATE INDEX sessions_title_trgm_idx ON sessions USING gin (title gin_trgm_ops)")

    assert [one["id"] for one in answer.json()["sessions"]] == [session["id"]]


async def test_a_session_can_end_and_become_active_again(chat: Chat) -> None:
    """Its end and duration are cleared then; ending it twice changes neither."""
    session = (await chat.open(Person())).json()
    path = f"/sessions/{session['id']}"

    ended = (await chat.patch(path, {"status": "completed"})).json()
    again = (await chat.patch(path, {"status": "abandoned", "title": "Porto"})).json()
    active = (await chat.patch(path, {"status": "active"})).json()

    assert (session["ended_at"], session["duration_seconds"]) == (None, None)
    assert (ended["status"], again["status"], again["title"]) == ("completed", "abandoned", "Porto")
    assert ended["duration_seconds"] > 0
    assert again["ended_at"] == ended["ended_at"]
    assert (active["ended_at"], active["duration_seconds"], active["title"]) == (None, None, "Porto")


async def test_a_title_cannot_be_taken_away(chat: Chat) -> None:
    """Null is no title; without the member it stays. A status may be null, as before."""
    path = f"/sessions/{(await chat.open(Person())).json()['id']}"

    answers = [await chat.patch(path, body) for body in ({"title": None}, {}, {"status": None}, {"title": "Porto"})]

    assert [answer.status_code for answer in answers] == [422, 200, 200, 200]
    assert [answer.json()["title"] for answer in answers[1:]] == ["New Trip", "New Trip", "Porto"]


@pytest.mark.parametrize("before", ["active", "completed", "abandoned", "archived"])
async def test_a_session_is_archived_from_every_status_and_brought_back(chat: Chat, before: str) -> None:
    """An end that it had is kept; messages can still be added, as to one that is completed."""
    session = (await chat.open(Person())).json()
    path = f"/sessions/{session['id']}"
    changed = (await chat.patch(path, {"status": before})).json()

    archived = (await chat.patch(path, {"status": "archived"})).json()
    said = await chat.say(session, "user", "x")
    active = (await chat.patch(path, {"status": "active"})).json()

    assert (archived["status"], archived["ended_at"] is None) == ("archived", False)
    assert changed["ended_at"] in (None, archived["ended_at"])
    assert (said.status_code, active["status"], active["ended_at"]) == (201, "active", None)


async def test_a_list_and_a_search_can_be_narrowed_to_statuses(chat: Chat) -> None:
    """Without `status` they show all of them, as before there were archived ones; pages neither repeat nor skip."""
    person, statuses = Person(), ("active", "completed", "abandoned", "archived", "active")
    opened = []
    for status in statuses:
        opened.append((await chat.open(person)).json()["id"])
        await chat.patch(f"/sessions/{opened[-1]}", {"status": status})
    path = f"/users/{person.clerk_id}/sessions"

    async def listed(query: str) -> list[int]:
        pages = [(await chat.get(f"{path}?limit=2&{query}")).json()]
        while cursor := pages[-1]["next"]:
            pages.append((await chat.get(f"{path}?limit=2&{query}&cursor={cursor}")).json())
        return [opened.index(one["id"]) for page in pages for one in page["sessions"]]

    for search in ("", "q=trip&"):
        assert await listed(search) == [4, 3, 2, 1, 0]
        assert await listed(search + "status=archived") == [3]
        assert await listed(search + "status=completed,active,abandoned,active") == [4, 2, 1, 0]
    posted = (await chat.post(path + "/search", {"q": "trip", "status": ["archived", "abandoned"]})).json()
    assert [opened.index(one["id"]) for one in posted["sessions"]] == [3, 2]


async def test_a_status_that_there_is_not_is_422(chat: Chat) -> None:
    """With the name of the parameter."""
    for status in ("", ",", "gone", "active,", "Active", "active&status=active", "active;archived"):
        answer = await chat.get(f"/users/{Person().clerk_id}/sessions?status={status}")

        assert (answer.status_code, answer.json()["code"]) == (422, "status")
        assert answer.json()["errors"][0]["parameter"] == "status"


async def test_a_search_by_post_finds_what_one_by_get_finds(chat: Chat) -> None:
    """Page by page, with the same cursors; letters with marks and wildcards included."""
    person = Person()
    for title in ("Caf\u00e9 100%", "CAFE\u0301 a_b", "Lisbon"):
        await chat.open(person, title=title)
    path = f"/users/{person.clerk_id}/sessions"

    assert (await chat.post(path + "/search", {"q": "caf", "limit": 20.0})).status_code == 200
    for text in ("caf\u00e9", "%", "_", "nowhere", "lis"):
        page: dict[str, Any] = {"next": None}
        for _ in range(2):
            more = {} if page["next"] is None else {"cursor": page["next"]}
            page = (await chat.get(path, params={"q": text, "limit": "1", **more})).json()
            posted = await chat.post(path + "/search", {"q": text, "limit": 1, **more})
            assert (posted.status_code, posted.json()) == (200, page)


UNREADABLE: list[Any] = [{}, {"q": ""}, {"q": None}, {"q": 7}, {"q": "\0"}, {"q": "x" * 201}, {"q": "x", "limit": 0},
     {"q": "x", "limit": 101}, {"q": "x", "limit": "5"}, {"q": "x", "limit": True}, {"q": "x", "limit": 1.5},
     {"q": "x", "cursor": "x"}, {"q": "x", "cursor": "f" * 32}, {"q": "x", "status": []},
     {"q": "x", "status": "active"}, {"q": "x", "status": ["gone"]}, []]  # fmt: skip


async def test_a_search_by_post_that_cannot_be_read_is_422(chat: Chat) -> None:
    for body in UNREADABLE:
        assert (await chat.post(f"/users/{Person().clerk_id}/sessions/search", body)).status_code == 422, body


@pytest.mark.parametrize("cursor", ["", "x", "f" * 32, "A" * 31, "A" * 33, "ä", 7, {}])
async def test_a_malformed_cursor_has_one_code(chat: Chat, cursor: Any) -> None:
    """Whether its letters or its meaning are wrong, by POST as by GET."""
    path = f"/users/{Person().clerk_id}/sessions"

    posted = (await chat.post(path + "/search", {"q": "x", "cursor": cursor})).json()
    asked = (await chat.get(path, params={"q": "x", "cursor": str(cursor)})).json()

    assert (posted["code"], asked["code"]) == ("cursor", "cursor")
    assert [one["pointer"] for one in posted["errors"]] == ["#/cursor"]
    assert [one["parameter"] for one in asked["errors"]] == ["cursor"]


async def test_a_search_for_nothing_that_can_be_stored_is_422(chat: Chat) -> None:
    """By either way; without a text all sessions are listed."""
    person = Person()
    await chat.open(person)
    path = f"/users/{person.clerk_id}/sessions"
    for text, by_post, by_get in (("\0", 422, 422), ("\0\0", 422, 422), ("\0x\0", 200, 200), ("", 422, 200)):
        posted, got = await chat.post(f"{path}/search", {"q": text}), await chat.get(path, params={"q": text})
        assert (posted.status_code, got.status_code) == (by_post, by_get), repr(text)


async def test_deleting_a_session_deletes_its_row_messages_and_thread(
    chat: Chat, database: Database, backboard: Sandbox
) -> None:
    """Deleting it again is 404."""
    session = (await chat.open(Person())).json()
    await chat.say(session, "user", "hello")

    answer = await chat.delete(f"/sessions/{session['id']}")
    again = await chat.delete(f"/sessions/{session['id']}")

    assert (answer.status_code, answer.content, again.status_code) == (204, b"", 404)
    assert backboard.threads() == []
    for table in ("messages", "sessions", "deleted_threads"):
        assert database.execute(f"SELECT * FROM {table}".encode()).fetchall() == []


async def test_deletions_and_messages_at_once_leave_no_message(chat: Chat, database: Database) -> None:
    """In any order, without a 500."""
    session = (await chat.open(Person())).json()
    path = f"/sessions/{session['id']}"

    answers = await asyncio.gather(
        *(chat.delete(path) for _ in range(3)), *(chat.say(session, "user", "hello") for _ in range(5))
    )

    assert {answer.status_code for answer in answers} <= {201, 204, 404}
    assert 204 in {answer.status_code for answer in answers}
    assert database.execute("SELECT * FROM messages").fetchall() == []


async def test_an_uncommitted_message_is_deleted_with_its_session(
    chat: Chat, database_url: str, database: Database
) -> None:
    """The deletion waits for the other backend's commit."""
    session = (await chat.open(Person())).json()
    with psycopg.connect(database_url) as other:
        other.execute("UPDATE sessions SET last_active_at = now() WHERE id = %s", [session["id"]])
        other.execute("INSERT INTO messages (session_id, role, content) VALUES (%s, 'user', 'late')", [session["id"]])
        deletion = asyncio.create_task(chat.delete(f"/sessions/{session['id']}"))
        waiting = b"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%session%'"
        await asyncio.to_thread(wait_until, lambda: database.execute(waiting).fetchall() != [])
        other.commit()
    answer = await deletion

    assert (answer.status_code, database.execute("SELECT * FROM messages").fetchall()) == (204, [])


async def test_an_unknown_session_is_404_on_every_route(chat: Chat) -> None:
    """With the same answer as for another user's session."""
    missing = f"/sessions/{uuid4()}"

    answers = [
        await chat.get(missing),
        await chat.patch(missing, {"title": "x"}),
        await chat.delete(missing),
        await chat.get(missing + "/messages"),
        await chat.post(missing + "/messages", {"role": "user", "content": "x"}),
        await chat.delete(f"{missing}/messages/{uuid4()}"),
    ]

    assert {(answer.status_code, answer.json()["title"]) for answer in answers} == {(404, "Not Found")}


async def test_sessions_of_a_deleted_user_are_410(
    chat: Chat, service: Service, database: Database, backboard: Sandbox
) -> None:
    """On every route. The rows stay, the threads are deleted with the assistant."""
    person = Person()
    await service.deliver(user_created(person))
    session = (await chat.open(person)).json()
    said = (await chat.say(session, "user", "hello")).json()
    await service.deliver(event("user.deleted", {"id": person.clerk_id, "deleted": True}))

    one, many = f"/sessions/{session['id']}", f"/users/{person.clerk_id}"
    answers = [
        await chat.get(one),
        await chat.patch(one, {"title": "x"}),
        await chat.delete(one),
        await chat.get(one + "/messages"),
        await chat.say(session, "user", "x"),
        await chat.delete(f"{one}/messages/{said['id']}"),
        await chat.get(many),
        await chat.get(many + "/sessions"),
        await chat.post(many + "/sessions/search", {"q": "x"}),
        await chat.open(person),
        await chat.get(many + "/stats"),
        await chat.get(many + "/preferences"),
        await chat.put(many + "/preferences", {}),
    ]

    assert {answer.status_code for answer in answers} == {410}
    assert len(database.execute("SELECT * FROM messages").fetchall()) == 1
    assert backboard.threads() == []


async def test_stats_count_sessions_and_messages(chat: Chat) -> None:
    """And name the first and the last activity."""
    person = Person()
    empty = await chat.get(f"/users/{person.clerk_id}/stats")
    first, second = [(await chat.open(person)).json() for _ in range(2)]
    none = (await chat.get(f"/users/{person.clerk_id}/stats")).json()
    for session, role in ((first, "user"), (first, "assistant"), (second, "user")):
        last = (await chat.say(session, role, "x")).json()

    stats = (await chat.get(f"/users/{person.clerk_id}/stats")).json()

    assert (empty.status_code, none["messages"]) == (404, {"user": 0, "assistant": 0})
    assert (stats["sessions"], stats["messages"]) == (2, {"user": 2, "assistant": 1})
    assert stats["first_activity_at"] == first["created_at"]
    assert stats["last_activity_at"] == last["created_at"]


TOKENS: list[tuple[Any, int]] = [
    (12, 12), (0, 0), (12.0, 12), (1e3, 1000), (999_999_999, 999_999_999), (1_000_000_000, 0), (10**30, 0), (1e300, 0),
    (-1, 0), (1.5, 0), ("12", 0), (True, 0), (None, 0), ([12], 0), ({"in": 12}, 0),
]  # fmt: skip


async def test_stats_sum_up_the_tokens(chat: Chat, database: Database) -> None:
    """Of both roles, where they are whole numbers of up to nine digits; and say when the user joined."""
    session = (await chat.open(Person())).json()
    path = f"/users/{session['clerk_id']}/stats"
    none = (await chat.get(path)).json()
    for role in ("user", "assistant"):
        messages = [{"role": role, "content": "x", "metadata": {"tokens": tokens}} for tokens, _ in TOKENS]
        await chat.post(f"/sessions/{session['id']}/messages/batch", {"messages": messages})
    await chat.say(session, "user", "x", metadata={"a": {"tokens": 5}})
    await chat.say((await chat.open(Person())).json(), "user", "x", metadata={"tokens": 5})

    stats = (await chat.get(path)).json()

    (user,) = database.execute("SELECT created_at FROM users WHERE clerk_id = %s", [session["clerk_id"]]).fetchall()
    assert (none["total_tokens"], stats["total_tokens"]) == (0, 2 * sum(counted for _, counted in TOKENS))
    assert stats["joined_at"] == user["created_at"].isoformat()


async def test_put_replaces_preferences_and_patch_merges_them(chat: Chat) -> None:
    person = Person()
    await chat.open(person)
    path = f"/users/{person.clerk_id}/preferences"

    answers = [
        await chat.get(path),
        await chat.put(path, {"theme": "dark", "size": {"x": 1}}),
        await chat.patch(path, {"size": 2, "new": None}),
        await chat.get(path),
        await chat.put(path, {}),
    ]

    merged = {"theme": "dark", "size": 2, "new": None}
    assert [answer.status_code for answer in answers] == [200] * 5
    assert [answer.json() for answer in answers] == [{}, {"theme": "dark", "size": {"x": 1}}, merged, merged, {}]


async def test_preferences_have_at_most_16_kib(chat: Chat) -> None:
    """As Postgres writes them, also after a merge; a refused change leaves them as they were."""
    person = Person()
    await chat.open(person)
    path = f"/users/{person.clerk_id}/preferences"
    whole = await chat.put(path, {"a": "x" * 17_000})
    half = await chat.put(path, {"a": "x" * 9_000})

    other = await chat.patch(path, {"b": "x" * 9_000})
    long_number = await chat.raw("PUT", path, b'{"a": [' + b",".join([b"1e300"] * 100) + b"]}")

    assert [whole.status_code, half.status_code, other.status_code, long_number.status_code] == [422, 200, 422, 422]
    assert [one.json()["code"] for one in (whole, other, long_number)] == [
        "document_too_large", "document_full", "document_too_large",
    ]  # fmt: skip
    assert {one.json()["errors"][0]["pointer"] for one in (whole, other, long_number)} == {"#"}
    assert (await chat.get(path)).json() == half.json()


async def test_answers_have_the_shape_of_their_models(chat: Chat) -> None:
    """No member more and none less; the answers are written without the models."""
    person = Person()
    opened = await chat.open(person)
    session = opened.json()
    said = await chat.say(session, "user", "hello", metadata={"a": 1})
    batch = await chat.post(
        f"/sessions/{session['id']}/messages/batch", {"messages": [{"role": "user", "content": "a"}]}
    )
    ended = await chat.patch(f"/sessions/{session['id']}", {"status": "completed"})

    SessionAnswer.model_validate_json(opened.content)
    SessionAnswer.model_validate_json(ended.content)
    MessageAnswer.model_validate_json(said.content)
    MessageList.model_validate_json(batch.content)
    SessionPage.model_validate_json((await chat.get(f"/users/{person.clerk_id}/sessions?limit=1")).content)
    MessagePage.model_validate_json((await chat.get(f"/sessions/{session['id']}/messages?limit=1")).content)
    StatsAnswer.model_validate_json((await chat.get(f"/users/{person.clerk_id}/stats")).content)
