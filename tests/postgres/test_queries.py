"""The house rules of sql/queries, and every statement in there prepared on the migrated schema."""

import ast
import json
import re
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints
from uuid import UUID

import psycopg
import pytest
from psycopg.pq import ExecStatus

import app
from app.chat.models import Session
from app.postgres import queries
from app.postgres.queries import Queries
from app.users.models import User

FILES = {path.name.removesuffix(".sql"): path.read_text() for path in sorted(queries.FOLDER.iterdir())}
every_query = pytest.mark.parametrize("stem", FILES)

Database = psycopg.Connection[dict[str, Any]]

# The names that Postgres has for the types of the row classes' members.
TYPES = {UUID: "uuid", str: "text", datetime: "timestamptz", bool: "bool", int: "int8"}
# The columns of get_user_state behind those of the row.
MORE_COLUMNS = {"get_user_state": ["tombstone_at", "tries", "resolved"]}
# Words that open a clause, yet may also be names, so that Postgres' own list of reserved words lacks them.
CLAUSES = frozenset(("by", "conflict", "delete", "insert", "nothing", "over", "set", "update", "values"))

_PARAMETER = re.compile(r"%\(([a-z_]+)\)s")
# Where any character may stand: a comment, a string.
_FREE_TEXT = re.compile(r"--[^\n]*|'[^']*'")


@dataclass(frozen=True)
class Prepared:
    """What Postgres reports about a statement before it runs."""

    parameters: int
    columns: dict[str, str]


def header(stem: str) -> list[str]:
    """The comment that a file begins with, line by line."""
    lines = FILES[stem].splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("--"))
    return [line.removeprefix("-- ") for line in lines[:end]]


def code(stem: str) -> str:
    """The statement without comments, its strings and parameters blanked."""
    return _PARAMETER.sub("''", _FREE_TEXT.sub("''", FILES[stem]))


def parameters(stem: str) -> list[str]:
    """The parameters in the order in which the statement first names them."""
    return list(dict.fromkeys(_PARAMETER.findall(FILES[stem])))


def prepare(database: Database, text: str) -> Prepared:
    """Let Postgres parse and analyse a statement as psycopg would send it, without running it."""
    names = list(dict.fromkeys(_PARAMETER.findall(text)))
    numbered = _PARAMETER.sub(lambda match: f"${names.index(match[1]) + 1}", text).replace("%%", "%")
    prepared = database.pgconn.prepare(b"", numbered.encode())
    assert prepared.status == ExecStatus.COMMAND_OK, prepared.error_message.decode()
    described = database.pgconn.describe_prepared(b"")
    columns = {}
    for number in range(described.nfields):
        kind = database.adapters.types.get(described.ftype(number))
        columns[(described.fname(number) or b"").decode()] = kind.name if kind else "?"
    return Prepared(described.nparams, columns)


def members_of(row: type) -> list[tuple[str, str]]:
    """The members of a row class, each with the name that Postgres has for its type."""
    return [(name, TYPES[(get_args(hint) or (hint,))[0]]) for name, hint in get_type_hints(row).items()]


@every_query
def test_a_query_prepares_on_the_migrated_schema(stem: str, database: Database) -> None:
    """A renamed column, a wrong type or a second statement in the file fails with Postgres' own message."""
    assert prepare(database, FILES[stem]).parameters == len(parameters(stem))


def test_the_queries_of_the_code_before_prepare_on_this_schema(database: Database) -> None:
    """It goes on running between `migrate` and the restart, and after a rollback of the code.

    queries_before.json has them as they were at migration 0006; a release puts its own there (CONTRIBUTING.md).
    """
    before: dict[str, str] = json.loads(Path(__file__).with_name("queries_before.json").read_text())

    assert before
    for name, text in before.items():
        assert prepare(database, text).parameters == len(dict.fromkeys(_PARAMETER.findall(text))), name


