"""`./dev clients`: write what is generated in clients/; npm installs the generator of TypeScript on the first call."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.clients.described import Json, described
from tools.clients.python_types import python_types
from tools.clients.synchronous import synchronous
from tools.processes import ROOT

PYTHON = ROOT / "clients" / "python" / "clerk_backboard_sync"
TYPESCRIPT = ROOT / "clients" / "typescript"
GENERATORS = ROOT / "tests" / "clients"
STAMP = TYPESCRIPT / "dist" / "generated-from.txt"
_MAKE_TYPES = (
    "openapi-typescript openapi.json --output {folder}/src/schema.ts --root-types --root-types-no-schema-prefix"
)


def main() -> None:
    document = described()
    for path, text in python_files(document).items():
        path.write_text(text)
    if not shutil.which("npm"):
        sys.exit("npm is missing: clients/python is written, and clients/typescript is not.")
    if not (GENERATORS / "node_modules").exists():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=GENERATORS, check=True)
    write_typescript(document, TYPESCRIPT)
    STAMP.write_text(stamp(document))


def python_files(document: Json) -> dict[Path, str]:
    """The generated files of clients/python."""
    return {
        PYTHON / "types.py": python_types(document),
        PYTHON / "synchronous.py": synchronous((PYTHON / "asynchronous.py").read_text()),
    }


def write_typescript(document: Json, folder: Path) -> None:
    """Write src/schema.ts, and dist/ by the compiler; CalledProcessError where the sources do not compile."""
    variables = os.environ | {"PATH": f"{GENERATORS / 'node_modules' / '.bin'}:{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory() as place:
        Path(place, "openapi.json").write_text(json.dumps(document))
        types = _MAKE_TYPES.format(folder=folder).split()
        subprocess.run(types, cwd=place, env=variables, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(folder / "dist", ignore_errors=True)
    subprocess.run(["tsc", "--project", str(folder)], env=variables, check=True)


def stamp(document: Json) -> str:
    """Of what the TypeScript client is generated from and what came of it; it tells without Node if one has changed."""
    generators = re.findall(r'"(?:openapi-typescript|typescript)": .*', (GENERATORS / "package.json").read_text())
    texts = [json.dumps(document, sort_keys=True), *generators, (TYPESCRIPT / "tsconfig.json").read_text()]
    files = sorted(path for path in TYPESCRIPT.glob("*/*.[jt]s") if path.parent.name in {"src", "dist"})
    texts += [f"{path.relative_to(TYPESCRIPT)}\n{path.read_text()}" for path in files]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest() + "\n"


if __name__ == "__main__":
    main()
