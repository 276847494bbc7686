"""`./dev bench [SUITE ...]`: figures that are measured, each beside something measured in the same run."""

import sys

from bench import backfill, chat, isolation, provision

SUITES = {"provision": provision.run, "backfill": backfill.run, "isolation": isolation.run, "chat": chat.run}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        print(f"usage: ./dev bench [{'] ['.join(SUITES)}]", file=sys.stderr)
        return 2
    for name in names or SUITES:
        SUITES[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
