"""README's part on the log: whatever a refusal can say there has its line."""

import ast
import re
from pathlib import Path

import pytest

from app import errors
from app.clerk.session_tokens import BadToken
from app.http import responses

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
RAISED = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
RAISED |= {BadToken.__name__, responses.HttpError.__name__, "ClerkUnavailable"}


def reasons() -> set[str]:
    """Every reason that an error is raised with somewhere in the code."""
    trees = [ast.parse(path.read_text()) for path in sorted((ROOT / "app").glob("*.py"))]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    raised = [call for call in calls if ast.unparse(call.func).rpartition(".")[2] in RAISED]
    words = [argument.value for call in raised for argument in call.args if isinstance(argument, ast.Constant)]
    return {word for word in words if isinstance(word, str)}


def is_told(reason: str) -> bool:
    """By its name, or with its family, as `database_*`."""
    family = reason.partition("_")[0]
    return bool(re.search(rf"`({re.escape(reason)}|{family}_\*)`", README))


@pytest.mark.parametrize("reason", sorted(reasons()))
def test_every_reason_is_explained(reason: str) -> None:
    """Whoever reads it in the log finds it."""
    assert is_told(reason)
