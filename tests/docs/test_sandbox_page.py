"""docs/sandbox.md names every call, fault and switch of the sandboxes, with its default, and no other."""

import dataclasses

from tests.docs.pages import code, page, rows, section
from tools.sandbox.backboard.faults import KINDS, NAMED
from tools.sandbox.backboard.switches import Switches
from tools.sandbox.clerk import backend_api, directory

PAGE = page("docs/sandbox.md")


def names_in(heading: str) -> list[str]:
    """The words between backticks in the first cells of a section's table."""
    return [name for row in rows(section(PAGE, heading)) for name in code(row[0])]


def test_every_kind_of_call_is_listed() -> None:
    """Behind the sentence that says what a kind is."""
    assert code(section(PAGE, "### Calls").partition(":")[2]) == list(KINDS)


def test_every_fault_has_a_row() -> None:
    assert sorted(names_in("### Faults")) == sorted(NAMED)


def test_every_switch_has_a_row_with_its_default_first() -> None:
    defaults = {row[0].strip("`"): code(row[1])[0] for row in rows(section(PAGE, "### Switches"))}

    assert defaults == {
        field.name: str(field.default).lower().removesuffix(".0") for field in dataclasses.fields(Switches)
    }


def test_the_calls_and_switches_of_clerk_are_named() -> None:
    named = set(code(section(PAGE, "## Clerk")))

    assert named >= {*backend_api.KINDS, *(field.name for field in dataclasses.fields(directory.Switches))}
