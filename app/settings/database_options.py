"""Whether libpq takes the values of an address, asked before the first connection. Nothing is connected.

libpq looks at the values when it connects, and says in words only what is wrong. It is therefore asked to connect to a
socket that cannot be there: with a value that it does not take, it says something else than without.
"""

import ipaddress
import re

from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.settings.database_address import resolve

_NOWHERE = {"host": "/nonexistent", "hostaddr": "", "port": "1", "user": "x", "dbname": "x", "password": "x"}
# What says where and who, and what has another check; sslcertmode has no default of its own.
_PLACE = frozenset({*_NOWHERE, "service", "servicefile", "passfile", "connect_timeout"})
_PROTOCOL_VERSIONS = {"min_protocol_version": "3.0", "max_protocol_version": "latest"}
_CORRECT = "correct it or take it out"
# PostgreSQL documentation, 32.1.2: what libpq takes beside some modes only.
_NEEDS = {
    "sslrootcert": "the certificates of the system need sslmode=verify-full",
    "sslnegotiation": "a direct negotiation needs sslmode=require or a stricter one",
}
_WITH_SSLMODE = {("sslrootcert", "system"), ("sslnegotiation", "direct")}


def check_options(address: str) -> None:
    """Raise ValueError with a sentence that goes on from the variable's name, and quotes no value."""
    given = {name: value for name, value in resolve(address).items() if name not in _PLACE}
    neutral = {
        option.keyword.decode(): (option.compiled or b"").decode()
        for option in pq.Conninfo.parse(b"")
        if (option.compiled or option.envvar) and option.keyword.decode() not in _PLACE
    } | {"sslcertmode": "allow"}
    # They have no default of their own either, and libpq takes no empty one (PostgreSQL documentation, 32.1.2).
    neutral |= {name: value for name, value in _PROTOCOL_VERSIONS.items() if name in neutral}
    as_ever = _answer(neutral)

    def is_taken(options: dict[str, str]) -> bool:
        return _answer(neutral | options) == as_ever

    if not is_taken(given):
        # Those without which the rest is taken; none where several are not taken, each by itself.
        healing = [name for name in given if is_taken({other: given[other] for other in given if other != name})]
        names = healing or [name for name, value in given.items() if not is_taken({name: value})]
        places = " and ".join(_places(names, address)) or "a parameter"
        needs = "".join(f"; {_NEEDS[name]}" for name in names if (name, given[name]) in _WITH_SSLMODE)
        together = " together" if len(healing) > 1 else ""
        raise ValueError(f"has a value of {places}, which libpq does not take{together}: {_CORRECT}{needs}")
    _check_what_libpq_reads_later(address)


def _answer(options: dict[str, str]) -> str:
    """What libpq says of an attempt."""
    stopped = pq.PGconn.connect_start(make_conninfo(**_NOWHERE, **options).encode(errors="surrogateescape"))
    try:
        return stopped.get_error_message()
    finally:
        stopped.finish()


def _places(names: list[str], address: str) -> list[str]:
    """As the person has written them: parameters of the address or of a service file, or variables."""
    written, has_service = conninfo_to_dict(address), "service" in resolve(address)
    variables = {option.keyword.decode(): (option.envvar or b"").decode() for option in pq.Conninfo.parse(b"")}
    elsewhere = {
        name: f"{name} (its service's, or {variables[name]})" if has_service else variables[name] for name in names
    }
    return [name if name in written else elsewhere[name] or name for name in names]


def _check_what_libpq_reads_later(address: str) -> None:
    """Two that libpq reads once it has begun to connect."""
    options = resolve(address)
    for host in filter(None, options.get("hostaddr", "").split(",")):
        try:
            ipaddress.ip_address(host)
        except ValueError:
            (place,) = _places(["hostaddr"], address)
            raise ValueError(f"has a value of {place} that is not an IP address: give a name in host instead") from None
    if not re.fullmatch(r"\s*[-+]?[0-9]{0,9}\s*", options.get("keepalives", "")):
        (place,) = _places(["keepalives"], address)
        raise ValueError(f"has a value of {place}, which libpq does not take: {_CORRECT}")
