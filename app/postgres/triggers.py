"""The triggers that our migrations make, and whether they stand: DROP FUNCTION ... CASCADE takes them along."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from app.postgres.migration_files import read_migrations
from app.postgres.pipeline import Statement
from app.postgres.queries import Queries

_TRIGGER = re.compile(
    r"^CREATE (?:OR REPLACE )?(?:CONSTRAINT )?TRIGGER (?P<name>\w+)\s+(?P<event>.+?)\s+ON (?P<table>\w+)\b"
    r"(?P<rest>[^;]*?)EXECUTE (?:FUNCTION|PROCEDURE) (?P<function>\w+)\(",
    re.DOTALL | re.MULTILINE,
)
_DROPPED = re.compile(r"^DROP TRIGGER (?:IF EXISTS )?(\w+) ON (\w+);$", re.MULTILINE)
# The bits of pg_trigger.tgtype (PostgreSQL sources, pg_trigger.h); neither BEFORE nor INSTEAD OF is AFTER.
_BITS = {"BEFORE": 2, "INSTEAD OF": 64, "INSERT": 4, "DELETE": 8, "UPDATE": 16, "TRUNCATE": 32}
_FOR_EACH_ROW = 1
# What a function has not done while its trigger was missing.
_MISSED = {"uncount_messages": "then UPDATE sessions SET message_count = NULL; has the messages counted anew"}


@dataclass(frozen=True, slots=True)
class OwnTrigger:
    """A trigger of the schema: its table, its function, when it fires, as pg_trigger has it, and its file."""

    name: str
    table: str
    function: str
    type: int
    file: str


def read_triggers() -> Mapping[str, OwnTrigger]:
    """Those that stand when every migration was applied, by `name on table`."""
    triggers: dict[str, OwnTrigger] = {}
    for migration in read_migrations():
        up = migration.up.decode()
        for name, table in _DROPPED.findall(up):
            triggers.pop(f"{name} on {table}", None)
        for found in _TRIGGER.finditer(up):
            bits = _type(found["event"], found["rest"])
            trigger = OwnTrigger(found["name"], found["table"], found["function"], bits, migration.file)
            triggers[f"{trigger.name} on {trigger.table}"] = trigger
    return triggers


def _type(event: str, rest: str) -> int:
    """When it fires; without FOR EACH ROW it fires once for each statement."""
    bits = sum(bit for word, bit in _BITS.items() if re.search(rf"\b{word}\b", event))
    return bits | _FOR_EACH_ROW * bool(re.search(r"\bFOR EACH ROW\b|\bFOR ROW\b", rest))


def list_wrong_triggers(queries: Queries) -> Statement:
    """The statement that names those that are missing, switched off, or not the ones that our migrations made."""
    triggers = read_triggers().values()
    return queries.list_wrong_triggers, {
        "names": [one.name for one in triggers],
        "table_names": [one.table for one in triggers],
        "functions": [f"{one.function}()" for one in triggers],
        "types": [one.type for one in triggers],
    }


def mend_triggers(names: list[str]) -> str:
    """What a person does about triggers, each as `name on table`; their functions must stand before."""
    triggers = read_triggers()
    wrong = [triggers[name] for name in names]
    files = ", ".join(sorted({one.file for one in wrong}))
    enable = " ".join(f"ALTER TABLE {one.table} ENABLE TRIGGER {one.name};" for one in wrong)
    missed = "".join(f"; {text}" for function, text in _MISSED.items() if function in {one.function for one in wrong})
    return (
        f"Where it stands and is switched off: {enable} Else run its CREATE TRIGGER of sql/migrations once more"
        f" ({files}); drop what has its name before{missed}."
    )
