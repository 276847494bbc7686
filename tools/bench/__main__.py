"""`./dev bench [SUITE ...]`: measured figures, each beside another one of the same run."""

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from tools.bench import (
    backfill,
    burst,
    chat,
    ensure,
    footprint,
    imports,
    interference,
    isolation,
    messages,
    ops,
    paths,
    peers,
    plot,
    provision,
    refused,
    scale,
    sign_ups,
)
from tools.bench.cores import Cores, placed_on
from tools.bench.figures import Figure, heading
from tools.bench.load import generator
from tools.bench.rig import Rig, Sizes
from tools.sandbox.postgres import Postgres

Suite = Callable[[Rig], Iterator[Figure]]

SUITES: dict[str, Suite] = {
    "ensure": ensure.run,
    "latency": ensure.run_latency,
    "provision": provision.run,
    "burst": burst.run,
    "isolation": isolation.run,
    "scale": scale.run,
    "footprint": footprint.run,
    "refused": refused.run,
    "peers": peers.run,
    "paths": paths.run,
    "interference": interference.run,
    "backfill": backfill.run,
    "chat": chat.run,
    "messages": messages.run,
    "ops": ops.run,
    "sign-ups": sign_ups.run,
    "import": imports.run,
}
# They first fill tables, or take minutes, so they run only if they are named.
LONG = {"chat", "import", "paths", "interference", "messages", "ops", "sign-ups"}
# The sizes that the bars are written for; the usual ones keep a whole run at about four minutes.
LARGE = Sizes(many_users=10_000_000, burst=2_000, many_messages=10_000_000)


def main(words: list[str]) -> int:
    given = _arguments(words)
    sizes = replace(LARGE if given.large else Sizes(), rounds=given.rounds, seed=given.seed)
    cores = Cores.here()
    print(f"{cores}\nload from {generator()}; medians of {sizes.rounds} interleaved rounds\n\n{heading()}")
    with tempfile.TemporaryDirectory() as folder, placed_on(cores.others), Postgres(Path(folder) / "data") as postgres:
        rig = Rig(cores, sizes, Path(folder), postgres, curves=given.plot is not None)
        figures = run(rig, given.suites or [name for name in SUITES if name not in LONG])
    if given.json:
        given.json.write_text(json.dumps(_record(rig, figures), indent=1) + "\n")
    if given.plot and rig.throughput:
        plot.draw(given.plot, rig.throughput, rig.latency)
    return 0


def run(rig: Rig, names: list[str]) -> dict[str, list[Figure]]:
    """Run suites one after the other and print each figure as it comes."""
    figures: dict[str, list[Figure]] = {}
    for name in names:
        for figure in SUITES[name](rig):
            print(figure.row(name), flush=True)
            figures.setdefault(name, []).append(figure)
    return figures


def _record(rig: Rig, figures: dict[str, list[Figure]]) -> dict[str, object]:
    return {
        "placement": str(rig.cores),
        "load": generator(),
        "python": platform.python_version(),
        "rounds": rig.sizes.rounds,
        "figures": {name: [asdict(one) | {"met": one.met} for one in each] for name, each in figures.items()},
        "throughput": rig.throughput,
        "latency": rig.latency,
    }


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument(
        "suites",
        nargs="*",
        metavar="SUITE",
        help=f"of {', '.join(SUITES)}; all but {', '.join(sorted(LONG))} by default",
    )
    parser.add_argument("--rounds", type=int, default=Sizes().rounds, help="of each measurement (default %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=Sizes().seed, help="of what is drawn at random (default %(default)s)"
    )
    parser.add_argument("--large", action="store_true", help="10 million users or messages, and a burst of 2,000")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures and curves there as well")
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="draw throughput.svg and latency.svg there")
    given = parser.parse_args(words)
    for name in given.suites:
        if name not in SUITES:
            parser.error(f"there is no suite {name}; there are {', '.join(SUITES)}")
    return given


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