@every_query
def test_a_query_that_returns_sessions_has_the_columns_of_the_row_class(stem: str, database: Database) -> None:
    """As for users; a query with `last_active_at` returns whole sessions."""
    columns = prepare(database, FILES[stem]).columns
    if "last_active_at" in columns:
        members = members_of(Session)
        assert list(columns.items())[: len(members)] == members
        assert list(columns)[len(members) :] == (["number"] if stem == "list_sessions" else [])


@every_query
def test_a_query_that_returns_users_has_the_columns_of_the_row_class(stem: str, database: Database) -> None:
    """In its order and of its types, since a row becomes a User by position."""
    columns = prepare(database, FILES[stem]).columns
    if "email" not in columns:
        return

    members = members_of(User)
    assert list(columns)[len(members) :] == MORE_COLUMNS.get(stem, [])
    assert list(columns.items())[: len(members)] == members


def test_the_queries_that_return_users_are_found(database: Database) -> None:
    """Otherwise the test above would compare nothing."""
    returning = {stem for stem, text in FILES.items() if "email" in prepare(database, text).columns}

    assert returning >= {"find_users", "get_user_state", "insert_user", "update_users"}


@every_query
def test_a_query_has_a_header_that_describes_it(stem: str) -> None:
    """Its first word is the file's name, verb first, and it ends with a whole sentence."""
    assert re.fullmatch(r"(find|get|list|count|insert|update|delete|lock|record|resolve|set|clear)_[a-z_]+", stem)
    assert header(stem)[0].startswith(f"{stem}: ")
    assert header(stem)[-1].endswith(".")


@every_query
def test_the_header_of_a_query_lists_its_parameters(stem: str) -> None:
    listed = [match[1] for line in header(stem)[1:] if (match := re.match(r"([a-z_]+(?:, [a-z_]+)*): ", line))]

    assert sorted(", ".join(listed).split(", ") if listed else []) == sorted(parameters(stem))


@every_query
def test_a_query_is_one_statement(stem: str) -> None:
    """It ends with the only semicolon and a line break, and nothing but the header is a comment."""
    comments = sum(line.lstrip().startswith("--") for line in FILES[stem].splitlines())

    assert code(stem).count(";") == 1
    assert FILES[stem].endswith(";\n")
    assert comments == FILES[stem].count("--") == len(header(stem))


@every_query
def test_a_query_has_named_parameters_and_no_lone_percent_sign(stem: str) -> None:
    """The driver reads every percent sign as the beginning of a parameter, in comments too."""
    assert "%" not in _PARAMETER.sub("", FILES[stem]).replace("%%", "")


@every_query
def test_a_query_names_its_columns(stem: str) -> None:
    """The meaning of a star would change with the next migration."""
    # ~* compares without regard to case.
    assert "*" not in code(stem).replace("~*", "")


@every_query
def test_keywords_are_upper_case_and_names_lower_case(stem: str, database: Database) -> None:
    """According to Postgres' own list of keywords."""
    rows = database.execute(b"SELECT word, catcode IN ('R', 'T') AS reserved FROM pg_get_keywords()").fetchall()
    known = {row["word"] for row in rows}
    types = {row["typname"] for row in database.execute(b"SELECT typname FROM pg_type").fetchall()}
    loud = {row["word"] for row in rows if row["reserved"]} | CLAUSES

    for word in re.findall(r"[A-Za-z_]\w*", code(stem)):
        if word.isupper():
            assert word.lower() in known | types, f"{word} is a name"
        else:
            assert word.islower(), f"{word} is neither upper nor lower case"
            assert word not in loud, f"{word} is a keyword"


def test_every_file_is_loaded() -> None:
    """The folder and the fields of Queries agree, so a missing file stops the process."""
    loaded = [f"{field.name}.sql" for field in fields(Queries)]

    assert sorted(path.name for path in queries.FOLDER.iterdir()) == sorted(loaded)


@every_query
def test_every_query_is_used(stem: str) -> None:
    assert stem in used_queries()


@cache
def used_queries() -> set[str]:
    """The attributes of `queries` that the service reads."""
    trees = [ast.parse(path.read_text()) for path in Path(app.__file__).parent.rglob("*.py")]
    uses = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return {use.attr for use in uses if ast.unparse(use.value).endswith("queries")}
