"""python -m tests.examples.nextjs_build: install the packages of examples/nextjs and build it, in .local/nextjs.

A copy, so that neither touches what a reader has installed and built in the example's folder; it needs npm, and once
the network. A build stands until a file of the example or of clients/typescript changes.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPY = ROOT / ".local" / "nextjs"
APP = COPY / "examples" / "nextjs"
PARTS = ("examples/nextjs", "clients/typescript")
# Not copied: what npm, Next and a reader put there, and what the client is made of.
_OWN = {
    "node_modules",
    ".next",
    ".env.local",
    "next-env.d.ts",
    "tsconfig.tsbuildinfo",
    "src",
    "test",
    "generated-from.txt",
}
_STAMP = COPY / "built-from"
_QUIET = {"NEXT_TELEMETRY_DISABLED": "1", "CI": "1"}


def files() -> list[Path]:
    """What the build is made of."""
    found = (path for part in PARTS for path in (ROOT / part).rglob("*") if path.is_file())
    return sorted(path.relative_to(ROOT) for path in found if not _OWN & {*path.relative_to(ROOT).parts})


def fingerprint() -> str:
    return hashlib.sha256(b"\0".join(str(path).encode() + (ROOT / path).read_bytes() for path in files())).hexdigest()


def is_built() -> bool:
    return _STAMP.exists() and _STAMP.read_text() == fingerprint()


def is_installed() -> bool:
    """Whether the packages are those of today's lock, so that a build needs no network."""
    lock = APP / "package-lock.json"
    is_same = lock.exists() and lock.read_bytes() == (ROOT / "examples/nextjs/package-lock.json").read_bytes()
    return is_same and (APP / "node_modules" / ".package-lock.json").exists()


def build() -> None:
    """Build from a clean copy; CalledProcessError where that fails."""
    _STAMP.unlink(missing_ok=True)
    has_packages = is_installed()
    for part in PARTS:
        for path in (COPY / part).glob("*"):
            if path.name not in {"node_modules", ".next"}:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in files():
        (COPY / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, COPY / path)
    if not has_packages:
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=APP, check=True)
    subprocess.run(["npm", "run", "build"], cwd=APP, env=os.environ | _QUIET, check=True)
    _STAMP.write_text(fingerprint())


if __name__ == "__main__":
    if not is_built():
        build()
