"""./dev starts the right program for each command, and builds .venv only if necessary."""

import ast
import fcntl
import os
import shutil
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


@pytest.mark.parametrize("word", ["run", "check"])
def test_a_command_without_words_of_its_own_refuses_them(word: str) -> None:
    """It starts nothing; --help prints the usage."""
    for help_word in ("-h", "--help"):
        asked = run(ROOT, word, help_word)
        assert (asked.returncode, asked.stderr) == (0, "")
        assert asked.stdout.startswith("usage: ./dev COMMAND")
    for other in ("--port", "now", "--help-me"):
        refused = run(ROOT, word, other)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.endswith(f"./dev {word} takes no words, and this is one: {other}\n")


@pytest.mark.parametrize(
    ("words", "program"),
    [
        (["run"], "-m tools.sandbox"),
        (["test"], "-m pytest --numprocesses=5 --dist=worksteal"),
        (["test", "-q", "--durations=9"], "-m pytest --numprocesses=5 --dist=worksteal -q --durations=9"),
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


def test_the_users_own_variables_of_libpq_do_not_reach_the_database_of_dev_run(checkout: Path) -> None:
    """They are about another database; with an address of the user's own they are kept."""
    (checkout / ".local" / "environment").write_text("DATABASE_URL=postgresql://local\n")
    (checkout / ".venv" / "bin" / "python").write_text("#!/bin/sh\nenv | grep ^PG | sort\n")
    variables = {"PGSERVICE": "mine", "PGOPTIONS": "-c x=y", "PGHOST": "nowhere", "PGBOUNCER": "kept"}

    assert run(checkout, "doctor", variables=variables).stdout == "PGBOUNCER=kept\n"
    with_own = run(checkout, "doctor", variables={**variables, "POSTGRES_URL": "mine"})
    assert with_own.stdout == "".join(f"{name}={value}\n" for name, value in sorted(variables.items()))


FORBIDDEN = {
    "PIP_USER": "1",
    "PIP_TARGET": "/nowhere",
    "PIP_PREFIX": "/nowhere",
    "PIP_DRY_RUN": "1",
    "PIP_NO_BINARY": ":all:",
    "PIP_REQUIRE_VIRTUALENV": "0",
    "pip_constraint": "/nowhere",
}


def test_pip_gets_only_the_settings_that_say_where_packages_come_from(
    dev: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the environment and of the user's file; with any other, .venv could become another one than the lock's."""
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nuser = true\nno-deps = true\ntimeout = 7\nproxy = http://a.example\n"
        "[install]\nprefix = /nowhere\ncert = /cert\n"
    )
    for name in [name for name in os.environ if name.upper().startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in {**FORBIDDEN, "PIP_PROXY": "http://own.example", "PIP_CONFIG_FILE": str(config)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(dev, "PYTHON", sys.executable)

    passed = dev.pip_environment()

    expected = {"PIP_PROXY": "http://own.example", "PIP_TIMEOUT": "7", "PIP_CERT": "/cert"}
    assert passed.items() >= {**expected, "PIP_CONFIG_FILE": os.devnull}.items()
    assert not {*FORBIDDEN, "PIP_NO_DEPS"} & set(passed)


def test_what_a_lock_asks_for_and_the_venv_has_not_got_is_named(
    dev: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packages for another machine are not missed."""
    monkeypatch.setattr(dev, "PYTHON", sys.executable)
    lock = tmp_path / "lock.txt"
    lock.write_text(
        "click==0.1 \\\n    --hash=sha256:00\nmade-up==1\nelsewhere==1 ; sys_platform == 'win32' \\\n    --hash=00\n"
    )

    assert dev.missing_packages(str(lock)) == "click, made-up"
    assert dev.missing_packages(str(ROOT / dev.LOCK)) == ""


def test_a_venv_in_which_a_package_is_missing_is_not_stamped(checkout: Path, dev: Any) -> None:
    """Although pip says that all is well; the next ./dev starts over."""
    dev.stamp(dev.TEST_LOCK).unlink()
    (checkout / ".venv" / "bin" / "python").write_text("#!/bin/sh\necho click\n")

    done = run(checkout, "test")

    assert done.returncode == 1
    assert ".venv has not got click" in done.stderr
    assert not dev.stamp(dev.TEST_LOCK).exists()


PLATFORMS = {
    "3.15": ({"version_info": (3, 15, 0)}, "3.11 to 3.14"),
    "4.0": ({"version_info": (4, 0, 0)}, "3.11 to 3.14"),
    "an Intel Mac": ({"platform": "darwin", "machine": "x86_64"}, "Apple silicon"),
    "32 bits": ({"machine": "i686"}, "x86_64 or aarch64"),
    "a Raspberry Pi of 32 bits": ({"machine": "armv7l"}, "x86_64 or aarch64"),
    "POWER": ({"machine": "ppc64le"}, "x86_64 or aarch64"),
    "Alpine": ({"libc": ("", "")}, "musl"),
    "an old Linux": ({"libc": ("glibc", "2.17")}, "glibc 2.28"),
    "PyPy": ({"implementation": "PyPy"}, "CPython"),
    "no lock": ({"free": 1}, "CPython with its lock"),
}
GOOD_PLATFORMS: dict[str, dict[str, Any]] = {
    "Linux": {},
    "the oldest": {"version_info": (3, 11, 0), "libc": ("glibc", "2.28")},
    "the newest": {"version_info": (3, 14, 9), "machine": "aarch64", "libc": ("glibc", "2.43")},
    "a Mac": {"platform": "darwin", "machine": "arm64", "libc": ("", "")},
}


def pretend(dev: Any, monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any]) -> None:
    """Let the script see another machine."""
    usual = {"version_info": (3, 13, 0), "platform": "linux", "machine": "x86_64", "libc": ("glibc", "2.36")}
    facts = {**usual, "implementation": "CPython", "free": 0, **facts}
    monkeypatch.setattr(dev.sys, "version_info", facts["version_info"])
    monkeypatch.setattr(dev.sys, "platform", facts["platform"])
    monkeypatch.setattr(dev.platform, "machine", lambda: facts["machine"])
    monkeypatch.setattr(dev.platform, "libc_ver", lambda: facts["libc"])
    monkeypatch.setattr(dev.platform, "python_implementation", lambda: facts["implementation"])
    monkeypatch.setattr(dev.sysconfig, "get_config_var", lambda _: facts["free"])


@pytest.mark.parametrize(("facts", "words"), PLATFORMS.values(), ids=PLATFORMS)
def test_a_machine_for_which_a_wheel_is_missing_is_named_before_pip_begins(
    dev: Any, facts: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked up with pip for the locks of 2026-11-27."""
    with monkeypatch.context() as patch:
        pretend(dev, patch, facts)
        with pytest.raises(SystemExit, match=words):
            dev.refuse_platform()


@pytest.mark.parametrize("facts", GOOD_PLATFORMS.values(), ids=GOOD_PLATFORMS)
def test_the_machines_that_the_readme_promises_are_taken(
    dev: Any, facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        pretend(dev, patch, facts)
        dev.refuse_platform()


def test_what_belongs_to_another_user_is_a_sentence(checkout: Path, dev: Any) -> None:
    """After a day of sudo; a link to itself stands for it here, since root may write everywhere."""
    dev.stamp(dev.TEST_LOCK).unlink()
    (checkout / ".local" / "venv.lock").symlink_to("venv.lock")

    done = run(checkout, "test")

    assert done.returncode == 1
    assert "venv.lock" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_belongs_to_root_is_given_back_by_the_command_that_is_named(checkout: Path) -> None:
    pretend = (
        "import runpy, sys, pathlib; sys.argv = sys.argv[1:]\n"
        "def refuse(*_, **__): raise PermissionError(13, 'Permission denied', '/x/.local/venv.lock')\n"
        "pathlib.Path.is_file = refuse\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", pretend, str(checkout / "dev"), "doctor"]
    done = subprocess.run(command, env=CLEAN, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith("./dev may not use /x/.local/venv.lock.")
    assert f"sudo chown -R {os.getuid()}:{os.getgid()} {checkout}/.local {checkout}/.venv" in done.stderr


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


def test_migration_makes_the_next_numbered_file_with_both_parts(dev: Any, capsys: pytest.CaptureFixture[str]) -> None:
    dev.MIGRATIONS.mkdir(parents=True)
    (dev.MIGRATIONS / "0009_create_something.sql").write_text("")

    dev.make_migration(["add_phone_numbers"])

    text = (dev.MIGRATIONS / "0010_add_phone_numbers.sql").read_text()
    assert "0010_add_phone_numbers.sql" in capsys.readouterr().out
    assert [line for line in text.splitlines() if line.startswith("-- migrate:")] == [
        "-- migrate:up",
        "-- migrate:down",
    ]
    assert "SET LOCAL lock_timeout" in text


@pytest.mark.parametrize("words", [[], ["Add"], ["two words"], ["add", "more"], ["../add"], ["0010_add"], ["--help"]])
def test_a_name_that_a_migration_cannot_have_makes_no_file(dev: Any, words: list[str]) -> None:
    dev.MIGRATIONS.mkdir(parents=True)

    with pytest.raises(SystemExit, match="usage"):
        dev.make_migration(words)

    assert list(dev.MIGRATIONS.iterdir()) == []


def test_a_linked_venv_is_never_emptied(dev: Any, tmp_path: Path) -> None:
    """It may be another checkout's."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "kept").write_text("")
    shutil.rmtree(dev.VENV)
    dev.VENV.symlink_to(other)

    with pytest.raises(SystemExit, match="is a link"):
        dev.make_venv(0)

    assert (other / "kept").exists()
