"""docs/decisions.md: every decision is dated, and stands once in the index by subject."""

import re

from tests.docs.pages import page, section
from tests.docs.test_links import anchor

PAGE = page("docs/decisions.md")
HEADINGS = [heading for heading in re.findall(r"^## (.*)$", PAGE, re.MULTILINE) if heading != "Index"]


def test_every_decision_stands_once_in_the_index() -> None:
    indexed = re.findall(r"\]\(#([^)]+)\)", section(PAGE, "## Index"))

    assert sorted(indexed) == sorted(anchor(heading) for heading in HEADINGS)


def test_decisions_are_in_the_order_of_their_days() -> None:
    days = [re.match(r"\d{4}-\d\d-\d\d(?=: )", heading) for heading in HEADINGS]

    assert all(days)
    assert [day[0] for day in days if day] == sorted(day[0] for day in days if day)
