"""Every link between the documents leads to a file and, where it names one, to a heading."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

PAGES = sorted(
    path for pattern in ("*.md", "docs/*.md", "clients/*/*.md", "examples/*/README.md") for path in ROOT.glob(pattern)
)
PAST = {"decisions.md", "performance.md"}


def anchor(heading: str) -> str:
    """The anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(file: Path) -> set[str]:
    return {anchor(heading) for heading in re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)}


def links(file: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", file.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_every_link_leads_somewhere(file: Path) -> None:
    for link in links(file):
        path, _, fragment = link.partition("#")
        target = (file.parent / path).resolve() if path else file

        assert target.exists(), link
        assert not fragment or fragment in anchors(target), link


# Decisions and the ladder of performance.md tell of files as they were at the time.
@pytest.mark.parametrize("file", [one for one in PAGES if one.name not in PAST], ids=lambda file: file.name)
def test_every_path_in_the_text_exists(file: Path) -> None:
    paths = re.findall(r"`((?:app|clients|docs|examples|sql|tests|tools)/[\w./]*)`", file.read_text())

    assert [path for path in paths if not (ROOT / path).exists() and not (file.parent / path).exists()] == []
