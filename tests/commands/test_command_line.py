"""The command line: help, wrong arguments, a wrong environment."""

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from app.__main__ import COMMANDS, main
from tests.support import commands
from tests.support.environment import COMPLETE, complete_environment


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete environment, and a folder without a .env."""
    complete_environment(monkeypatch, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        "",
        "nonsense",
        "serve now",
        "serve --port 1",
        "migrate --force",
        "doctor now",
        "seed --yes",
        "reset now",
        "import",
        "import --from mysql",
        "import --from prisma {file}",
        "import --from csv",
        "import --from csv {file} --map User.plan=skip",
        "export",
        "export user_a-b",
        "erase user_a-b",
        "migrate --status --down",
        "migrate --yes",
        "trigger",
        "trigger user.invented",
        "trigger ../user.created",
        "trigger user.created user.deleted",
        "trigger user.created --count 0",
        "trigger user.created --count many",
        "trigger --file missing.json",
        "trigger user.created --file {file}",
        "trigger --file {file} --clerk-id user_1",
    ],
)
def test_wrong_arguments_are_a_usage_error(words: str) -> None:
    """Exit 2, the usage on stderr and nothing on stdout; no word is ignored."""
    result = CliRunner().invoke(main, words.format(file=__file__).split())

    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage:" in result.stderr


def test_an_unknown_event_lists_the_known_ones() -> None:
    result = CliRunner().invoke(main, ["trigger", "user.invented"])

    assert "user.created" in result.stderr
    assert "--file" in result.stderr


def test_help_is_not_an_error() -> None:
    """It lists every command on stdout."""
    result = CliRunner().invoke(main, ["--help"])

    assert (result.exit_code, result.stderr) == (0, "")
    assert all(re.search(rf"^  {name} ", result.stdout, re.MULTILINE) for name in COMMANDS)


def all_commands() -> list[click.Command]:
    context = click.Context(main)
    return [command for name in COMMANDS if (command := main.get_command(context, name))]


def test_no_option_takes_a_secret() -> None:
    """Arguments are visible in ps and in the shell's history."""
    options = {name for command in all_commands() for option in command.params for name in option.opts}

    assert "--url" in options
    assert not [name for name in options if re.search("secret|key|token|password|database", name)]


def test_every_command_and_option_has_a_sentence_of_help() -> None:
    for command in all_commands():
        options = [option for option in command.params if isinstance(option, click.Option)]
        assert all(
            text.rstrip().endswith(".") for text in (command.help or "", *(option.help or "" for option in options))
        )


NEEDED = [
    ("serve", sorted(COMPLETE)),
    ("migrate", ["DATABASE_URL"]),
    ("seed", ["DATABASE_URL"]),
    ("reset --yes", ["DATABASE_URL"]),
    ("psql", ["DATABASE_URL"]),
    ("trigger user.created", ["CLERK_WEBHOOK_SIGNING_SECRET"]),
]


def named_variables(stderr: str) -> list[str]:
    """The variables at the beginning of the message's lines."""
    return sorted(re.findall(r"^  ([A-Z_]+) ", stderr, re.MULTILINE))


@pytest.mark.parametrize(("words", "names"), NEEDED)
def test_a_missing_variable_is_a_configuration_error(words: str, names: list[str]) -> None:
    """Exit 78 of a real process; one message names everything that this command needs."""
    code, stdout, stderr = commands.run_unforked(*words.split())

    assert (code, stdout) == (78, "")
    assert named_variables(stderr) == names


@pytest.mark.parametrize(("words", "names"), NEEDED)
def test_a_malformed_variable_is_a_configuration_error(
    words: str, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message leaves out the value, which may be a mistyped secret, and says where the variable is explained."""
    for name in COMPLETE:
        monkeypatch.setenv(name, "canary canary")

    result = CliRunner().invoke(main, words.split())

    assert (result.exit_code, result.stdout) == (78, "")
    assert named_variables(result.stderr) == names
    assert "canary" not in result.stderr
    assert ".env.example" in result.stderr
