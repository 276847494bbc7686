"""What an import repeats, and when it stops to."""

import pytest

from app.commands.importing.patience import TRIES, OutageTooLong, Patience
from app.errors import CircuitOpen, DatabaseDown, OutcomeUnknown, Rejected, Unavailable

pytestmark = pytest.mark.anyio


class Work:
    """Fails with these errors, one after the other, and then works."""

    def __init__(self, *errors: Unavailable) -> None:
        self.errors = list(errors)
        self.tries = 0

    async def __call__(self) -> str:
        self.tries += 1
        if self.errors:
            error = self.errors.pop(0)
            error.retry_after = 0
            raise error
        return "done"


@pytest.mark.parametrize(
    "errors",
    [
        (OutcomeUnknown(),),
        (DatabaseDown(), OutcomeUnknown(), DatabaseDown()),
        tuple(CircuitOpen(retry_after=0) for _ in range(TRIES + 3)),
    ],
    ids=["an unknown outcome", "in turn", "a long outage"],
)
async def test_what_may_heal_is_repeated(errors: tuple[Unavailable, ...]) -> None:
    """An outage uses up no tries."""
    assert await Patience().call(Work(*errors)) == "done"


async def test_one_users_trouble_is_given_up_after_a_few_tries() -> None:
    work = Work(*(OutcomeUnknown() for _ in range(TRIES)))

    with pytest.raises(OutcomeUnknown):
        await Patience().call(work)
    assert work.tries == TRIES


async def test_what_is_refused_is_not_repeated() -> None:
    work = Work(Rejected(400))

    with pytest.raises(Rejected):
        await Patience().call(work)
    assert work.tries == 1


@pytest.mark.parametrize(("error", "seconds"), [(DatabaseDown(), 0.0), (Rejected(401), 300.0), (Rejected(404), 300.0)])
async def test_what_every_user_would_meet_ends_the_run(error: Unavailable, seconds: float) -> None:
    """An outage that is too long, a key that is refused, an address that is not Backboard's."""
    with pytest.raises(OutageTooLong):
        await Patience(outage_seconds=seconds).call(Work(error))
