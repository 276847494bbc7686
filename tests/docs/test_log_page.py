"""docs/log.md explains every reason, outcome, event and field that the code can log."""

from typing import get_args

from app.api.schemas import Outcome
from app.reasons import REASONS
from tests.docs import log_calls
from tests.docs.pages import code, page, rows, section

PAGE = page("docs/log.md")

# Fields that no call of `log` names: the frame, the formatter and the database's own lines add them.
ADDED = {"timestamp", "level", "request_id", "status", "duration_ms", "error", "place", "session_id", "message_id"}
# Events that no call of `log` names: an exception, a library's logger, and lines that bear their reason's name.
OTHER_LINES = {
    *("bug", "psycopg.pool", "backboard_refused", "backboard_certificate"),
    *("clerk_keys_unreachable", "clerk_keys_unreadable"),
}


def test_the_table_of_reasons_is_that_of_the_code() -> None:
    """In its order and its words; the page puts names of the code between backticks."""
    explained = [[plain(cell) for cell in row] for row in rows(section(PAGE, "## Reasons"))]
    table = [[word, one.status, one.meaning, one.remedy or "Nothing."] for word, one in REASONS.items()]

    assert explained == [[plain(cell) for cell in row] for row in table]


def plain(cell: str) -> str:
    return cell.replace("`", "")


def test_every_fault_of_a_session_token_is_explained() -> None:
    explained = [code(row[0])[0] for row in rows(section(PAGE, "## Faults of a session token"))]

    assert sorted(explained) == sorted(log_calls.raised("BadToken"))


def test_every_outcome_is_explained() -> None:
    explained = [code(row[0])[0] for row in rows(section(PAGE, "## Outcomes"))]
    outcomes = {*get_args(Outcome.model_fields["outcome"].annotation), *log_calls.bound("outcome")}

    assert sorted(explained) == sorted(outcomes)


def test_every_event_is_explained() -> None:
    explained = [event for row in rows(section(PAGE, "## Events")) for event in code(row[0])]
    written = log_calls.requests() | {"request"} | log_calls.lines() | OTHER_LINES

    assert sorted(explained) == sorted(written)


def test_every_field_is_explained() -> None:
    explained = [field for row in rows(section(PAGE, "## Fields")) for field in code(row[0])]

    assert sorted(explained) == sorted(log_calls.fields() | ADDED)
