"""docs/api.md and the OpenAPI document name the same routes, statuses, outcomes and page sizes."""

import re
from http import HTTPStatus
from typing import Any, get_args

import pytest

from app.api.openapi import document
from app.api.schemas import Outcome
from app.http.responses import BUG
from app.reasons import REASONS
from tests.docs.pages import code, page, rows, section
from tests.support.asgi import stranded_app

PAGE = page("docs/api.md")
OPERATIONS: dict[str, dict[str, Any]] = {
    f"{method.upper()} {path}": operation
    for path, item in document(stranded_app().routes)["paths"].items()
    for method, operation in item.items()
    if method != "parameters"
}
ROUTES = {code(row[0])[0]: row for row in rows(section(PAGE, "## Routes"))}


def statuses(text: str) -> set[str]:
    return set(re.findall(r"\b[2345][0-9]{2}\b", text))


def common_statuses(operation: dict[str, Any]) -> set[str]:
    """What the list under the table of routes says of this kind of route."""
    listed = re.findall(r"^\* (.*): ([0-9 ]+)$", section(PAGE, "## Routes"), re.MULTILINE)
    with_body, without_body, probes = (statuses(numbers) for _, numbers in listed)
    if "requestBody" in operation:
        return with_body
    return without_body if operation["security"] else probes


def test_every_route_has_one_row_and_no_other_has() -> None:
    assert len(rows(section(PAGE, "## Routes"))) == len(ROUTES)
    assert set(ROUTES) == set(OPERATIONS)


@pytest.mark.parametrize("route", OPERATIONS)
def test_a_route_answers_its_own_statuses_and_those_of_its_kind(route: str) -> None:
    operation = OPERATIONS[route]

    assert statuses(ROUTES[route][2]) | common_statuses(operation) == set(operation["responses"])


def test_every_status_that_a_route_can_answer_is_explained() -> None:
    explained = [row[0] for row in rows(section(PAGE, "## Statuses"))]
    answered = {status for operation in OPERATIONS.values() for status in operation["responses"]}

    assert sorted(explained) == sorted(answered)
    assert all(HTTPStatus(int(status)) for status in explained)


def test_every_code_of_an_operation_is_explained() -> None:
    """In the order and the words of app/reasons, and no other is."""
    explained = [[cell.replace("`", "") for cell in row] for row in rows(section(PAGE, "## Problems"))]
    told = {
        code
        for operation in OPERATIONS.values()
        for response in operation["responses"].values()
        for code in response.get("x-codes", ())
    } | {BUG}

    assert explained == [
        [cell.replace("`", "") for cell in (word, one.status, one.meaning, one.for_caller)]
        for word, one in REASONS.items()
        if word in told
    ]


def test_every_reason_is_told_or_is_not_for_callers() -> None:
    """Strangers are refused without a code; the others never answer a request."""
    untold = {*("headers", "signature", "stale", "http", "host", "path", "method", "head_timeout", "head_too_large")}
    untold |= {*("token", "clerk_keys_unreachable", "clerk_keys_unreadable", "client_disconnect")}
    untold |= {*("schema_differs", "stopping")}
    # The operations page explains itself; it is no part of the API.
    untold |= {reason for reason in REASONS if reason.startswith("ops_")}
    explained = {code(row[0])[0] for row in rows(section(PAGE, "## Problems"))}

    assert set(REASONS) - explained == untold


def test_every_outcome_of_a_webhook_is_explained() -> None:
    explained = [code(row[0])[0] for row in rows(section(PAGE, "## Webhooks"))]

    assert sorted(explained) == sorted(get_args(Outcome.model_fields["outcome"].annotation))


@pytest.mark.parametrize("row", rows(section(PAGE, "## Pages and cursors")), ids=lambda row: row[0])
def test_a_page_is_as_large_as_the_table_says(row: list[str]) -> None:
    parameters = {one["name"]: one["schema"] for one in OPERATIONS[code(row[0])[0]]["parameters"]}
    most = re.search(r"at most ([0-9]+)", row[1])

    assert most is not None
    assert parameters["limit"]["maximum"] == int(most[1])
    assert code(row[2])[0] in parameters
