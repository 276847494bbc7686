"""The rules of app/: the order of imports, what an import may do, how long functions and modules may be."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
APP = ROOT / "app"

# The packages from the top; each imports only from the lines below it. The names of one line count as one package.
ORDER = [
    ("__main__",),
    # The buttons of the operations page run the commands' own code.
    ("application",),
    ("commands",),
    ("components",),
    ("api",),
    ("ops",),
    ("chat",),
    ("users",),
    ("clerk",),
    ("backboard",),
    ("postgres",),
    ("http",),
    ("deadline", "errors", "log", "log_format", "metrics", "reasons", "sentry", "settings"),
]
LEVEL = {name: level for level, names in enumerate(reversed(ORDER)) for name in names}


def dotted(path: Path) -> str:
    """A module's name in imports."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {dotted(path): path for path in sorted(APP.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in SOURCES.items()}

FUNCTION_LINES = 40
MODULE_LINES = 250


def imports(tree: ast.AST) -> Iterator[str]:
    """Every dotted name that a module imports, at any depth; `from a import b` counts as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_modules(name: str) -> set[str]:
    """The modules of app that a module imports."""
    found = set()
    for imported in imports(TREES[name]):
        parent = imported.rpartition(".")[0]
        found |= {module for module in (imported, parent) if module in SOURCES and module not in ("app", name)}
    return found


def package(module: str) -> str:
    """The package of a module; a module at the root counts as its own."""
    return module.split(".")[1]


def importers(library: str) -> set[str]:
    """The modules of app that import a library or anything below it, without the leading `app.`."""
    return {
        name.removeprefix("app.")
        for name, tree in TREES.items()
        if any(imported == library or imported.startswith(f"{library}.") for imported in imports(tree))
    }


def uses_of_environment(tree: ast.AST) -> list[str]:
    """The names in a module that refer to the process's environment."""
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name | ast.alias))
    names = (node.name if isinstance(node, ast.alias) else ast.unparse(node) for node in nodes)
    return [name for name in names if re.fullmatch(r"(os\.)?(environb?|getenvb?|putenv)", name)]


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions of a module, with methods and nested ones."""
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def docstring_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The number of lines of a function's docstring."""
    if ast.get_docstring(function) is None:
        return 0
    return (function.body[0].end_lineno or 0) - function.body[0].lineno + 1


def test_every_package_has_its_place_in_the_order() -> None:
    """A package that is not listed would not be checked."""
    assert {package(name) for name in SOURCES if name != "app"} == set(LEVEL)


@pytest.mark.parametrize("name", SOURCES)
def test_a_package_imports_only_from_those_below_it(name: str) -> None:
    if name == "app":
        assert not imported_modules(name)
        return
    own = package(name)
    others = {other for other in imported_modules(name) if package(other) != own}

    wrong = sorted(other for other in others if LEVEL[package(other)] > LEVEL[own])

    assert not wrong, f"{name} imports {', '.join(wrong)}"


def test_modules_import_each_other_without_circles() -> None:
    """Inside a package the order is not listed, but there is one."""
    try:
        TopologicalSorter({name: imported_modules(name) for name in SOURCES}).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("svix", r"clerk\.signatures"),
        ("httpx", r"http\.client|backboard\.(calls|client)|clerk\.(api|jwks)|commands\.trigger|settings\.web_address"),
        ("jwt", r"clerk\.(session_tokens|jwks)"),
        ("cryptography", r"clerk\.jwks|settings\.keys"),
        ("psycopg", r"postgres\..*|commands\.psql|settings\.database_(address|options|url)"),
        ("psycopg_pool", r"postgres\.(pool|migrations)"),
        ("uvicorn", r"http\..*"),
        ("httptools", r"http\..*"),
        ("click", r"__main__|commands\..*"),
        ("pydantic_settings", r"settings(\.environment)?"),
        ("sentry_sdk", r"sentry"),
        ("starlette", r"application|api\..*|http\..*|ops\.page\..*"),
        ("jinja2", r"ops\.page\.rendering"),
        ("markupsafe", r"ops\.page\.rendering"),
        ("tools", r""),
        ("tests", r""),
    ],
)
def test_a_library_is_imported_only_where_it_is_wrapped(library: str, allowed: str) -> None:
    """Its errors and objects are translated there, and known nowhere else."""
    assert [name for name in importers(library) if not re.fullmatch(allowed, name)] == []


def test_the_operations_page_is_imported_only_where_a_token_opens_it() -> None:
    """Neither it nor Jinja costs a process without it anything."""
    outside = {name: tree for name, tree in TREES.items() if not name.startswith("app.ops.page")}
    always = [
        f"{name} imports {imported}"
        for name, tree in outside.items()
        for statement in tree.body
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.If)
        for imported in imports(statement)
        if imported.startswith(("app.ops.page", "app.commands.ops.one_user", "jinja2"))
    ]

    assert always == []
    assert importers("app.ops.page") - {name.removeprefix("app.") for name in TREES if "ops.page" in name} == {
        "application"
    }


def test_the_settings_use_psycopg_only_to_parse_addresses() -> None:
    """They import libpq's parser and the error that it raises; database_address.py connects to nothing either."""
    trees = (TREES["app.settings"], TREES["app.settings.database_url"])
    names = {imported for tree in trees for imported in imports(tree) if imported.startswith("psycopg")}

    assert {name for name in names if not name.startswith("psycopg.conninfo.")} <= {"psycopg.ProgrammingError"}


def test_the_settings_use_httpx_only_to_parse_addresses() -> None:
    """They import its parser, so that no client refuses an address later."""
    used = set(re.findall(r"httpx\.(\w+)", (ROOT / "app" / "settings" / "web_address.py").read_text()))

    assert used == {"URL", "InvalidURL"}


@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"app.commands.psql", "app.settings.database_address"}))
def test_only_the_settings_read_the_environment(name: str) -> None:
    """pydantic-settings does it for them."""
    assert uses_of_environment(TREES[name]) == []


def test_of_what_libpq_reads_only_empty_variables_are_taken_out() -> None:
    tree = TREES["app.settings.database_address"]
    (function,) = (one for one in functions(tree) if one.name == "unset_empty_variables")

    assert uses_of_environment(tree) == uses_of_environment(function)


def test_psql_only_gets_the_environment_passed_on() -> None:
    """It is the only program that the service becomes, and it starts none."""
    tree = TREES["app.commands.psql"]
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    (started,) = (call for call in calls if ast.unparse(call.func) == "os.execve")

    assert uses_of_environment(tree) == uses_of_environment(started) == ["os.environ"]


# Prints Python's audit events of connections, processes, and files other than modules.
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
    """Without any variable and with a broken .env: nothing is read, called or printed."""
    (tmp_path / ".env").write_text("PORT=nonsense\n")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _WATCHED_IMPORT, str(ROOT), *SOURCES],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", SOURCES)
def test_a_function_has_at_most_40_lines(name: str) -> None:
    """Without its docstring."""
    for function in functions(TREES[name]):
        lines = (function.end_lineno or 0) - function.lineno + 1 - docstring_lines(function)
        assert lines <= FUNCTION_LINES, f"{function.name} has {lines} lines"


@pytest.mark.parametrize("name", SOURCES)
def test_a_module_has_at_most_250_lines(name: str) -> None:
    """Without the docstrings of its functions."""
    docstrings = sum(docstring_lines(function) for function in functions(TREES[name]))

    assert len(SOURCES[name].read_text().splitlines()) - docstrings <= MODULE_LINES
