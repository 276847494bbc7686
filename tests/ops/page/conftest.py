"""The service in this process with the operations page open, and a client that has a password for it."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from app.application import create_app
from tests.ops.rows import RUNNING
from tests.support.service import Service, in_process, settings_of

TOKEN, VIEW_TOKEN = "password-of-operators-1", "password-of-viewers-01"
TOKENS = {"OPS_TOKENS": f"another-password-of-24,{TOKEN}", "OPS_VIEW_TOKENS": VIEW_TOKEN}
ON_PAGE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
async def opened(variables: dict[str, str], database: Any) -> AsyncIterator[Service]:
    """The service, beside a process that is alive."""
    database.execute(RUNNING)
    async with in_process(create_app(settings_of(variables | TOKENS))) as service:
        yield service


@pytest.fixture
def get(opened: Service) -> Callable[..., Any]:
    """GET a path as an operator."""

    async def ask(path: str, **how: Any) -> httpx.Response:
        return await opened.client.get(path, auth=("on call", TOKEN), **how)

    return ask


@pytest.fixture
def post(opened: Service) -> Callable[..., Any]:
    """Press a button, as the page would."""

    async def ask(path: str, form: Any = None, *, token: str = TOKEN, headers: Any = ON_PAGE) -> httpx.Response:
        return await opened.client.post(path, data=form or {}, auth=("on call", token), headers=headers)

    return ask
