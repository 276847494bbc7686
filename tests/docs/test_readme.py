"""The pages for a first visit are short, and every command that a document names exists."""

import re

import pytest

from app.__main__ import COMMANDS
from tests.docs.pages import ROOT, page, section
from tests.docs.test_links import PAGES

SCRIPT = {"run", "test", "check", "bench", "chaos", "hostile", "clients", "migration", "screenshots", "help"}


@pytest.mark.parametrize(("name", "lines"), [("README.md", 160), ("CONTRIBUTING.md", 150)])
def test_a_page_for_a_first_visit_is_short(name: str, lines: int) -> None:
    assert len(page(name).splitlines()) < lines


@pytest.mark.parametrize("name", [str(path.relative_to(ROOT)) for path in PAGES])
def test_every_command_that_a_document_names_exists(name: str) -> None:
    text = page(name)

    assert set(re.findall(r"\./dev ([a-z]+)", text)) <= {*SCRIPT, *COMMANDS}
    assert set(re.findall(r"python -m app\s+([a-z]+)", text)) <= set(COMMANDS)


def test_the_map_of_the_code_has_every_package_and_module_at_the_root() -> None:
    here = {f"app/{path.name}" + "/" * path.is_dir() for path in (ROOT / "app").iterdir() if path.name[0] not in "_."}
    named = set(re.findall(r"`(app/\w+(?:/|\.py))`", section(page("CONTRIBUTING.md"), "## Finding your way")))

    assert named - {"app/__main__.py"} == here


def test_the_pythons_that_the_pages_name_are_those_of_the_script() -> None:
    newest = re.findall(r"^NEWEST = \(3, (\d+)\)", (ROOT / "dev").read_text(), re.MULTILINE)

    for name in ("README.md", "CONTRIBUTING.md", "docs/operate.md"):
        assert re.findall(r"Python 3\.11 to 3\.(\d+)", page(name)) == newest


def test_the_usage_of_the_script_has_its_own_commands() -> None:
    usage = (ROOT / "dev").read_text().split("USAGE", 1)[1].split("Any other word", 1)[0]

    assert set(re.findall(r"^  ([a-z]+) ", usage, re.MULTILINE)) == SCRIPT


WORDS = ["anybody", "everybody", "nobody", "somebody", "whoever", "whom", "whose"]


@pytest.mark.parametrize("name", [*(str(path.relative_to(ROOT)) for path in PAGES), ".env.example"])
def test_a_document_has_concrete_subjects(name: str) -> None:
    """A sentence about one of these is clearer with the client, the caller, the user or the operator in it."""
    assert re.findall(rf"\b({'|'.join(WORDS)})\b", page(name), re.IGNORECASE) == []
