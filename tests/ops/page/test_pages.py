"""Every screen of the operations page, as HTML and as JSON, over rows of the history."""

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest

from app.ops.models import OutcomeCount
from app.ops.page.chart import BARS, draw
from app.ops.tables import PAGE_SIZE
from app.postgres.queries import FOLDER
from app.postgres.schema import TABLES
from app.reasons import REASONS
from tests.ops.page.conftest import TOKEN, VIEW_TOKEN
from tests.ops.rows import deliver, fail, sign_up

pytestmark = pytest.mark.anyio

EVIL = "<script>alert(1)</script>"
JSON = {"Accept": "application/json"}
SCREENS = ["", "/deliveries", "/deliveries/msg_1", "/doubts", "/processes", "/actions", "/data/users", "/users/user_a"]
HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex, nofollow",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
}


@pytest.fixture
def rows(database: Any) -> Any:
    """A user with a name that no page must take for markup, what befell them, and a doubt."""
    sign_up(database, "user_a", email="a@example.com", name=EVIL)
    deliver(database, "msg_1", minutes=3, outcome="created")
    fail(database, "msg_2", "backboard_down", clerk_id="user_b", minutes=50)
    fail(database, "msg_3", "backboard_down", clerk_id="user_c", minutes=40)
    deliver(database, "msg_4", minutes=20, type=EVIL, status=422, outcome=None, reason="shape", clerk_id=None)
    database.execute(b"INSERT INTO provisioning_attempts (clerk_id) VALUES ('user_b')")
    database.execute(
        b"INSERT INTO actions (who, action, clerk_id, result) VALUES (%s, 'sync', 'user_a', %s)", [EVIL] * 2
    )
    return database


@pytest.mark.usefixtures("rows")
async def test_every_answer_has_the_headers_of_the_page(get: Any) -> None:
    for screen in (*SCREENS, "/nonsense", "/static/ops.css", "/static/ops.js", "/static/icon.svg"):
        answer = await get(f"/ops{screen}")

        assert answer.status_code == (404 if screen == "/nonsense" else 200), screen
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert not re.search(r"<script>|<style|\sstyle=|\son\w+=\"|javascript:", answer.text), screen


@pytest.mark.usefixtures("rows")
async def test_what_others_have_written_is_never_markup(get: Any) -> None:
    for screen in SCREENS:
        text = (await get(f"/ops{screen}")).text

        assert EVIL not in text
        assert EVIL in unescape(text) or screen not in {"/deliveries", "/actions", "/users/user_a", "/data/users"}


MEMBERS = {
    "": {"sentence", "is_well", "failures", "chart"},
    "/deliveries": {"deliveries", "next_cursor"},
    "/deliveries/msg_2": {"delivery", "meaning", "remedy"},
    "/doubts": {"doubts"},
    "/processes": {"processes"},
    "/actions": {"actions", "next_before"},
    "/data/users": {"table", "rows", "next_cursor"},
    "/users/user_a": {"user", "backboard"},
}


@pytest.mark.usefixtures("rows")
async def test_every_screen_is_json_too(get: Any) -> None:
    for screen, members in MEMBERS.items():
        answer = await get(f"/ops{screen}", headers=JSON)

        assert answer.headers["content-type"] == "application/json"
        assert members <= set(answer.json())


async def test_a_slash_behind_the_address_leads_to_the_overview(get: Any) -> None:
    answer = await get("/ops/")

    assert (answer.status_code, answer.headers["location"]) == (303, "/ops")


async def test_an_error_is_a_problem_document_where_json_is_wanted(get: Any) -> None:
    answer = await get("/ops/deliveries?status=none", headers=JSON)

    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


@pytest.mark.usefixtures("rows")
async def test_the_overview_begins_with_a_sentence_and_groups_failures_by_reason(get: Any) -> None:
    text = unescape(re.sub(r"<[^>]+>", "", (await get("/ops")).text))
    known = REASONS["backboard_down"]

    first = " ".join(text.split("Find\n")[-1].split())
    assert re.match(r"! Since .*2 people wait\. ", first), first[:200]
    assert "2 deliveries of 2 people" in text
    assert known.meaning in text
    assert known.remedy.replace("`", "") in text


async def test_all_is_well_without_a_failure(get: Any, database: Any) -> None:
    """And what the history has lost is said beside it."""
    deliver(database, "msg_1", minutes=3)
    database.execute(b"UPDATE processes SET lost = 2, lost_at = now() - interval '5 minutes' WHERE id = '1'")

    text, as_json = (await get("/ops")).text, (await get("/ops", headers=JSON)).json()

    assert "All is well. " in re.sub(r"<[^>]+>", "", text)
    assert as_json["is_well"]
    (news,) = as_json["news"]
    assert f'<p class="quiet">{news}</p>' in text


