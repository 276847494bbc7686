"""`./dev chaos`: break everything for a while, and check whether the promises are kept."""

import argparse
import asyncio
import secrets
import signal
import sys
from time import monotonic

from tools.chaos import campaign, report
from tools.chaos.broken import BREAKS

FULL_MINUTES = 15.0


def main() -> int:
    """Exit with 0 when no promise was broken; with --break, when the break was caught."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _as_interrupt)
    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    if arguments.broken is None:
        minutes = FULL_MINUTES if arguments.minutes is None else arguments.minutes
        return 1 if _run(seed, minutes, None).violations else 0
    names = [*BREAKS] if arguments.broken == "all" else [arguments.broken]
    verdicts = {name: _is_caught(name, _run(seed, arguments.minutes or 0.0, name)) for name in names}
    for name, caught in verdicts.items():
        print(f"{name:<28} {'CAUGHT' if caught else 'NOT CAUGHT'} as {BREAKS[name].caught_as}")
    return 0 if all(verdicts.values()) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="the same seed makes the same decisions")
    parser.add_argument("--minutes", type=float, help=f"how long the storm lasts; default {FULL_MINUTES:.0f}")
    parser.add_argument(
        "--break",
        dest="broken",
        choices=[*BREAKS, "all"],
        help="switch off one rule, or each in turn; by default without a storm",
    )
    return parser.parse_args()


def _run(seed: int, minutes: float, broken: str | None) -> campaign.Result:
    print(f"seed {seed}" + (f", without the rule: {broken}" if broken else ""), flush=True)
    began = monotonic()
    result = asyncio.run(campaign.run(seed, minutes * 60, broken, _say))
    print("\n".join(report.lines(result)))
    print(f"{monotonic() - began:.0f} s in all", flush=True)
    return result


def _is_caught(broken: str, result: campaign.Result) -> bool:
    return any(violation.kind == BREAKS[broken].caught_as for violation in result.violations)


def _as_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
