"""The laws of the house: who may import whom, what an import may do, how long things may be.

The floors are read from the listing in the package's docstring, so that page and code cannot part.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import app

ROOT = Path(__file__).parent.parent
SOURCES = {path.stem: path for path in sorted((ROOT / "app").glob("*.py")) if path.stem != "__init__"}
TREES = {name: ast.parse(path.read_text()) for name, path in SOURCES.items()}

FUNCTION_LINES = 40
MODULE_LINES = 250

# A floor's number stands on its first line only; two blanks or more part the modules from the remark.
_FLOOR = re.compile(r"(?P<number>\d| ) {2}(?P<modules>\w+(?: · \w+)*)(?: {2,}.*)?")


def floors() -> dict[str, int]:
    """The floor of each module, as the package's docstring lists them."""
    found: dict[str, int] = {}
    number = None
    for line in (app.__doc__ or "").splitlines():
        if match := _FLOOR.fullmatch(line):
            number = int(match["number"]) if match["number"].strip() else number
            assert number is not None, "the first line of the listing has no number"
            found |= dict.fromkeys(match["modules"].split(" · "), number)
    return found


def imports(tree: ast.Module) -> Iterator[str]:
    """Every dotted name that a module imports, wherever in it; `from a import b` counts as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(package: str) -> set[str]:
    """The modules of app that import a package or anything below it."""
    return {
        name
        for name, tree in TREES.items()
        if any(imported == package or imported.startswith(f"{package}.") for imported in imports(tree))
    }


def uses_of_environment(tree: ast.AST) -> list[str]:
    """Every place that names the process's environment."""
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name | ast.alias))
    names = (node.name if isinstance(node, ast.alias) else ast.unparse(node) for node in nodes)
    return [name for name in names if re.fullmatch(r"(os\.)?(environb?|getenvb?|putenv)", name)]


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a module, methods and inner ones too."""
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def docstring_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many lines a function's docstring takes."""
    if ast.get_docstring(function) is None:
        return 0
    return (function.body[0].end_lineno or 0) - function.body[0].lineno + 1


def http_floors() -> frozenset[str]:
    """The modules that may know of HTTP's framework: from the floor of `problems` upwards."""
    listed = floors()
    return frozenset(name for name, floor in listed.items() if floor >= listed["problems"])


def test_the_listing_names_every_module_and_no_other() -> None:
    """A module without a floor would escape the law."""
    assert sorted(floors()) == sorted(SOURCES)


@pytest.mark.parametrize("name", SOURCES)
def test_imports_only_go_down(name: str) -> None:
    """No module sees one above it, nor one beside it."""
    listed = floors()
    assert name in listed, f"{name} has no floor"
    seen = {imported.split(".")[1] for imported in imports(TREES[name]) if imported.startswith("app.")}

    wrong = [f"{other} ({listed.get(other)})" for other in sorted(seen) if listed.get(other, 99) >= listed[name]]

    assert not wrong, f"{name} ({listed[name]}) imports {', '.join(wrong)}"


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("svix", {"clerk_events"}),
        ("httpx", {"exchange", "backboard", "clerk_api", "clerk_keys", "trigger", "parts", "settings"}),
        ("jwt", {"session_tokens", "clerk_keys"}),
        ("cryptography", {"clerk_keys", "settings"}),
        ("psycopg", {"database", "roundtrip", "migrations", "psql", "reader", "settings"}),
        ("psycopg_pool", {"database", "migrations"}),
        ("uvicorn", {"web", "serving", "protocol", "cycle"}),
        ("httptools", {"protocol", "parsing"}),
        ("click", {"__main__", "development", "terminal"}),
        ("pydantic_settings", {"settings"}),
        ("starlette", http_floors()),
        ("local", set()),
        ("chaos", set()),
        ("tests", set()),
    ],
)
def test_a_library_is_met_at_one_border_only(package: str, allowed: set[str]) -> None:
    """What a library's errors and objects are to us is decided where it is imported, and nowhere else."""
    assert importers(package) - allowed == set()


def test_the_settings_only_read_addresses_with_psycopg() -> None:
    """They take libpq's grammar of a URL, and the one error that it raises; they connect to nothing."""
    names = {imported for imported in imports(TREES["settings"]) if imported.startswith("psycopg")}

    assert {name for name in names if not name.startswith("psycopg.conninfo.")} <= {"psycopg.ProgrammingError"}


def test_the_settings_only_read_addresses_with_httpx() -> None:
    """They take its grammar of a URL, so that no client can refuse later what was taken at the start."""
    used = set(re.findall(r"httpx\.(\w+)", (ROOT / "app" / "settings.py").read_text()))

    assert used == {"URL", "InvalidURL"}


@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"migrations", "psql"}))
def test_the_environment_is_read_in_one_place(name: str) -> None:
    """pydantic-settings does it, for the settings; nobody else asks."""
    assert uses_of_environment(TREES[name]) == []


@pytest.mark.parametrize(("name", "start"), [("migrations", "asyncio.create_subprocess_exec"), ("psql", "os.execve")])
def test_a_program_that_is_started_gets_the_environment_and_nobody_else(name: str, start: str) -> None:
    """What stands there goes to dbmate and to psql."""
    calls = (node for node in ast.walk(TREES[name]) if isinstance(node, ast.Call))
    (started,) = (call for call in calls if ast.unparse(call.func) == start)

    assert uses_of_environment(TREES[name]) == uses_of_environment(started) == ["os.environ"]


# Python's own events of whatever leaves the process or reads a file that is not a module.
_WATCHED_IMPORT = """
import importlib
import os
import sys

root, *modules = sys.argv[1:]
outside = ("socket.", "subprocess.", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork")

def watch(event, arguments):
    if event.startswith(outside):
        print(event, arguments)
    elif event == "open" and isinstance(arguments[0], str):
        place = os.path.abspath(arguments[0])
        ours = place.startswith((root + os.sep, os.getcwd() + os.sep)) and not place.startswith(sys.prefix + os.sep)
        if ours and ".py" not in os.path.basename(place):
            print(event, place)

sys.addaudithook(watch)
for module in modules:
    importlib.import_module(module)
"""


def test_an_import_does_nothing(tmp_path: Path) -> None:
    """Without any variable, beside a broken .env: no file is read, nobody is called, nothing is printed."""
    (tmp_path / ".env").write_text("PORT=nonsense\n")
    modules = [f"app.{name}" for name in SOURCES]

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _WATCHED_IMPORT, str(ROOT), *modules],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", SOURCES)
def test_a_function_fits_on_a_screen(name: str) -> None:
    """At most 40 lines, its docstring not counted."""
    for function in functions(TREES[name]):
        lines = (function.end_lineno or 0) - function.lineno + 1 - docstring_lines(function)
        assert lines <= FUNCTION_LINES, f"{function.name} has {lines} lines"


@pytest.mark.parametrize("name", SOURCES)
def test_a_module_stays_short(name: str) -> None:
    """At most 250 lines, the docstrings of its functions not counted."""
    docstrings = sum(docstring_lines(function) for function in functions(TREES[name]))

    assert len(SOURCES[name].read_text().splitlines()) - docstrings <= MODULE_LINES
