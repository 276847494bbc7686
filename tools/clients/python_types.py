"""Python's types of the API: a TypedDict for each schema of its document."""

import json
from collections.abc import Iterator
from typing import Any

from tools.clients.described import Json, for_callers

_HEAD = '''"""The API's bodies, generated from its document by `./dev clients`. Ids and times are text, as in JSON."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict
'''
_SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


def python_types(document: Json) -> str:
    """The module's text: what the callers' operations send and get, and the problem document."""
    schemas = document["components"]["schemas"]
    wanted: set[str] = set()
    for operation in for_callers(document):
        for name in _references(operation):
            _collect(name, schemas, wanted)
    texts = [_class(name, schemas[name]) for name in sorted(wanted) if _is_class(schemas[name])]
    aliases = [f"{name} = {_type(schemas[name])}" for name in sorted(wanted) if not _is_class(schemas[name])]
    return "\n".join([_HEAD, *aliases]) + "\n" + "".join(f"\n\n{text}\n" for text in texts)


def _is_class(schema: Json) -> bool:
    return "properties" in schema


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"].rpartition("/")[2]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def _collect(name: str, schemas: Json, wanted: set[str]) -> None:
    if name not in wanted:
        wanted.add(name)
        for other in _references(schemas[name]):
            _collect(other, schemas, wanted)


def _class(name: str, schema: Json) -> str:
    lines = [f"class {name}(TypedDict):"]
    if "description" in schema:
        first, *others = schema["description"].splitlines()
        end = ["    " + '"""'] if others else []
        lines += [f'    """{first}' + '"""' * (not others), *(f"    {line}".rstrip() for line in others), *end, ""]
    for member, described in schema["properties"].items():
        written = _type(described)
        needed = member in schema.get("required", ())
        lines.append(f"    {member}: {written if needed else f'NotRequired[{written}]'}")
    return "\n".join(lines)


def _type(schema: Json) -> str:
    """The type of a schema; KeyError for a kind that the document has not had yet."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(map(_type, schema["anyOf"])))
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if values:
        return f"Literal[{', '.join(map(json.dumps, values))}]"
    if schema.get("type") == "array":
        return f"list[{_type(schema['items'])}]"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties", True)
        return f"dict[str, {_type(values) if isinstance(values, dict) else 'Any'}]"
    return _SCALARS[schema["type"]] if "type" in schema else "Any"
