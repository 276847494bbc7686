"""A Postgres address as hosts, ORMs and people write it, made into one that libpq takes; a fault is named. No I/O."""

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, unquote_to_bytes

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from app.settings.placeholders import find_placeholder

LAST_PORT = 65_535
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

# Parameters of other drivers and of hosts, about a pool or a cache that this service does not have.
_MEANINGLESS = frozenset((
    # Prisma: pgbouncer=true only turns its prepared statements off.
    *("pgbouncer", "connection_limit", "pool_timeout", "socket_timeout", "statement_cache_size"),
    *("single_use_connections", "max_connection_lifetime", "max_idle_connection_lifetime"),
    # Supabase, in the addresses that its Vercel integration writes.
    *("supa", "workaround"),
    # node-postgres, Rails, SQLAlchemy, asyncpg.
    *("uselibpqcompat", "pool", "prepared_statements", "reaping_frequency", "checkout_timeout", "encoding"),
    *("pool_size", "max_overflow", "pool_pre_ping", "pool_recycle", "prepared_statement_cache_size"),
    # pgx and Go's pq.
    *("pool_max_conns", "pool_min_conns", "pool_max_conn_lifetime", "pool_max_conn_idle_time"),
    *("pool_health_check_period", "default_query_exec_mode", "statement_cache_capacity", "binary_parameters"),
    # JDBC.
    *("prepareThreshold", "preferQueryMode", "reWriteBatchedInserts", "tcpKeepAlive", "ApplicationName"),
))  # fmt: skip
_SCHEMA_NAMES = ("schema", "currentSchema", "search_path")
_ENCODE = "in the user or the password must be written as"


