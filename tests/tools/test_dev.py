"""./dev starts the right program for each command, and builds .venv only if necessary."""

import ast
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# Takes the place of .venv/bin/python and prints its arguments, folder and variables.
ECHO = """#!/bin/sh
echo "$@"
pwd
echo "DATABASE_URL=$DATABASE_URL PORT=$PORT"
exit 7
"""
CLEAN = {"PATH": os.environ["PATH"]}


def load(script: Path) -> Any:
    loader = SourceFileLoader("dev", str(script))
    spec = spec_from_loader("dev", loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose .venv is up to date, with a Python that only prints what it would do."""
    script = tmp_path / "dev"
    script.write_bytes((ROOT / "dev").read_bytes())
    script.chmod(0o755)
    (tmp_path / "tools" / "requirements").mkdir(parents=True)
    for kind in ("dev", "test", "checks"):
        (tmp_path / "tools" / "requirements" / f"{kind}.txt").write_text("pinned==1\n")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(ECHO)
    python.chmod(0o755)
    dev = load(script)
    for lock in (dev.LOCK, dev.TEST_LOCK):
        dev.stamp(lock).write_text(dev.fingerprint(lock))
    (tmp_path / ".local").mkdir()
    return tmp_path


@pytest.fixture
def dev(checkout: Path) -> Any:
    """The script as a module."""
    return load(checkout / "dev")


def run(
    checkout: Path, *words: str, cwd: Path | None = None, variables: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(checkout / "dev"), *words],
        cwd=cwd,
        env={**CLEAN, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_command_it_prints_its_usage() -> None:
    """On stderr, with exit 2; it builds nothing."""
    done = run(ROOT)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ./dev COMMAND")


@pytest.mark.parametrize("word", ["help", "-h", "--help"])
def test_help_is_no_error(word: str) -> None:
    """Exit 0, on stdout."""
    done = run(ROOT, word)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ./dev COMMAND")


@pytest.mark.parametrize(
    ("words", "program"),
    [
        (["run"], "-m tools.sandbox"),
        (["test"], "-m pytest --numprocesses=4 --dist=worksteal"),
        (["test", "-q", "--durations=9"], "-m pytest --numprocesses=4 --dist=worksteal -q --durations=9"),
        (["test", "-q", "tests/users"], "-m pytest -q tests/users"),
        (["test", "-k", "two words"], "-m pytest -k two words"),
        (["test", "-x"], "-m pytest -x"),
        (["bench", "lookups"], "-m tools.bench lookups"),
        (["chaos", "--seed", "7"], "-m tools.chaos --seed 7"),
        (["hostile", "--every", "7"], "-m tools.hostile --every 7"),
        (["trigger", "user.created", "--count", "2"], "-m app trigger user.created --count 2"),
        (["nonsense"], "-m app nonsense"),
    ],
)
def test_each_command_becomes_its_program(checkout: Path, words: list[str], program: str) -> None:
    """Arguments and exit code pass through; an unknown command is one of the service."""
    done = run(checkout, *words)

    assert done.stdout.splitlines()[0] == program
    assert (done.returncode, done.stderr) == (7, "")


def test_it_runs_from_any_folder_and_through_a_link(checkout: Path) -> None:
    elsewhere = checkout / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "dev").symlink_to(checkout / "dev")

    assert run(elsewhere, "doctor", cwd=elsewhere).stdout.splitlines()[1] == str(checkout)


@pytest.mark.parametrize(
    ("word", "variables", "expected"),
    [
        ("psql", {}, "DATABASE_URL=postgresql://local?a=b PORT=9000"),
        ("bench", {}, "DATABASE_URL=postgresql://local?a=b PORT=9000"),
        ("psql", {"DATABASE_URL": "mine"}, "DATABASE_URL=mine PORT=9000"),
        ("psql", {"POSTGRES_URL": "mine"}, "DATABASE_URL= PORT=9000"),
        ("psql", {"PRISMA_DATABASE_URL": "mine", "PORT": "1"}, "DATABASE_URL= PORT=1"),
        ("run", {}, "DATABASE_URL= PORT="),
        ("test", {}, "DATABASE_URL= PORT="),
    ],
)
def test_commands_get_the_variables_of_a_running_service(
    checkout: Path, word: str, variables: dict[str, str], expected: str
) -> None:
    """Real variables win, the database's three names count as one; tests and another run ignore them."""
    (checkout / ".local" / "environment").write_text("DATABASE_URL=postgresql://local?a=b\nPORT=9000\n")

    assert run(checkout, word, variables=variables).stdout.splitlines()[2] == expected


@pytest.mark.parametrize(
    "spoil",
    [
        lambda dev: (dev.ROOT / dev.LOCK).write_text("pinned==2\n"),
        lambda dev: dev.stamp(dev.LOCK).unlink(),
        lambda dev: dev.stamp(dev.LOCK).write_text(dev.fingerprint(dev.LOCK).replace("3.", "2.")),
        lambda dev: Path(dev.PYTHON).unlink(),
    ],
    ids=["another lock", "half built", "another Python", "its Python is gone"],
)
def test_a_venv_that_does_not_match_is_rebuilt(dev: Any, spoil: Callable[[Any], object]) -> None:
    """The stamp, written last, holds the lock's hash and the Python version."""
    assert dev.is_installed(dev.LOCK)

    spoil(dev)

    assert not dev.is_installed(dev.LOCK)


def test_the_linters_are_installed_only_for_check(dev: Any) -> None:
    assert not dev.is_installed(dev.CHECKS_LOCK)


def test_a_second_build_waits_for_the_first(checkout: Path, dev: Any) -> None:
    """It then finds the work done, and continues."""
    stamp = dev.stamp(dev.LOCK)
    stamp.unlink()
    with (checkout / ".local" / "venv.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        command = [sys.executable, str(checkout / "dev"), "doctor"]
        with subprocess.Popen(command, env=CLEAN, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as second:
            assert second.stderr is not None
            assert second.stderr.readline() == "Another ./dev is building .venv; waiting for it ...\n"
            stamp.write_text(dev.fingerprint(dev.LOCK))
            fcntl.flock(turn, fcntl.LOCK_UN)
            output, errors = second.communicate(timeout=10)

    assert output.startswith("-m app doctor\n")
    assert errors == ""


def test_an_older_python_is_named_in_the_error(tmp_path: Path) -> None:
    """The script is in 3.6's syntax, and names the version that it needs before it uses anything newer."""
    ast.parse((ROOT / "dev").read_text(), feature_version=(3, 6))
    pretend = "import runpy, sys; sys.version_info = (3, 8); runpy.run_path(sys.argv[1], run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", pretend, str(ROOT / "dev")], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr.startswith("./dev needs Python 3.11 or newer, and this is ")


def test_without_the_venv_package_the_error_names_it(checkout: Path, dev: Any) -> None:
    """Debian has venv in a package of its own."""
    dev.stamp(dev.LOCK).unlink()
    pretend = "import runpy, sys; sys.modules['ensurepip'] = None; sys.argv = sys.argv[1:]; "
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            pretend + "runpy.run_path(sys.argv[0], run_name='__main__')",
            checkout / "dev",
            "doctor",
        ],
        env=CLEAN,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert f"sudo apt install python3.{sys.version_info.minor}-venv" in done.stderr
