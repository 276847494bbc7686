"""Which tables and columns of another program hold what: found by their names, and corrected by `--map`.

Three schemas stood model, all Prisma's: camelCase, snake_case by @map, and tables named by @@map. A name is compared
without its case and underscores. What has no meaning here is refused until `--map TABLE.COLUMN=skip` says so.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from app.commands.importing.names import COLUMN_NAMES, NEEDED, SPARE, TABLE_NAMES, TYPES, VALUES
from app.postgres.foreign_tables import UNREADABLE

SKIP = "skip"
# Of a message: any other column may become a member of its metadata, `--map Message.tokens=metadata.tokens`.
MEMBER = re.compile(r"metadata\.(\w{1,64})", re.ASCII)


class UnclearMapping(Exception):
    """What could not be mapped, each with what decides it: a line for one column, table or value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))


@dataclass(frozen=True, slots=True)
class TableMapping:
    """One table of theirs. `columns` has their name by ours, `members` by the member of a message's metadata."""

    kind: str
    name: str
    columns: Mapping[str, str]
    types: Mapping[str, str]
    members: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def has(self, column: str) -> bool:
        return column in self.columns

    def lines(self) -> Iterator[str]:
        """What is about to be read, for the operator."""
        yield f'"{self.name}" -> {self.kind}'
        width = max(len(name) for name in self.types)
        ours = {theirs: ours for ours, theirs in self.columns.items()}
        ours |= {theirs: f"metadata.{member}" for member, theirs in self.members.items()}
        for name in self.types:
            yield f"  {name:{width}} -> {ours.get(name, 'left out')}"


Tables = Mapping[str, Mapping[str, str]]


def plain(name: str) -> str:
    """A name without case and underscores."""
    return name.replace("_", "").lower()


class Choices:
    """What `--map` says: TABLE=KIND, TABLE.COLUMN=OURS and TABLE.COLUMN.VALUE=OURS, each used once or a problem."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._chosen: dict[str, str] = {}
        for text in texts:
            place, equals, ours = text.partition("=")
            if not (place and equals and ours):
                raise UnclearMapping([f"--map {text}: it must be TABLE.COLUMN=OURS, such as User.plan=skip"])
            self._chosen[place] = ours
        self._unused = set(self._chosen)

    def get(self, *place: str) -> str | None:
        name = ".".join(place)
        self._unused.discard(name)
        return self._chosen.get(name)

    def unused(self) -> list[str]:
        return [f"--map {name}={self._chosen[name]}: there is no such table, column or value" for name in self._unused]


def map_tables(tables: Tables, choices: Choices) -> dict[str, TableMapping]:
    """The tables by kind; UnclearMapping names everything that stands in the way, at once.

    `tables` has the types of the columns, by table and column.
    """
    problems: list[str] = []
    mapped: dict[str, TableMapping] = {}
    for kind in TABLE_NAMES:
        name = _find_table(kind, tables, choices, problems)
        if name is not None:
            mapped[kind] = _map_columns(kind, name, tables[name], choices, problems)
    if "user" in mapped and "message" in mapped and "session" not in mapped:
        problems.append("there are messages and no table of sessions: --map TABLE=session")
    if problems:
        raise UnclearMapping(problems)
    return mapped


def _find_table(kind: str, tables: Tables, choices: Choices, problems: list[str]) -> str | None:
    chosen = [name for name in tables if choices.get(name) == kind]
    named = [name for name in tables if choices.get(name) is None and plain(name) in TABLE_NAMES[kind]]
    # Another table may have the name, such as that of a sign-in library's sessions.
    fitting = chosen or [
        name for name in named if not NEEDED[kind] - _find_columns(kind, name, tables[name], choices).keys()
    ]
    if len(fitting) > 1:
        problems.append(f"{' and '.join(fitting)} may both be the table of {kind}: --map {fitting[0]}={kind}")
    elif not fitting and named:
        problems.append(
            f"{named[0]} lacks what a table of {kind} needs, {_lacking(kind, named[0], tables, choices)}: "
            f"--map {named[0]}.COLUMN=..., or --map {named[0]}=skip"
        )
    elif not fitting and kind == "user":
        problems.append("there is no table of users: --map TABLE=user, or --schema")
    return fitting[0] if len(fitting) == 1 else None


def _lacking(kind: str, name: str, tables: Tables, choices: Choices) -> str:
    return ", ".join(sorted(NEEDED[kind] - _find_columns(kind, name, tables[name], choices).keys()))


def _find_columns(kind: str, table: str, types: Mapping[str, str], choices: Choices) -> dict[str, str]:
    """Their name by ours. Prisma's own `id` is the Clerk id where no other column is."""
    chosen: dict[str, str] = {}
    for name in types:
        ours = choices.get(table, name)
        if ours is not None and ours in COLUMN_NAMES[kind]:
            chosen[ours] = name
    free = {plain(name): name for name in types if choices.get(table, name) is None}
    for column, names in COLUMN_NAMES[kind].items():
        found = next((free[name] for name in names if name in free), None)
        if found is not None and column not in chosen:
            chosen[column] = found
    if kind == "user" and "clerk_id" not in chosen and "id" in chosen:
        chosen["clerk_id"] = chosen["id"]
    return chosen


