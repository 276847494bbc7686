"""The documents as data: a page's tables, row by row, and the words between backticks in a cell."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def page(name: str) -> str:
    return (ROOT / name).read_text()


def section(text: str, heading: str) -> str:
    """What stands under a heading, down to the next one of its level or above."""
    level = heading.partition(" ")[0]
    body = text.split(f"\n{heading}\n", 1)[1]
    return re.split(rf"\n#{{1,{len(level)}}} ", body, maxsplit=1)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row in a text, without heads and rulers."""
    lines = text.splitlines()
    ruled = {number for number, line in enumerate(lines) if re.fullmatch(r"\|(?:---\|)+", line)}
    skipped = ruled | {number - 1 for number in ruled}
    tabled = (line for number, line in enumerate(lines) if line.startswith("|") and number not in skipped)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in tabled]


def code(cell: str) -> list[str]:
    """What a cell has between backticks."""
    return re.findall(r"`([^`]+)`", cell)
