"""A sandbox Clerk with a key of its own, and a run of reconcile in this process."""

from collections.abc import Iterator

import pytest

from app.commands.reconcile import command
from app.commands.reconcile.models import GracePeriods
from app.commands.reconcile.report import Report
from tests.commands.reconcile.drifting import KEY, NO_GRACE, Run
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
    """Reconcile all users without grace periods, unless the test asks for something else."""

    async def run(
        *,
        all_users: bool = True,
        apply: bool = True,
        grace_periods: GracePeriods = NO_GRACE,
        without: str | None = None,
    ) -> Report:
        variables = {key: value for key, value in with_clerk.items() if key != without}
        return await command.run(settings_of(variables), all_users=all_users, apply=apply, grace_periods=grace_periods)

    return run
