"""`./dev chaos [--seed N] [--minutes M] [--break NAME]`: break everything, and see whether the promises are kept."""

import argparse
import asyncio
import secrets
import sys
from time import monotonic

from chaos import campaign, table
from chaos.broken import BREAKS

FULL_MINUTES = 15.0


def main() -> int:
    """Exit with 0 when no promise was broken; with --break, when the break was caught."""
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="the same seed makes the same decisions")
    parser.add_argument("--minutes", type=float, help=f"how long the storm lasts; default {FULL_MINUTES:.0f}")
    parser.add_argument(
        "--break", dest="broken", choices=sorted(BREAKS), help="switch off one rule; no storm by default"
    )
    arguments = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    default = 0.0 if arguments.broken else FULL_MINUTES
    minutes = default if arguments.minutes is None else arguments.minutes
    print(f"seed {seed}", flush=True)
    began = monotonic()
    result = asyncio.run(campaign.run(seed, minutes * 60, arguments.broken, _say))
    print("\n".join(table.lines(result)))
    print(f"{monotonic() - began:.0f} s in all")
    if arguments.broken:
        return _verdict(arguments.broken, result)
    return 1 if result.violations else 0


def _verdict(broken: str, result: campaign.Result) -> int:
    expected = BREAKS[broken].caught_as
    caught = any(violation.kind == expected for violation in result.violations)
    print(f"{broken}: {'CAUGHT' if caught else 'NOT CAUGHT'} as {expected}")
    return 0 if caught else 1


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
