"""A client of the Backboard sandbox."""

from collections.abc import Iterator

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
