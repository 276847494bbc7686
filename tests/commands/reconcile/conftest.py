"""A Clerk with a key of its own, and a run beside it."""

from collections.abc import Iterator

import pytest

from app.commands.reconcile import command
from app.commands.reconcile.models import GracePeriods
from app.commands.reconcile.report import Report
from tests.commands.reconcile.drifting import AT_ONCE, KEY, Run
from tests.support.service import settings_of
from tools.sandbox.clerk import Clerk


@pytest.fixture
def clerk() -> Iterator[Clerk]:
    with Clerk({KEY}) as instance:
        yield instance


@pytest.fixture
def with_clerk(variables: dict[str, str], clerk: Clerk) -> dict[str, str]:
    return variables | {"CLERK_SECRET_KEY": KEY, "CLERK_API_URL": clerk.url}


@pytest.fixture
def run(with_clerk: dict[str, str]) -> Run:
    """Reconcile everybody, without waiting for anything, unless told otherwise."""

    async def run(
        *, everybody: bool = True, apply: bool = True, waits: GracePeriods = AT_ONCE, without: str | None = None
    ) -> Report:
        variables = {key: value for key, value in with_clerk.items() if key != without}
        return await command.run(settings_of(variables), everybody=everybody, apply=apply, waits=waits)

    return run
