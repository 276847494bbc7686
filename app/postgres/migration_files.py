"""The files of sql/migrations, in dbmate's format: an up part, a down part, and perhaps `transaction:false`."""

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "sql" / "migrations"

_FORMAT = re.compile(
    r"-- migrate:up(?P<outside> transaction:false)?\n(?P<up>.*)^-- migrate:down(?: transaction:false)?\n(?P<down>.*)",
    re.DOTALL | re.MULTILINE,
)
_CONCURRENT_INDEX = re.compile(rb"^CREATE (?:UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS (\w+)\s+ON (\w+)", re.MULTILINE)
# Up to a semicolon that stands neither in a comment nor in the body of a function.
_STATEMENT = re.compile(rb"(?:--[^\n]*|\$\$.*?\$\$|[^;$])++;", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ConcurrentIndex:
    """An index that a file makes beside writers."""

    name: str
    table: str


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. Outside a transaction each statement is run by itself, and may be repeated; a new index is alone."""

    version: str
    file: str
    up: bytes
    down: bytes
    in_transaction: bool

    @property
    def concurrent_index(self) -> ConcurrentIndex | None:
        """The index that it makes with CREATE INDEX CONCURRENTLY."""
        found = _CONCURRENT_INDEX.search(self.up)
        return ConcurrentIndex(found[1].decode(), found[2].decode()) if found else None

    @property
    def tables(self) -> set[str]:
        """The tables that it makes."""
        return {name.decode() for name in re.findall(rb"^CREATE TABLE (\w+)", self.up, re.MULTILINE)}

    @property
    def dropped_functions(self) -> list[str]:
        """The functions that its down part drops, with the types of their arguments: those that it makes."""
        return re.findall(r"^DROP FUNCTION (.+);$", self.down.decode(), re.MULTILINE)

    @property
    def functions(self) -> set[str]:
        """The names of the functions that it makes."""
        return {name.decode() for name in re.findall(rb"^CREATE (?:OR REPLACE )?FUNCTION (\w+)", self.up, re.MULTILINE)}


def split(part: bytes) -> list[bytes]:
    """The statements of a part, each with the comments above it."""
    return _STATEMENT.findall(part)


def read_migrations() -> list[Migration]:
    """All of them, in the order of their versions."""
    return [_read(path) for path in sorted(FOLDER.glob("*.sql"))]


def newest() -> str:
    """The version that the code expects: the number of the last file."""
    return read_migrations()[-1].version


def _read(path: Path) -> Migration:
    parts = _FORMAT.search(path.read_text())
    if parts is None:
        raise ValueError(f"{path.name} has no up part followed by a down part")
    version = path.name.partition("_")[0]
    up, down = parts["up"].encode(), parts["down"].encode()
    return Migration(version, path.name, up, down, in_transaction=parts["outside"] is None)