class DatabaseUrl(SecretStr):
    """An address that libpq takes; `left_out` has the names of the parameters that were left out."""

    left_out: tuple[str, ...] = ()

    def changed_to(self, text: str) -> Self:
        """Another address, with the same `left_out`."""
        url = type(self)(text)
        url.left_out = self.left_out
        return url


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A parameter of the query: as it stands, and decoded."""

    text: str
    name: str
    value: str


def read_database_url(text: str) -> DatabaseUrl:
    """Read an address that begins with postgres:// or postgresql://.

    Raises ValueError with a sentence that goes on from the variable's name, and quotes neither names nor secrets.
    """
    _check_start(text)
    _check_characters(text)
    address, mark, query = _split_query(text)
    parameters = [_read_parameter(parameter) for parameter in query.split("&") if parameter]
    kept = [parameter for parameter in parameters if not _is_meaningless(parameter)]
    for parameter in kept:
        _check_parameter(parameter)
    url = DatabaseUrl(address + mark * bool(kept) + "&".join(parameter.text for parameter in kept))
    url.left_out = tuple(dict.fromkeys(parameter.name for parameter in parameters if parameter not in kept))
    _check_as_libpq(url.get_secret_value(), kept)
    return url


def _check_start(text: str) -> None:
    if text.startswith(("prisma://", "prisma+postgres://")):
        raise ValueError("is a Prisma Accelerate address, which speaks Prisma's own protocol; give the postgres:// one")
    if text.startswith("psql "):
        raise ValueError("begins with the command psql: give only the address, without the quotes round it")
    if re.match(r"(jdbc:|postgres(ql)?\+\w+:|postgres(ql)?:(?!//))", text, re.IGNORECASE):
        raise ValueError("names a driver before ://; it must begin with postgres:// or postgresql:// and nothing else")
    if not text.startswith(("postgres://", "postgresql://")):
        raise ValueError("must begin with postgres:// or postgresql://")


def _check_characters(text: str) -> None:
    if re.search(r"[\r\n]", text):
        raise ValueError("has a line end inside: give the address on one line")
    if re.search(r"\s", text):
        raise ValueError(f"has a blank inside, which {_ENCODE} %20")
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise ValueError(f"has a % that encodes nothing: a % {_ENCODE} %25")
    if re.search(r"%00", text):
        raise ValueError("holds %00, which Postgres takes in no name and no password")
    placeholder = find_placeholder(text)
    if placeholder == "password":
        raise ValueError("is still a placeholder in its password: give the password, and its $, if it has one, as %24")
    if placeholder or re.search(r":(YOUR|DB)[-_]?PASSWORD@", text, re.IGNORECASE):
        raise ValueError("is still a placeholder in one of its parts: give the user, password, host and database")
    try:
        unquote_to_bytes(text).decode()
    except UnicodeError:
        raise ValueError("has a % and digits that are not UTF-8: write each byte of a character in UTF-8") from None


def _split_query(text: str) -> tuple[str, str, str]:
    """The address before its ?, the ? and the query. As in libpq, the user ends at the first @ before any slash."""
    scheme, _, rest = text.partition("://")
    before, at, after = rest.partition("@")
    if "/" in before or not at:
        before, at, after = "", "", rest
    address, mark, query = after.partition("?")
    if "@" in address:
        raise ValueError(f"has an @ too many: an @ {_ENCODE} %40" if at else f"has a / too many: a / {_ENCODE} %2F")
    return f"{scheme}://{before}{at}{address}", mark, query


def _read_parameter(text: str) -> _Parameter:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"has a ? without a parameter behind it: a ? {_ENCODE} %3F, and a parameter as name=value")
    return _Parameter(text, unquote(name), unquote(value))


def _is_meaningless(parameter: _Parameter) -> bool:
    """Whether it can be left out. A schema cannot, except for the one that is meant anyway."""
    return parameter.name in _MEANINGLESS or (parameter.name in _SCHEMA_NAMES and parameter.value == "public")


def _check_parameter(parameter: _Parameter) -> None:
    """Name the fault of a parameter that means something, but not to libpq."""
    if parameter.name in _SCHEMA_NAMES:
        raise ValueError(f"has {parameter.name}=, unknown to libpq: write options=-csearch_path%3D and the name")
    if parameter.name == "sslmode" and parameter.value == "no-verify":
        raise ValueError("has sslmode=no-verify, node-postgres' word: libpq's for the same is sslmode=require")
    if parameter.name == "sslmode" and parameter.value not in SSL_MODES:
        raise ValueError(f"has an sslmode that libpq does not know: it must be one of {', '.join(SSL_MODES)}")
    # libpq itself takes ssl=true, for JDBC's sake.
    if parameter.name == "ssl" and parameter.value != "true":
        raise ValueError("has ssl=, which libpq does not know: write sslmode=require")
    if parameter.name == "sslaccept":
        raise ValueError("has sslaccept=, Prisma's: write sslmode=verify-full for strict, else sslmode=require")


def _check_as_libpq(text: str, parameters: list[_Parameter]) -> None:
    try:
        parts = conninfo_to_dict(text)
    except ProgrammingError:
        raise ValueError(_unknown_parameter(parameters)) from None
    # libpq checks a port only when it connects. One of several hosts may leave its port empty.
    ports = str(parts.get("port") or "").split(",")
    if not all(re.fullmatch(r"[0-9]{0,5}", port) and 0 < int(port or "1") <= LAST_PORT for port in ports):
        raise ValueError(f"must have a port of 1 to {LAST_PORT}, or none; a : or a / {_ENCODE} %3A or %2F")


def _unknown_parameter(parameters: list[_Parameter]) -> str:
    """The sentence about the parameter that libpq refuses, found by trying each alone."""
    for parameter in parameters:
        try:
            conninfo_to_dict(f"postgresql://?{parameter.text}")
        except ProgrammingError:
            # Anything else may be a part of a password.
            name = f"the parameter {parameter.name}" if re.fullmatch(r"\w{1,40}", parameter.name) else "a parameter"
            return f"has {name}, which libpq does not know: correct it or take it out"
    return f"cannot be read by libpq: look for a character that {_ENCODE} % and its two hexadecimal digits"
