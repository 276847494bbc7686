"""`./dev hostile`: send 1,966 hostile requests, direct and through proxies, and say who got another's answer."""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from time import monotonic

from tools.hostile import campaign
from tools.hostile.corpus import campaign_cases
from tools.hostile.proxies import PROXIES, running
from tools.processes import free_port, responds, start

LANES = 24
DIRECT = "direct"
# No database and no Backboard: what is sent here is refused before either would be asked.
_SERVICE = {
    "DATABASE_URL": "postgresql://app@/app?host=/nowhere",
    "BACKBOARD_API_KEY": "hostile",
    "BACKBOARD_API_URL": "http://127.0.0.1:9/api",
    "CLERK_WEBHOOK_SIGNING_SECRET": "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" * 2,
    "LOG_LEVEL": "error",
}
SERVERS = {
    "service": ["-m", "app", "serve"],
    "keeping": ["-m", "tools.hostile.keeping", "PORT"],
    "uvicorn": ["-m", "tools.hostile.keeping", "PORT", "--uvicorn"],
}


def main() -> int:
    """Exit with 0 when nobody got another's answer; with --break, when uvicorn's own connections were found out."""
    arguments = _arguments()
    ways = [DIRECT, *(name for name, proxy in PROXIES.items() if proxy.find())]
    for name in PROXIES.keys() - set(ways):
        print(f"{name}: not installed here, so left out (Debian: apt install {PROXIES[name].program})")
    ways = [way for way in ways if arguments.through in (None, way)]
    servers = ["uvicorn"] if arguments.broken else ["service", "keeping"]
    print("server    way               cases  answers  shared   5xx  again  wrong  deaf")
    results = [_run(server, way, arguments.every) for server in servers for way in ways]
    if arguments.broken:
        found = sum(not result.is_clean for result in results)
        print(f"{'CAUGHT' if found else 'NOT CAUGHT'}: uvicorn's own connections, in {found} of {len(results)} runs")
        return 0 if found else 1
    return 0 if all(result.is_clean for result in results) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev hostile", description=__doc__)
    parser.add_argument("--through", choices=[DIRECT, *PROXIES], help="one way only; by default all that are installed")
    parser.add_argument("--every", type=int, default=1, help="send every N-th case only")
    parser.add_argument(
        "--break", dest="broken", action="store_true", help="send them to uvicorn's own connections: is it noticed?"
    )
    return parser.parse_args()


def _run(server: str, way: str, every: int) -> campaign.Result:
    began = monotonic()
    with _listening(server) as port:
        lanes = nullcontext([("127.0.0.1", port)] * LANES) if way == DIRECT else running(way, port, lanes=LANES)
        with lanes as addresses:
            result = asyncio.run(campaign.run(addresses, campaign_cases(every)))
    counts = f"{result.cases:>6} {result.answers:>8} {result.shared:>7} {result.refused:>5} {result.reconnected:>6}"
    seconds = monotonic() - began
    print(f"{server:<9} {way:<16} {counts} {len(result.wrong):>6} {len(result.deaf):>5}  {seconds:.0f} s", flush=True)
    for what in [*result.wrong[:5], *result.deaf[:5]]:
        print(f"  {what}", flush=True)
    return result


@contextmanager
def _listening(server: str) -> Iterator[int]:
    """Run a server; its port."""
    port = free_port()
    words = [str(port) if word == "PORT" else word for word in SERVERS[server]]
    environment = {"PATH": os.environ["PATH"], **_SERVICE, "PORT": str(port)}
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        log = Path(folder) / "log"
        with start([sys.executable, *words], environment, url=f"http://127.0.0.1:{port}", log=log) as process:
            process.wait_until_ready(responds(process.url, "/healthz"))
            yield port


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