def _map_columns(
    kind: str, table: str, types: Mapping[str, str], choices: Choices, problems: list[str]
) -> TableMapping:
    columns = _find_columns(kind, table, types, choices)
    hidden = _unreadable(kind, table, types, choices)
    problems += dict.fromkeys(hidden.values())
    if missing := NEEDED[kind] - columns.keys():
        problems.append(f"{table} lacks {', '.join(sorted(missing))}: --map {table}.COLUMN={min(missing)}")
    for column, name in columns.items():
        words, wanted = TYPES.get(column, ("", (types[name],)))
        if types[name] not in (*wanted, UNREADABLE):
            problems.append(f"{table}.{name} is {types[name]} and not {words}: --map {table}.{name}=skip, or a view")
    members: dict[str, str] = {}
    left_out: list[str] = []
    for name in types:
        if name in columns.values() or name in hidden:
            continue
        ours = choices.get(table, name)
        member = MEMBER.fullmatch(ours or "") if kind == "message" else None
        if member and member[1] in members:
            problems.append(f"--map {table}.{name}={ours}: {members[member[1]]} becomes the same member")
        elif member:
            members[member[1]] = name
        elif ours == SKIP or plain(name) in SPARE[kind] or _is_member_of_document(kind, columns):
            left_out.append(name)
        elif ours is None:
            more = f", or ={'metadata.' + name}" if kind == "message" else ""
            problems.append(f"{table}.{name} has no place here: --map {table}.{name}=skip{more}")
        else:
            problems.append(f"--map {table}.{name}={ours}: a {kind} has {', '.join(COLUMN_NAMES[kind])}")
    return TableMapping(kind, table, columns, types, members, tuple(left_out))


def _unreadable(kind: str, table: str, types: Mapping[str, str], choices: Choices) -> dict[str, str]:
    """What says that a column may not be read, by its name; one line for a table of which nothing may be read."""
    if set(types.values()) == {UNREADABLE}:
        line = f"{table} may not be read by this role: GRANT SELECT, or --map {table}=skip"
        return dict.fromkeys(types, line)
    return {
        name: f"{table}.{name} may not be read by this role: GRANT SELECT, or --map {table}.{name}=skip"
        for name, type_ in types.items()
        if type_ == UNREADABLE and choices.get(table, name) != SKIP and plain(name) not in SPARE[kind]
    }


def _is_member_of_document(kind: str, columns: Mapping[str, str]) -> bool:
    """A table of preferences without a document is one: its columns become the members."""
    return kind == "preferences" and "document" not in columns


class Words:
    """Our word for each value of a column, or skip; also for a value that came after they were mapped."""

    def __init__(self, mapped: Mapping[str | None, str], table: TableMapping | None, column: str) -> None:
        self._mapped = mapped
        self._known = known_words(table.kind, column) if table else {}
        self._place = f"{table.name}.{table.columns.get(column)}" if table else ""

    def get(self, value: str | None) -> str | None:
        return self._mapped.get(value) or self._known.get((value or "").lower())

    def undecided(self, value: str | None) -> str:
        """What decides about a value that has no meaning here."""
        return f"{value!r}, which came during the run and has no meaning here: --map {self._place}.{value or ''}=..."


def known_words(kind: str, column: str) -> dict[str, str]:
    """Our word for the usual ones."""
    return {word: ours for ours, theirs in VALUES[kind, column].items() for word in theirs}


def map_values(table: TableMapping, column: str, found: list[str | None], choices: Choices) -> Mapping[str | None, str]:
    """Our word, or skip, for each value that stands in a column of theirs; UnclearMapping for the others."""
    known = VALUES[table.kind, column]
    words = known_words(table.kind, column)
    values: dict[str | None, str] = {}
    problems: list[str] = []
    for value in found:
        place = (table.name, table.columns[column], value or "")
        ours = choices.get(*place) or words.get((value or "").lower())
        if ours is None or ours not in {*known, SKIP}:
            options = " or ".join(f"={one}" for one in (*known, SKIP))
            problems.append(f"{'.'.join(place)} has no meaning here: --map {'.'.join(place)} with {options}")
        else:
            values[value] = ours
    if problems:
        raise UnclearMapping(problems)
    return values