async def test_a_bar_leads_to_its_deliveries(get: Any, rows: Any) -> None:
    slot = datetime.now(UTC) - timedelta(minutes=50)
    slot = slot.replace(minute=slot.minute // 5 * 5, second=0, microsecond=0)
    values = [slot, "webhook", "", "backboard_down", 503]
    rows.execute(b"INSERT INTO outcome_counts VALUES (%s, %s, %s, %s, %s, 1, 0.1)", values)

    page = unescape((await get("/ops")).text)
    (link,) = set(re.findall(r'<a href="(/ops/deliveries\?since=[^"]+)" aria-label="[^"]*1 failed"', page))
    found = (await get(link, headers=JSON)).json()["deliveries"]

    assert "msg_2" in [one["svix_id"] for one in found]
    assert all(one["last_at"] >= slot.isoformat()[:13] for one in found)


def test_a_chart_counts_what_the_list_of_deliveries_has() -> None:
    now = datetime(2026, 3, 1, 12, 47, tzinfo=UTC)
    slot = now.replace(minute=35)
    counts = [
        OutcomeCount(slot, "webhook", "exists", "", 200, 3),
        OutcomeCount(slot, "webhook", "created", "", 200, 2),
        OutcomeCount(slot, "webhook", "", "signature", 400, 5),
        OutcomeCount(slot, "ensure_user", "exists", "", 200, 1000),
        OutcomeCount(slot, "ensure_user", "created", "", 201, 1),
        OutcomeCount(slot, "ensure_user", "", "backboard_down", 503, 4),
        OutcomeCount(now - timedelta(days=2), "webhook", "exists", "", 200, 7),
    ]

    chart = draw(counts, now)

    assert len(chart.bars) == BARS
    assert chart.totals == {"fine": 3, "created": 3, "refused": 5, "failed": 4}
    assert chart.bars[-1].words == "12:30 to 13:00 UTC: 3 fine, 3 created, 5 refused, 4 failed"
    assert all(0 <= piece.y <= chart.height for bar in chart.bars for piece in bar.pieces)


FILTERS = {
    "": ["msg_1", "msg_4", "msg_3", "msg_2"],
    "failing=1": ["msg_3", "msg_2"],
    "type=user.created&outcome=created": ["msg_1"],
    "reason=shape": ["msg_4"],
    "status=503&clerk_id=user_b": ["msg_2"],
    "since=30m": ["msg_1", "msg_4"],
    "type=nothing": [],
    "outcome=": ["msg_1", "msg_4", "msg_3", "msg_2"],
}


@pytest.mark.usefixtures("rows")
async def test_the_filters_stand_in_the_address(get: Any) -> None:
    for query, found in FILTERS.items():
        listed = (await get(f"/ops/deliveries?{query}", headers=JSON)).json()["deliveries"]

        assert [one["svix_id"] for one in listed] == found, query


async def test_the_pages_of_deliveries_hold_each_once(get: Any, database: Any) -> None:
    for number in range(101):
        deliver(database, f"msg_{number}", minutes=number)

    path, seen = "/ops/deliveries", []
    while path:
        text = (await get(path)).text
        seen += re.findall(r'title="(msg_\d+)"', text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        path = unescape(following[1]) if following else ""

    assert seen == [f"msg_{number}" for number in range(101)]


async def test_every_table_is_shown_to_its_last_row_and_found_by_an_id(get: Any, rows: Any) -> None:
    for number in range(PAGE_SIZE * 2):
        deliver(rows, f"many_{number:03}", minutes=5)
    rows.execute(
        b"INSERT INTO outcome_counts SELECT 'epoch', 'webhook', n::TEXT, '', 200, 1, 1 FROM generate_series(1, 60) AS n"
    )
    for real in TABLES:
        table = "migrations" if real.endswith("_migrations") else real
        expected = rows.execute(f"SELECT count(*) AS n FROM {real}".encode()).fetchone()["n"]

        path, seen = f"/ops/data/{table}", []
        while path:
            page = (await get(path, headers=JSON)).json()
            seen += [json.dumps(row) for row in page["rows"]]
            path = page["next_cursor"] and f"/ops/data/{table}?cursor={page['next_cursor']}"

        assert len(set(seen)) == len(seen) == expected, table
        columns = rows.execute(
            b"SELECT column_name FROM information_schema.columns WHERE table_name = %s", [real]
        ).fetchall()
        statement = (FOLDER / f"list_rows_of_{table}.sql").read_text()
        assert [one["column_name"] for one in columns if one["column_name"] not in statement] == [], table
        assert (await get(f"/ops/data/{table}?q=user_none", headers=JSON)).json()["rows"] == []
        assert (await get(f"/ops/data/{table}")).status_code == 200


async def test_no_e_mail_comes_into_the_address_of_a_table(get: Any, post: Any, rows: Any) -> None:
    """Whatever is typed into the field; an id leads to an address that can be kept."""
    for number in range(PAGE_SIZE + 1):
        deliver(rows, f"many_{number:03}", clerk_id="user_a")
    words = ["a@example.com", "A@EXAMPLE.COM ", "@", "user_a"]
    answers = [await post("/ops/data/deliveries", {"q": word}) for word in words]

    assert [(one.status_code, one.headers.get("location")) for one in answers] == [
        *[(200, None)] * 3,
        (303, "/ops/data/deliveries?q=user_a"),
    ]
    assert "There are no rows with this id" in answers[0].text
    for answer in (*answers[:3], await get("/ops/data/deliveries?q=user_a")):
        assert re.findall(r'<form class="search" method="post"', answer.text)
        assert not re.findall(r'href="[^"]*(?:@|%40)', answer.text)
    for word in ("a@example.com", "a%40example.com"):
        assert (await get(f"/ops/data/users?q={word}")).status_code == 422


async def test_a_table_covers_what_users_have_written(get: Any, rows: Any) -> None:
    (user,) = rows.execute(b"SELECT id FROM users").fetchall()
    (session,) = rows.execute(
        b"INSERT INTO sessions (user_id, thread_id) VALUES (%s, 'thread-1') RETURNING id", [user["id"]]
    ).fetchall()
    values = [session["id"], EVIL]
    rows.execute(b"INSERT INTO messages (session_id, role, content) VALUES (%s, 'user', %s)", values)

    page = (await get(f"/ops/data/messages?q={session['id']}")).text
    by_user = (await get("/ops/data/sessions?q=user_a", headers=JSON)).json()["rows"]

    assert '<details class="cover"><summary>show</summary>' in page
    assert "<details open" not in page
    assert EVIL not in page
    assert [one["id"] for one in by_user] == [str(session["id"])]


@pytest.mark.usefixtures("rows")
async def test_a_viewer_sees_no_button(opened: Any) -> None:
    text = (await opened.client.get("/ops/users/user_a", auth=("viewer", VIEW_TOKEN))).text

    assert re.findall(r'action="([^"]+)"', text) == ["/ops/find"]


GARBAGE = [
    "%00",
    "%ff",
    "'",
    "..%2f..",
    "%3Cscript%3E",
    "x" * 900,
    "-1",
    "99999999999999999999999",
    "null",
    "%F0%9F%98%80",
]


async def test_garbage_is_a_page_with_a_sentence_and_never_a_failure(get: Any, post: Any) -> None:
    """In every parameter, cursor and id of the path; a search may find nothing."""
    names = ("type", "outcome", "reason", "status", "since", "until", "cursor", "failing", "clerk_id")
    parameters = [f"deliveries?{name}=" for name in names] + [f"data/users?{name}=" for name in ("q", "cursor")]
    parameters += ["actions?before=", "users/user_a?done=", "users/user_a?ask="]
    parameters += ["users/", "deliveries/", "data/", "static/", "data/sessions?q=", ""]
    for garbage in GARBAGE:
        answers = [await get(f"/ops/{parameter}{garbage}") for parameter in parameters]
        answers += [await post("/ops/find", {"q": garbage}), await post(f"/ops/users/{garbage[:60]}/repair")]

        assert [one.url for one in answers if one.status_code not in {200, 404, 405, 422}] == []
        assert all(
            "<h1" in one.text for one in answers if one.status_code != 405 and "json" not in one.headers["content-type"]
        )


CURSORS = [
    "e30",
    "W10",
    "WzFd",
    "WyJhIl0",
    "WyJhIiwiYiJd",
    "WyJcdTAwMDAiXQ",
    "!",
    "a" * 5000,
]


async def test_a_cursor_that_was_not_given_out_is_refused(get: Any) -> None:
    for path in ("deliveries", "data/sessions", "data/deliveries", "data/outcome_counts", "data/actions"):
        for cursor in CURSORS:
            assert (await get(f"/ops/{path}?cursor={cursor}")).status_code == 422, (path, cursor)


async def test_a_form_is_the_only_body_that_is_taken(opened: Any) -> None:
    for content, kind, status in (
        (b'{"q": "user_a"}', "application/json", 415),
        (b"q=" + b"x" * 9000, "application/x-www-form-urlencoded", 413),
        (b"q=user_a&q=user_b", "application/x-www-form-urlencoded", 422),
        (b"q=%ff", "application/x-www-form-urlencoded", 422),
        (b"q=user_a", "application/x-www-form-urlencoded; charset=utf-8", 200),
    ):
        headers = {"Content-Type": kind}
        answer = await opened.client.post("/ops/find", content=content, headers=headers, auth=("on call", TOKEN))

        assert answer.status_code == status, content
