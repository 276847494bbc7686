"""`.env`: its values are taken as they are written, and a file that cannot be read is a sentence."""

import os
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


def test_a_file_that_cannot_be_opened_is_a_sentence(file: Path) -> None:
    """A link that leads to itself stands for every error of the system."""
    file.symlink_to(file)

    with pytest.raises(UnusableEnvFile, match="cannot be read"):
        read_env_file(file)


def test_without_a_file_there_are_no_variables(file: Path) -> None:
    assert read_env_file(file) == {}
