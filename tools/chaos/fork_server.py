"""`python -m tools.chaos.fork_server [BREAK]`: the fork server, with one rule of the service switched off."""

import sys

from tools.chaos import broken
from tools.fork_server.__main__ import serve


def main(words: list[str]) -> None:
    serve(*(broken.BREAKS[name].switch_off for name in words))


if __name__ == "__main__":
    main(sys.argv[1:])
