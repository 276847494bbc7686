"""`python -m tools.sandbox.backboard --port 8090`: the Backboard sandbox alone."""

import argparse
import contextlib
import threading

from tools.sandbox.backboard import LOCAL_KEY, Sandbox


def main() -> None:
    parser = argparse.ArgumentParser(description="The Backboard sandbox, alone.")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes any free port")
    parser.add_argument("--key", action="append", help=f"an accepted API key; default {LOCAL_KEY}")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt), Sandbox(arguments.key or [LOCAL_KEY], arguments.port) as sandbox:
        print(sandbox.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
