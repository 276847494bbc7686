"""`.env`: its values are taken as they are written, and a file that cannot be read is a sentence."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.settings import Settings, load
from app.settings.environment import UnusableEnvFile, read_env_file
from tests.support.environment import complete_environment, problems


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The .env of the current folder."""
    complete_environment(monkeypatch, tmp_path)
    return tmp_path / ".env"


AS_WRITTEN = [
    "Greet ${name} warmly.",
    "Greet ${HOME} and $HOME.",
    "${name:-you}",
    "100% $(true) `true` \\d",
    "$",
]


@pytest.mark.parametrize("value", AS_WRITTEN)
@pytest.mark.parametrize("line", ["{}={}", '{}="{}"', "{}='{}'", "export {}={}", "  {} = {}"])
def test_a_value_is_kept_as_it_is_written(value: str, line: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is put in for a name in braces."""
    monkeypatch.setenv("name", "canary")
    file.write_text(line.format("ASSISTANT_SYSTEM_PROMPT", value) + "\n")

    assert load(Settings).assistant_system_prompt == value


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_the_mark_of_a_windows_editor_is_no_part_of_the_first_name(encoding: str, file: Path) -> None:
    file.write_bytes("PORT=9001\r\nLOG_LEVEL=error\r\n".encode(encoding))

    assert (load(Settings).port, load(Settings).log_level) == (9001, "error")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("PORT=9001\n".encode("utf-16"), "UTF-16"),
        ("PORT=9001\n".encode("utf-16-le"), "UTF-16"),
        ("PORT=9001\n".encode("utf-16-be"), "UTF-16"),
        ("PORT=9001\n".encode("utf-32"), "UTF-16"),
        ("ASSISTANT_SYSTEM_PROMPT=Gr\u00fc\u00dfe\n".encode("latin-1"), "UTF-8"),
        (b"PORT=\xff\xfe\n", "UTF-8"),
        (b"PORT=9001\0\n", "UTF-8"),
    ],
)
def test_a_file_that_is_not_text_in_utf_8_is_a_sentence(content: bytes, words: str, file: Path) -> None:
    file.write_bytes(content)

    (problem,) = problems()
    assert problem.startswith(".env is not text in UTF-8")
    assert words in problem


def test_a_folder_in_its_place_is_a_sentence(file: Path) -> None:
    """Docker makes one for a file that it was to mount and that is not there."""
    file.mkdir()

    assert problems() == [".env is a folder: remove it, or put a file in its place"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_of_another_user_is_a_sentence(file: Path) -> None:
    file.touch(mode=0)

    (problem,) = problems()
    assert "permission denied" in problem


def link_to(target: str) -> Callable[[Path], None]:
    return lambda file: file.symlink_to(target)


def long_way_round(file: Path) -> None:
    file.symlink_to("first")
    file.with_name("first").symlink_to("second")
    file.with_name("second").symlink_to(".env")


NO_FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pipe": (os.mkfifo, "a pipe"),
    "a link to a folder": (link_to("."), "a folder"),
    "a device that never ends": (link_to("/dev/zero"), "a device"),
    "a terminal": (link_to("/dev/ptmx"), "a device"),
    "nothing": (link_to("/dev/null"), "a device"),
    "a link to itself": (link_to(".env"), "a link that leads back to itself"),
    "links in a circle": (long_way_round, "a link that leads back to itself"),
}


@pytest.mark.parametrize(("make", "what"), NO_FILES.values(), ids=NO_FILES)
def test_what_is_no_file_is_a_sentence(make: Callable[[Path], None], what: str, file: Path) -> None:
    """It is not read: a pipe without a writer, and some devices, would keep every command waiting."""
    make(file)

    assert problems() == [f".env is {what}: remove it, or put a file in its place"]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="there is no /proc here")
def test_a_file_that_cannot_be_read_is_a_sentence(file: Path) -> None:
    """An error of the system at its first byte stands for every one."""
    file.symlink_to("/proc/self/mem")

    with pytest.raises(UnusableEnvFile, match="cannot be read"):
        read_env_file(file)


BROKEN_LINES = {
    "DATABASE_URL: canary\n": "line 1",
    "PORT=9001\nDATABASE_URL canary\n": "line 2",
    "\n\n\r\nDATABASE_URL: canary\n": "line 4",
    "# a comment\n\nBACKBOARD_API_KEY='canary\nPORT=9001\n": "line 3",
    'BACKBOARD_API_KEY="canary\n': "line 1",
    'ASSISTANT_SYSTEM_PROMPT="two\nlines"\nBACKBOARD_API_KEY="canary" canary\n': "line 3",
    "PORT=9001\n=canary\n\n<<<<<<< canary\nLOG_LEVEL=error\n>>>>>>> canary\n": "lines 2, 4, 6",
    "set BACKBOARD_API_KEY canary\n": "line 1",
    '{"BACKBOARD_API_KEY": "canary"}\n': "line 1",
    "BACKBOARD_API_KEY\u00a0: canary": "line 1",
}


@pytest.mark.parametrize(("content", "lines"), BROKEN_LINES.items(), ids=ascii)
def test_a_line_that_sets_nothing_is_named_by_its_number(content: str, lines: str, file: Path) -> None:
    """Its content may be a secret. Taken as if it were not there, it would be looked for in vain."""
    file.write_text(content, newline="")

    assert problems() == [f".env cannot be read in {lines}: write NAME=value, and close each quote"]


def test_without_a_file_there_are_no_variables(file: Path) -> None:
    assert read_env_file(file) == {}
