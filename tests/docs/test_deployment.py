"""The files that put the service on a host say what the code does; their steps run in a clean folder."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # It has no types of its own, and one file needs it.

from app.__main__ import COMMANDS
from tests.docs.pages import ROOT
from tests.docs.test_env_example import names_of_settings, required_names
from tools.processes import http_environment, start_http

DOCKERFILE = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text())
STAGES = dict(re.findall(r"^FROM \$\{PYTHON\} AS (\w+)\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL))
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
APP = json.loads((ROOT / "app.json").read_text())


def instructions(stage: str, name: str) -> list[str]:
    return re.findall(rf"^{name} (.*)$", STAGES[stage], re.MULTILINE)


def words(stage: str, name: str) -> list[str]:
    """The command line of an instruction in exec form, with the Python that runs the tests."""
    (form,) = re.findall(rf"^{name} (?:--.* CMD )?(\[.*\])$", STAGES[stage], re.MULTILINE)
    first, *others = json.loads(form)
    return [sys.executable if first == "python" else first, *others]


def build(stage: str, folder: Path) -> None:
    """Copy what the stage copies from the checkout, as far as .dockerignore lets it through."""
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for copy in instructions(stage, "COPY"):
        if copy.startswith("--from="):
            continue
        source, target = copy.split()
        assert source in let_through, source
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (folder / target).mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, folder / target)


def probe(command: list[str], environment: dict[str, str]) -> int:
    return subprocess.run(command, env=environment, check=False, capture_output=True).returncode


def test_the_base_image_is_one_exact_version_that_the_readme_promises() -> None:
    (base,) = re.findall(r"^ARG PYTHON=(.*)$", DOCKERFILE, re.MULTILINE)
    match = re.fullmatch(r"python:3\.(\d+)\.\d+-slim-[a-z]+", base)
    (newest,) = re.findall(r"^NEWEST = \(3, (\d+)\)", (ROOT / "dev").read_text(), re.MULTILINE)

    assert match
    assert 11 <= int(match[1]) <= int(newest)


@pytest.mark.parametrize("stage", ["service", "sandbox"])
def test_an_image_that_runs_has_no_root_no_build_tools_and_no_shell_form(stage: str) -> None:
    assert [int(user.split(":")[0]) >= 1000 for user in instructions(stage, "USER")] == [True]
    assert not re.search(r"\b(apt-get|apk|gcc|pip|uv)\b", STAGES[stage])
    assert all(json.loads(form) for name in ("CMD", "ENTRYPOINT") for form in instructions(stage, name))


def test_the_service_is_the_image_that_is_built_by_default() -> None:
    assert list(STAGES)[-1] == "service"


def test_packages_are_installed_by_hash_and_built_by_no_compiler() -> None:
    (install,) = re.findall(r"install (.*)$", STAGES["build"], re.MULTILINE)

    assert {"--require-hashes", "--only-binary", "--no-deps"} <= set(install.split())


def test_nothing_secret_gets_into_the_build() -> None:
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"


def test_the_image_migrates_and_serves_and_its_health_check_knows_a_server_that_is_gone(
    tmp_path: Path, variables: dict[str, str], log_folder: Path
) -> None:
    build("service", tmp_path)
    environment, _ = http_environment(variables)
    check = words("service", "HEALTHCHECK")
    run = words("service", "ENTRYPOINT")

    migrated = subprocess.run([*run, "migrate"], env=environment, cwd=tmp_path, check=False, capture_output=True)
    with start_http([*run, "serve"], environment, cwd=tmp_path, log=log_folder / "image.log") as server:
        server.wait_until_ready()
        alive = probe(check, environment)

    assert (migrated.returncode, alive, probe(check, environment)) == (0, 0, 1)


def test_the_sandbox_starts_in_its_image(tmp_path: Path) -> None:
    build("sandbox", tmp_path)
    environment, url = http_environment({})
    command = [environment["PORT"] if word == "8090" else word for word in words("sandbox", "CMD")]
    check = [word.replace("8090", environment["PORT"]) for word in words("sandbox", "HEALTHCHECK")]

    with start_http(command, environment, cwd=tmp_path) as server:
        server.wait_until_ready(lambda: probe(check, environment) == 0)

    assert (command[-1], url) == (environment["PORT"], f"http://127.0.0.1:{environment['PORT']}")


def test_compose_runs_what_the_images_have_with_every_variable_that_is_required() -> None:
    services = COMPOSE["services"]
    ours = [service for service in services.values() if service.get("image") == "clerk-backboard-sync"]

    assert {service["build"]["target"] for service in services.values() if "build" in service} <= set(STAGES)
    assert {service["command"][0] for service in ours} <= set(COMMANDS)
    for service in ours:
        assert set(required_names()) <= set(service["environment"]) <= set(names_of_settings())
        assert set(service["depends_on"]) <= set(services)


def test_compose_is_reached_from_this_machine_alone() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_button_asks_for_every_variable_that_is_required_and_for_none_that_is_not_known() -> None:
    known = set(names_of_settings())
    addon_brings = {"DATABASE_URL"}

    assert set(required_names()) - addon_brings <= set(APP["env"]) <= known
    assert set(APP["environments"]["review"]["env"]) <= known


def test_a_review_app_gets_a_prefix_of_its_own() -> None:
    """It may share production's Backboard key, and assistants are found by their names."""
    review = APP["environments"]["review"]["env"]

    assert review["ASSISTANT_NAME_PREFIX"]["generator"] == "secret"


def test_the_workflow_runs_ci_on_the_pythons_of_the_readme_and_nothing_else() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    (newest,) = re.findall(r"^NEWEST = \(3, (\d+)\)", (ROOT / "dev").read_text(), re.MULTILINE)

    assert job["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(11, int(newest) + 1)]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
