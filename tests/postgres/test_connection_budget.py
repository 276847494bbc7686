"""Which settings fit what a database allows."""

import pytest

from app.postgres.connection_budget import ConnectionBudget


@pytest.mark.parametrize(
    ("budget", "allowed", "remedy"),
    [
        (ConnectionBudget(1, 5, 3), 20, "set PROVISIONING_CONCURRENCY=3"),
        (ConnectionBudget(2, 5, 3), 24, "set PROVISIONING_CONCURRENCY=1"),
        (ConnectionBudget(2, 5, 3), 20, "set WEB_CONCURRENCY=1 PROVISIONING_CONCURRENCY=3"),
        (ConnectionBudget(1, 5, 20), 20, "set PROVISIONING_CONCURRENCY=3 QUERY_CONNECTIONS=3"),
        (ConnectionBudget(1, 5, 3, page=1), 20, "set PROVISIONING_CONCURRENCY=2"),
        (ConnectionBudget(4, 9, 3), 15, "take a database with more connections"),
    ],
)
def test_the_remedy_changes_as_little_as_it_can(budget: ConnectionBudget, allowed: int, remedy: str) -> None:
    assert budget.remedy(allowed) == remedy


@pytest.mark.parametrize("processes", [1, 2, 5])
@pytest.mark.parametrize("allowed", range(16, 120, 7))
def test_the_remedy_fits(processes: int, allowed: int) -> None:
    budget = ConnectionBudget(processes, 100, 4)

    changed = dict(pair.split("=") for pair in budget.remedy(allowed).split()[1:])

    fitting = ConnectionBudget(
        int(changed.get("WEB_CONCURRENCY", processes)),
        int(changed["PROVISIONING_CONCURRENCY"]),
        int(changed.get("QUERY_CONNECTIONS", 4)),
    )
    assert fitting.needed() <= allowed
