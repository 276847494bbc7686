"""Forged webhooks: how many of them a process refuses, and that none of them reaches Postgres."""

from collections.abc import Iterator
from functools import partial

from tools.bench import database, servers, traffic
from tools.bench.ensure import BUSY
from tools.bench.figures import Figure, at_least, at_most, compared, interleaved
from tools.bench.load import put_load
from tools.bench.rig import Rig


def run(rig: Rig) -> Iterator[Figure]:
    url = database.populated(rig, 1)
    variables = servers.variables(url)
    with (
        servers.started(servers.OURS, variables, rig.cores.server) as ours,
        servers.bare(rig.cores.server) as bare,
    ):
        forged = traffic.forged_webhooks(rig.folder / "forged")
        contenders = {
            "ours": partial(put_load, rig, ours, forged, BUSY, refused=True),
            "bare": partial(put_load, rig, bare, forged, BUSY),
        }
        interleaved(contenders, 1)
        before = database.last_use(url)
        samples = interleaved(contenders, rig.sizes.rounds)
        touched = database.last_use(url) != before
    rates = ([one.rate for one in samples[name]] for name in contenders)
    yield compared(f"bad signatures, {BUSY} connections", "/s", *rates, against="bare ASGI app", bar=at_least(0.5))
    spent = ([one.microseconds for one in samples[name]] for name in contenders)
    yield compared("  the server's CPU time", "us", *spent, against="bare ASGI app")
    requests = sum(one.requests for one in samples["ours"])
    yield compared("  whether Postgres was asked", "", [float(touched)], [requests], against="requests", bar=at_most(0))
