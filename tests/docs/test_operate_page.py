"""docs/operate.md has every command with its options, the exit codes, the numbers and the tables of the code."""

import re

import click
import pytest

from app.__main__ import COMMANDS, LazyGroup, main
from app.commands.reconcile.models import KINDS
from app.commands.runtime import Misconfigured, RefusedExit
from app.postgres.connection_budget import FEWEST_QUERY_CONNECTIONS, ConnectionBudget
from tests.docs.pages import ROOT, code, page, rows, section
from tests.docs.test_monitor_page import shown

PAGE = page("docs/operate.md")
NUMBERS = ("WEB_CONCURRENCY", "PROVISIONING_CONCURRENCY")
# By name, the words behind it: arguments and options.
DOCUMENTED = {
    code(row[0])[0].split()[0]: {word.split()[0] for cell in code(row[0]) for word in re.findall(r"--[a-z-]+", cell)}
    for row in rows(section(PAGE, "## Commands"))
}


def options(name: str) -> set[str]:
    """What a command takes, as click knows it."""
    assert isinstance(main, LazyGroup)
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return {word for one in command.params if isinstance(one, click.Option) for word in one.opts}


def test_every_command_has_one_row_and_no_other_has() -> None:
    assert len(rows(section(PAGE, "## Commands"))) == len(DOCUMENTED)
    assert set(DOCUMENTED) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_the_options_that_its_row_names(name: str) -> None:
    assert DOCUMENTED[name] == options(name)


def test_the_exit_codes_are_those_of_the_commands() -> None:
    explained = [int(row[0]) for row in rows(section(PAGE, "## Exit codes"))]
    failures = (click.ClickException, click.UsageError, RefusedExit, Misconfigured)

    assert explained == [0, *(failure.exit_code for failure in failures)]


@pytest.mark.parametrize("row", rows(section(PAGE, "## Connections")), ids=", ".join)
def test_the_connections_of_the_table_are_those_that_serve_computes(row: list[str]) -> None:
    dynos, processes, concurrency, connections = map(int, row)

    assert ConnectionBudget(processes, concurrency, FEWEST_QUERY_CONNECTIONS).needed(dynos=dynos) == connections


def test_the_numbers_of_the_readme_fit_the_smallest_plan() -> None:
    readme = section(page("README.md"), "## Deploy it to Heroku")
    processes, concurrency = (int(re.search(rf"{name}=([0-9]+)", readme)[1]) for name in NUMBERS)  # type: ignore[index]

    assert "heroku-postgresql:essential-0" in readme
    assert "20 connections of the Essential-0 plan" in " ".join(readme.split())
    assert ConnectionBudget(processes, concurrency, FEWEST_QUERY_CONNECTIONS).needed() <= 20
    # What Heroku's buildpack would set does not fit, so the recipe has to set it.
    assert ConnectionBudget(2, concurrency, FEWEST_QUERY_CONNECTIONS).needed() > 20


def test_every_finding_of_reconcile_is_explained() -> None:
    assert tuple(code(row[0])[0] for row in rows(section(PAGE, "## reconcile"))) == KINDS


def test_the_tables_of_open_doubts_exist() -> None:
    migrations = "".join(path.read_text() for path in (ROOT / "sql" / "migrations").glob("*.sql"))
    named = [code(row[0])[0] for row in rows(section(PAGE, "## Open doubts"))]

    assert named
    assert all(f"CREATE TABLE {name} (" in migrations for name in named)


def test_the_metrics_are_those_that_a_scrape_shows() -> None:
    tables = rows(section(PAGE, "## Probes and metrics"))
    explained = {code(row[0])[0]: set(code(row[1])) for row in tables if not row[0].startswith("`GET ")}

    assert explained == {
        name: labels - {"le"} for name, labels in shown().items() if not name.endswith(("_bucket", "_count", "_sum"))
    } | {"clerk_sync_request_seconds": {"event", "process"}}
