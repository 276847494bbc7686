"""docs/performance.md explains every suite of the bench."""

from tests.docs.pages import code, page, rows, section
from tools.bench.__main__ import SUITES


def test_every_suite_has_its_rows_and_no_other_has() -> None:
    explained = [code(row[0])[0] for row in rows(section(page("docs/performance.md"), "## How to measure")) if row[0]]

    assert sorted(explained) == sorted(SUITES)
