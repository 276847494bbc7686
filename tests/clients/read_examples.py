"""Run with the generator's own Python: every example of the document, read by the client that was generated from it.

python read_examples.py FOLDER DOCUMENT: the folder that holds the package `generated`, and the document.
"""

import importlib
import json
import pkgutil
import sys
from pathlib import Path
from typing import Any


def main(folder: str, document: str) -> None:
    sys.path.insert(0, folder)
    models = importlib.import_module("generated.models")
    described = json.loads(Path(document).read_text())
    operations = [one for item in described["paths"].values() for name, one in item.items() if name != "parameters"]
    package = importlib.import_module("generated.api")
    found = pkgutil.walk_packages(package.__path__, "generated.api.")
    modules = {module.name.rpartition(".")[2] for module in found if not module.ispkg}
    missing = {one["operationId"] for one in operations} - {_camel(name) for name in modules}
    if missing:
        sys.exit(f"no function for {missing}")
    for operation in operations:
        for part in (operation.get("requestBody", {}), *operation["responses"].values()):
            for media_type in part.get("content", {}).values():
                _read(models, media_type["examples"])


def _read(models: Any, examples: dict[str, Any]) -> None:
    """Parse each example with the class of its name and write it again; nothing is lost on the way."""
    for name, example in examples.items():
        value = example["value"]
        if isinstance(value, dict) and getattr(models, name).from_dict(value).to_dict().keys() != value.keys():
            sys.exit(f"{name} comes back as another")


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


if __name__ == "__main__":
    main(*sys.argv[1:])
