"""docs/quickstart.md: what its commands name is there, and other tests run it.

`./dev run` and its `export` lines: tests/tools/test_run.py. The chat in the terminal, and the example in the browser:
tests/examples.
"""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.docs.pages import ROOT, page

PAGE = page("docs/quickstart.md")
BLOCKS = re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [shlex.split(line) for block in BLOCKS for line in block.splitlines()]


def test_every_path_of_a_command_exists() -> None:
    words = [word for command in COMMANDS for word in command if "/" in word and not word.startswith(".local/")]

    assert len(words) == 5
    assert [word for word in words if not (ROOT / word).exists()] == []


def test_the_words_of_the_chat_are_its_own() -> None:
    program = ROOT / "examples" / "python" / "chat.py"
    asked = [sys.executable, str(program), "--help"]
    environment = {"PYTHONPATH": str(ROOT / "clients" / "python")}
    usage = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True).stdout

    named = {word for text in re.findall(r"`(--[^`]+)`", PAGE) for word in re.findall(r"--\w+", text)}
    assert named - {"--help"} == {"--scenario", "--session"}
    assert all(f"  {word} " in usage for word in named - {"--help"})
    variables = {"SERVICE_URL", "SERVICE_TOKEN", "BACKBOARD_API_URL", "BACKBOARD_API_KEY"}
    assert set(re.findall(r"^  ([A-Z_]+) ", usage, re.MULTILINE)) - {"USER_ID"} == variables
    offered = (ROOT / "examples" / "nextjs" / ".env.example").read_text()
    assert set(re.findall(r"^([A-Z_]+)=", offered, re.MULTILINE)) == variables


def test_the_scripts_of_npm_are_the_examples_own() -> None:
    scripts = json.loads((ROOT / "examples" / "nextjs" / "package.json").read_text())["scripts"]

    assert {command[2] for command in COMMANDS if command[:2] == ["npm", "run"]} <= scripts.keys()


def test_the_locks_name_no_registry() -> None:
    for lock in (ROOT / "examples/nextjs/package-lock.json", ROOT / "tests/clients/package-lock.json"):
        packages = json.loads(lock.read_text())["packages"].values()

        assert [one for one in packages if not one.get("link") and "resolved" in one] == []


def test_the_packages_have_the_versions_of_the_service() -> None:
    def version(path: str) -> object:
        text = Path(ROOT, path).read_text()
        return json.loads(text)["version"] if path.endswith("json") else tomllib.loads(text)["project"]["version"]

    assert version("clients/python/pyproject.toml") == version("pyproject.toml")
    assert version("clients/typescript/package.json") == version("pyproject.toml")
