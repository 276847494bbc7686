"""The functions that our migrations make, and how they are told from others of the same name."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from app.postgres.migration_files import read_migrations
from app.postgres.pipeline import Statement
from app.postgres.queries import Queries

# In the files a body is quoted with $$; Postgres keeps it as it stands there.
_FUNCTION = re.compile(
    r"^CREATE (?:OR REPLACE )?FUNCTION (\w+)\((.*?)\)\s+RETURNS.*?\$\$(.*?)\$\$", re.DOTALL | re.MULTILINE
)
_DROPPED = re.compile(r"^DROP FUNCTION (?:IF EXISTS )?(\w+\(.*\));$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class OwnFunction:
    """A function of the schema: its name with the types of its arguments, the hash of its body, and its file."""

    signature: str
    sha256: str
    file: str


def read_functions() -> Mapping[str, OwnFunction]:
    """Those that stand when every migration was applied, by their signatures."""
    functions: dict[str, OwnFunction] = {}
    for migration in read_migrations():
        up = migration.up.decode()
        for signature in _DROPPED.findall(up):
            functions.pop(signature, None)
        for name, arguments, body in _FUNCTION.findall(up):
            signature = f"{name}({_types(arguments)})"
            functions[signature] = OwnFunction(signature, hashlib.sha256(body.encode()).hexdigest(), migration.file)
    return functions


def _types(arguments: str) -> str:
    """The types of arguments, each of which is a name and a type."""
    return ", ".join(argument.split(maxsplit=1)[1].strip() for argument in arguments.split(",") if argument.strip())


def list_wrong_functions(queries: Queries) -> Statement:
    """The statement that names those that are missing, or that are not the ones that our migrations made."""
    functions = read_functions().values()
    return queries.list_wrong_functions, {
        "signatures": [one.signature for one in functions],
        "hashes": [one.sha256 for one in functions],
    }


def mend_functions(signatures: list[str]) -> str:
    """What a person does about functions that are missing or wrong."""
    functions = read_functions()
    files = ", ".join(sorted({functions[signature].file for signature in signatures}))
    return (
        f"Run their CREATE FUNCTION of sql/migrations once more ({files}); drop or rename what has their name before."
    )
