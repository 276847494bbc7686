"""docs/log.md explains every reason, outcome, event and field that the code can log."""

import ast
from typing import get_args

from app import errors
from app.api.schemas import Outcome
from app.clerk.session_tokens import BadToken
from app.http.responses import HttpError
from tests.docs import log_calls
from tests.docs.pages import ROOT, code, page, rows, section

PAGE = page("docs/log.md")
REASONS = {code(row[0])[0] for row in rows(section(PAGE, "## Reasons"))}
RAISED = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
RAISED |= {HttpError.__name__, "ClerkUnavailable"}

# What the frame, the formatter and the database's own lines add; no call of `log` names them.
ADDED = {"timestamp", "level", "request_id", "status", "duration_ms", "error", "place", "message_id"}
# Named by an exception, a library's logger, or the reason that is kept for the callers.
OTHER_LINES = {"bug", "psycopg.pool", "clerk_keys_unreachable", "clerk_keys_unreadable"}


def reasons(*kinds: str) -> set[str]:
    """Every reason that an error of these kinds is raised with somewhere in the code."""
    trees = [ast.parse(path.read_text()) for path in sorted((ROOT / "app").rglob("*.py"))]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    raised = [call for call in calls if ast.unparse(call.func).rpartition(".")[2] in kinds]
    words = [argument.value for call in raised for argument in call.args if isinstance(argument, ast.Constant)]
    return {word for word in words if isinstance(word, str)}


def test_every_reason_is_explained() -> None:
    assert reasons(*RAISED) <= REASONS


def test_every_fault_of_a_session_token_is_explained() -> None:
    explained = [code(row[0])[0] for row in rows(section(PAGE, "## Faults of a session token"))]

    assert sorted(explained) == sorted(reasons(BadToken.__name__))


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

    assert sorted(explained) == sorted({*log_calls.fields(), *ADDED, "session_id"})
