"""Clients are generated from the API's document in TypeScript and Python, and the document is linted.

The programs are those of `.ci/run`: `npm ci` in this folder, and a venv in .local/clients. Where they are not, the
tests are skipped with the command.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from app.api.openapi import document
from tests.support import asgi

FOLDER = Path(__file__).parent
BIN = FOLDER / "node_modules" / ".bin"
PYTHON = FOLDER.parents[1] / ".local" / "clients" / "bin" / "python"
DOCUMENT = document(asgi.stranded_app().routes)
# No news of newer versions, and no statistics.
QUIET = {"REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "REDOCLY_TELEMETRY": "off"}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A folder with the document."""
    (tmp_path / "openapi.json").write_text(json.dumps(DOCUMENT))
    return tmp_path


def run(command: str, folder: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", "-ec", command],
        cwd=folder,
        env={"PATH": f"{BIN}:{PYTHON.parent}:{os.environ['PATH']}", "HOME": str(folder), **QUIET},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.skipif(not (BIN / "tsc").exists(), reason="no Node packages; cd tests/clients && npm ci")
def test_the_document_passes_redocly_and_its_typescript_compiles(written: Path) -> None:
    """Under --strict, with a program that uses every route."""
    (written / "node_modules").symlink_to(FOLDER / "node_modules")
    (written / "routes.ts").write_text((FOLDER / "routes.ts").read_text())

    run(
        "redocly lint openapi.json && openapi-typescript openapi.json -o schema.ts"
        " && tsc --strict --noEmit --target es2022 --moduleResolution node10 routes.ts",
        written,
    )


@pytest.mark.skipif(not PYTHON.exists(), reason="no openapi-python-client; .ci/run installs it in .local/clients")
def test_the_generated_python_client_reads_every_example(written: Path) -> None:
    """It has a function for every operation, and loses no member of a body."""
    run(
        "openapi-python-client generate --path openapi.json --meta none --output-path generated"
        f" && python {FOLDER / 'read_examples.py'} . openapi.json",
        written,
    )


def test_the_typescript_program_uses_every_route() -> None:
    used = re.findall(r'client\.([A-Z]+)\("([^"]+)"', (FOLDER / "routes.ts").read_text())
    routes = {
        (method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item.keys() - {"parameters"}
    }

    assert set(used) == routes
