"""What libpq makes of the database's address, together with its service file and the PG* variables.

libpq is asked, so that no rule of its own is written down here a second time. Nothing is connected.
"""

import ipaddress
import os
from itertools import zip_longest

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import PGconn

# The modes of libpq that never fall back to plain text.
TLS_MODES = ("require", "verify-ca", "verify-full")


def unset_empty_variables() -> None:
    """An empty PG* variable counts as unset, as the others do; libpq would refuse some, such as PGSSLMODE."""
    for name in [name for name, value in os.environ.items() if name.startswith("PG") and not value]:
        del os.environ[name]


def resolve(address: str) -> dict[str, str]:
    """Every parameter that a connection would have, by libpq's names; ValueError for a service that is not found.

    libpq fills in what the address leaves open before it looks at an invalid target_session_attrs, and looks at that
    before it opens a socket.
    """
    parameters = _filled_in(address, "target_session_attrs")
    if not parameters:
        raise ValueError("or PGSERVICE names a service that libpq does not find in its service file")
    del parameters["target_session_attrs"]
    if wanted := _filled_in(address, "channel_binding").get("target_session_attrs"):
        parameters["target_session_attrs"] = wanted
    return parameters


def _filled_in(address: str, invalid: str) -> dict[str, str]:
    """What libpq makes of an address before it looks at a parameter that is made invalid."""
    stopped = PGconn.connect_start(make_conninfo(address, **{invalid: "nothing"}).encode())
    return {
        option.keyword.decode(): option.val.decode(errors="surrogateescape") for option in stopped.info if option.val
    }


def is_on_this_machine(address: str) -> bool:
    """Whether libpq would connect to this machine and to no other."""
    parameters = resolve(address)
    lists = (parameters.get(name, "").split(",") for name in ("hostaddr", "host"))
    # libpq connects to the hostaddr of each host where that is given.
    return all(is_local(numeric or host) for numeric, host in zip_longest(*lists, fillvalue=""))


def is_local(host: str) -> bool:
    """Whether a libpq host is this machine: the directory of a socket, localhost, a loopback address."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def demand_tls(address: str) -> str:
    """The address with TLS, unless the server is this machine, however it is named; ValueError if it turns TLS off."""
    if is_on_this_machine(address):
        return address
    if conninfo_to_dict(address).get("sslmode", "require") not in TLS_MODES:
        raise ValueError("must not turn TLS off (sslmode) for a database on another machine")
    mode = resolve(address).get("sslmode", "prefer")
    return make_conninfo(address, sslmode=mode if mode in TLS_MODES else "require")
