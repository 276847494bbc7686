"""A file of `clerk_id, assistant_id`: users with their assistants, and nothing else of them."""

import csv
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from app.clerk.users import CLERK_ID
from app.commands.importing.mapping import UnclearMapping
from app.commands.importing.models import ForeignUser, usable_uuid

COLUMNS = ("clerk_id", "assistant_id")
PAGE_SIZE = 200


def read_csv(path: Path) -> list[ForeignUser]:
    """The users of a file that begins with the names of its columns; UnclearMapping names bad lines by number."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UnclearMapping([f"{path} is not UTF-8"]) from None
    users: list[ForeignUser] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    for line, row in _rows(text, path, problems):
        values = {(name or "").strip(): (value or "").strip() for name, value in row.items() if isinstance(value, str)}
        clerk_id, assistant_id = (values.get(name, "") for name in COLUMNS)
        problem = _problem(clerk_id, assistant_id, None in row, seen)
        if problem:
            problems.append(f"line {line}: {problem}")
        seen |= {clerk_id: line, assistant_id.lower(): line}
        users.append(ForeignUser(clerk_id, clerk_id, assistant_id))
    if problems:
        raise UnclearMapping(problems)
    return users


def _rows(text: str, path: Path, problems: list[str]) -> Iterator[tuple[int, dict[str | Any, str | Any]]]:
    """Each row with the number of its last line, up to one that is not CSV, which becomes a problem."""
    # Strict, since an unclosed quote would else take every further line into its field.
    lines = text.splitlines(keepends=True)
    rows = csv.DictReader(lines, skipinitialspace=True, strict=True)
    before = 0
    try:
        if not set(COLUMNS) <= {name.strip() for name in rows.fieldnames or () if name}:
            raise UnclearMapping([f"line 1 of {path} must name the columns: {','.join(COLUMNS)}"])
        before = rows.line_num
        for row in rows:
            yield rows.line_num, row
            before = rows.line_num
    except csv.Error as error:
        # Where the row begins, which an unclosed quote takes to the end of the file; empty lines are no rows.
        line = next(number for number, one in enumerate(lines, 1) if number > before and one.strip())
        problems.append(f"line {line}: is not CSV ({error})")


def _problem(clerk_id: str, assistant_id: str, has_more: bool, seen: dict[str, int]) -> str | None:  # noqa: FBT001
    if has_more:
        return "has more fields than the first line"
    if not CLERK_ID.fullmatch(clerk_id):
        return "clerk_id is not user_ and 1 to 64 letters and digits"
    if usable_uuid(assistant_id) is None:
        return "assistant_id is not a UUID"
    if clerk_id in seen or assistant_id.lower() in seen:
        return f"names the user or the assistant of line {seen.get(clerk_id) or seen[assistant_id.lower()]} again"
    return None


async def in_pages(users: list[ForeignUser]) -> AsyncIterator[list[ForeignUser]]:
    """As another program's tables give them."""
    for first in range(0, len(users), PAGE_SIZE):
        yield users[first : first + PAGE_SIZE]
