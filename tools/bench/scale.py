"""What does not change: lookups in a large table, two processes beside one, connections as configured."""

from collections.abc import Iterator
from functools import partial

from app.postgres.connection_budget import FEWEST_QUERY_CONNECTIONS
from tools.bench import database, servers, traffic
from tools.bench.ensure import BUSY
from tools.bench.figures import Figure, at_least, at_most, compared, interleaved
from tools.bench.load import put_load
from tools.bench.rig import Rig

_CONNECTIONS = 5
_A_PROCESS = FEWEST_QUERY_CONNECTIONS + _CONNECTIONS


def run(rig: Rig) -> Iterator[Figure]:
    url = database.populated(rig, rig.sizes.users)
    yield from _tables(rig, url)
    yield from _processes(rig, url)


def _tables(rig: Rig, url: str) -> Iterator[Figure]:
    """The time of a lookup in a small table and in a large one."""
    large_url = database.populated(rig, rig.sizes.many_users)
    among_few = traffic.existing_users(rig.folder / "few", rig.sizes.users)
    among_many = traffic.existing_users(rig.folder / "many", rig.sizes.many_users)
    with (
        servers.started(servers.OURS, servers.variables(url), rig.cores.server) as small,
        servers.started(servers.OURS, servers.variables(large_url), rig.cores.server) as large,
    ):
        contenders = {
            (name, connections): partial(put_load, rig, server, requests, connections)
            for connections in (1, BUSY)
            for name, server, requests in (("large", large, among_many), ("small", small, among_few))
        }
        interleaved(contenders, 1)
        samples = interleaved(contenders, rig.sizes.rounds)
    for connections in (1, BUSY):
        times = ([1e6 / one.rate for one in samples[name, connections]] for name in ("large", "small"))
        what = f"a lookup among {rig.sizes.many_users:,}, {connections} at a time"
        yield compared(what, "us", *times, against=f"among {rig.sizes.users:,}", bar=at_most(1.2))


def _processes(rig: Rig, url: str) -> Iterator[Figure]:
    """Each process has a core of its own where the machine has enough of them."""
    requests = traffic.existing_users(rig.folder / "few", rig.sizes.users)
    variables = servers.variables(url, PROVISIONING_CONCURRENCY=str(_CONNECTIONS))
    everywhere = rig.cores.server | rig.cores.others
    held = []
    with servers.started(servers.OURS, variables, rig.cores.server) as one:
        put_load(rig, one, requests, BUSY)
        held.append(database.connections(url))
        with servers.started(servers.OURS, variables | {"WEB_CONCURRENCY": "2"}, everywhere) as two:
            put_load(rig, two, requests, BUSY)
            held.append(database.connections(url) - held[0])
            contenders = {
                "two": partial(put_load, rig, two, requests, 2 * BUSY),
                "one": partial(put_load, rig, one, requests, 2 * BUSY),
            }
            samples = interleaved(contenders, rig.sizes.rounds)
    rates = ([each.rate for each in samples[name]] for name in ("two", "one"))
    against = "one" if len(everywhere) > 3 else f"one, all on {len(everywhere)} cores"
    yield compared(f"two processes, {2 * BUSY} connections", "/s", *rates, against=against, bar=at_least(1.7))
    spent = ([each.microseconds for each in samples[name]] for name in ("two", "one"))
    yield compared("  the servers' CPU time", "us", *spent, against="one")
    for processes, connections in enumerate(held, 1):
        most = processes * _A_PROCESS
        what = f"connections of {processes} process{'es' if processes > 1 else ''}"
        yield compared(what, "", [connections], [most], against="as configured", bar=at_most(1))
