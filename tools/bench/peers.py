"""Other stacks that do the same for existing users, on the same table and with one process each.

Node's are installed from their lock into .local on the first run; without Node, or if they cannot be installed, they
are skipped. They check only the token and the form of the id, and write no log lines, which favours them; the fastest
of them is measured with log lines too, and our service without.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tools.bench import ensure, servers
from tools.bench.ensure import BUSY
from tools.bench.figures import Figure, at_least, compared
from tools.bench.load import Sample
from tools.bench.rig import Rig
from tools.processes import ROOT

_SOURCES = Path(__file__).parent / "peers"
_INSTALLED = ROOT / ".local" / "peers"
# Prisma's generator wants to download an engine that its pg adapter does not use.
_PRISMA = {"PRISMA_SCHEMA_ENGINE_BINARY": "/bin/true", "CHECKPOINT_DISABLE": "1", "DATABASE_URL": "postgresql://unused"}


class NotHere(Exception):
    """The peer cannot run here; the text says why."""


def run(rig: Rig) -> Iterator[Figure]:
    with ensure.both(rig) as (running, requests, url), ExitStack() as peers:
        silent = servers.started(servers.OURS, servers.variables(url, LOG_LEVEL="warning"), rig.cores.server)
        running[_SILENT] = peers.enter_context(silent)
        for name, (source, install, more) in _PEERS.items():
            try:
                command = install(source)
            except NotHere as reason:
                print(f"{'peers':<10} {name} is skipped: {reason}")
                continue
            variables = {**connection(url), "SERVICE_TOKENS": servers.TOKEN, "NODE_ENV": "production", **more}
            peer = servers.started(command, variables, rig.cores.server, folder=_INSTALLED / source)
            running[name] = peers.enter_context(peer)
        samples = ensure.measure(rig, running, requests, tuple({BUSY, *(rig.sizes.connections if rig.curves else ())}))
    for name in running:
        if name not in ("ours", _SILENT):
            yield from _beside(samples, "ours", name)
    for name in running:
        if name in _PEERS and name not in _WITH_LINES:
            yield from _beside(samples, _SILENT, name)


def _beside(samples: dict[tuple[str, int], list[Sample]], name: str, other: str) -> Iterator[Figure]:
    ours, theirs = samples[name, BUSY], samples[other, BUSY]
    rates = ([one.rate for one in ours], [one.rate for one in theirs])
    how = ", no log lines" if name == _SILENT else ""
    bar = at_least(1.0) if other in _PEERS else None
    yield compared(f"existing user, {BUSY} connections{how}", "/s", *rates, against=other, bar=bar)
    spent = ([one.microseconds for one in ours], [one.microseconds for one in theirs])
    yield compared("  the server's CPU time", "us", *spent, against=other)


def installed(name: str) -> list[str]:
    """The command of a peer of Node's, after it has been installed; NotHere where that cannot be."""
    return _node(name)


def folder(name: str) -> Path:
    return _INSTALLED / name


def _node(name: str) -> list[str]:
    if not shutil.which("node") or not shutil.which("npm"):
        raise NotHere("there is no Node")
    _install(name, ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"])
    return ["node", "server.mjs"]


def _node_with_prisma(name: str) -> list[str]:
    if not shutil.which("npx"):
        raise NotHere("there is no Node")
    _install(name, ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], ["npx", "prisma", "generate"])
    return ["node", "server.mjs"]


def _python(name: str) -> list[str]:
    python = str(_INSTALLED / name / "venv" / "bin" / "python")
    pip = [python, "-m", "pip", "install", "-q", "--only-binary", ":all:", "-r", "requirements.txt"]
    _install(name, [sys.executable, "-m", "venv", "venv"], pip)
    return [python, "server.py"]


# Its folder, how it is installed, and variables of its own.
_PEERS: Mapping[str, tuple[str, Callable[[str], list[str]], Mapping[str, str]]] = {
    "fastify-pg": ("fastify-pg", _node, {}),
    "fastify-pg with log lines": ("fastify-pg", _node, {"LOG": "1"}),
    "express-prisma": ("express-prisma", _node_with_prisma, {}),
    "fastapi-sqlalchemy": ("fastapi-sqlalchemy", _python, {}),
}
_WITH_LINES = {"fastify-pg with log lines"}
_SILENT = "ours without log lines"


def _install(name: str, *steps: list[str]) -> None:
    """Copy a peer's sources and take the steps, unless that was done for the same sources."""
    source, folder = _SOURCES / name, _INSTALLED / name
    files = sorted(file for file in source.rglob("*") if file.is_file())
    fingerprint = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
    stamp = folder / "installed"
    if stamp.exists() and stamp.read_text() == fingerprint:
        return
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    for step in steps:
        done = subprocess.run(step, cwd=folder, env=os.environ | _PRISMA, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NotHere(f"`{' '.join(step)}` failed: {(done.stderr or done.stdout).strip()[-200:]}")
    stamp.write_text(fingerprint)


def connection(url: str) -> dict[str, str]:
    """A local database's address in libpq's variables, which every driver here reads."""
    address = urlsplit(url)
    socket = parse_qs(address.query)
    return {
        "PGHOST": socket["host"][0],
        "PGPORT": socket["port"][0],
        "PGUSER": address.username or "",
        "PGDATABASE": address.path.removeprefix("/"),
    }
