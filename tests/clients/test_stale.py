"""The generated parts of clients/ are those of today's document, and both clients have every operation of a caller."""

import re
from pathlib import Path

import pytest

from tools.clients.__main__ import PYTHON, STAMP, TYPESCRIPT, python_files, stamp
from tools.clients.described import described, for_callers
from tools.processes import ROOT

DOCUMENT = described()
OPERATIONS = {operation["operationId"] for operation in for_callers(DOCUMENT)}


@pytest.mark.parametrize("path", python_files(DOCUMENT), ids=lambda path: path.name)
def test_the_python_client_is_generated_from_the_document(path: Path) -> None:
    assert path.read_text() == python_files(DOCUMENT)[path], f"{path.relative_to(ROOT)} is stale: ./dev clients"


def test_the_typescript_client_is_generated_from_the_document() -> None:
    assert STAMP.read_text() == stamp(DOCUMENT), "clients/typescript is stale: ./dev clients"


def test_both_clients_have_every_operation() -> None:
    typescript = re.findall(r"^  (?:async )?([a-z]\w+)\(", (TYPESCRIPT / "src" / "client.ts").read_text(), re.MULTILINE)
    python = re.findall(r"^    async def ([a-z]\w+)\(", (PYTHON / "asynchronous.py").read_text(), re.MULTILINE)

    assert {*typescript} - {"constructor"} == OPERATIONS
    assert {*python} - {"aclose"} == {
        re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", one) for one in OPERATIONS
    }
