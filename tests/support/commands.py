"""`python -m app COMMAND`, run as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(*words: str, checkout: Path = ROOT, **variables: str) -> subprocess.Popen[str]:
    """Start a command with these variables and no others; the code is that of `checkout`."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "app", *words],
        cwd=checkout,
        env={"PATH": os.environ["PATH"], **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], seconds: float = 30.0) -> tuple[int, str, str]:
    """The exit code, what was printed and what was complained of."""
    with process:
        try:
            output, complaints = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, output, complaints


def run(*words: str, checkout: Path = ROOT, **variables: str) -> tuple[int, str, str]:
    """Run a command to its end."""
    return finish(start(*words, checkout=checkout, **variables))
