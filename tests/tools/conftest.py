"""A client of the Backboard sandbox, and the vendors' own clients."""

import importlib
import warnings
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.factories import API_KEY
from tools.sandbox.backboard import Sandbox


@pytest.fixture
def client(backboard: Sandbox) -> Iterator[httpx.Client]:
    """With the right key, and a read timeout after which a response counts as missing."""
    # Not verifying saves loading the certificates, which plain HTTP does not need.
    with httpx.Client(
        base_url=backboard.url,
        headers={"X-API-Key": API_KEY, "Accept-Encoding": "identity"},
        trust_env=False,
        verify=False,
        timeout=httpx.Timeout(5, read=0.15),
    ) as client:
        yield client


@pytest.fixture(scope="session")
def backboard_sdk() -> Any:
    """Backboard's Python client. Imported here, since each of the clients takes half a second."""
    with warnings.catch_warnings():
        # Its models are written as pydantic's version 1 had them.
        warnings.simplefilter("ignore")
        return importlib.import_module("backboard")


@pytest.fixture(scope="session")
def clerk_sdk() -> Any:
    """Clerk's Python client."""
    return importlib.import_module("clerk_backend_api")
