"""A webhook that is no longer delivered makes no error, only silence; here is where it shows."""

import pytest

from tests.support.factories import OTHER_SECRET, Person, event, user_created
from tests.support.log_capture import capture_log
from tests.support.service import Service

pytestmark = pytest.mark.anyio


async def silence(service: Service) -> object:
    """What /readyz says."""
    answer = await service.client.get("/readyz")
    assert answer.status_code == 200
    return answer.json()["last_event_seconds"]


async def test_nothing_was_heard_before_the_first_event(service: Service) -> None:
    """Null, and not 0: a process that has just started knows nothing."""
    assert await silence(service) is None


@pytest.mark.parametrize("secret", [None, OTHER_SECRET], ids=["the first secret", "the second secret"])
async def test_an_event_ends_the_silence(service: Service, secret: bytes | None) -> None:
    """Under whichever secret it was signed."""
    await service.deliver(user_created(Person()), **({} if secret is None else {"secret": secret}))

    assert await silence(service) in (0, 1)


@pytest.mark.parametrize(
    ("body", "status"),
    [(event("organization.created", {"id": "org_1"}), 200), (event("user.created", {"id": "canary"}), 422)],
    ids=["ignored", "unusable"],
)
async def test_it_is_the_signature_that_counts(service: Service, body: bytes, status: int) -> None:
    """Whatever becomes of the event, Clerk has reached us."""
    assert (await service.deliver(body)).status_code == status
    assert await silence(service) in (0, 1)


async def test_a_stranger_does_not_end_it(service: Service) -> None:
    """Otherwise anybody could hide that Clerk has gone."""
    assert (await service.deliver(user_created(Person()), secret=b"canary-signing-secret-9999")).status_code == 400
    assert await silence(service) is None


async def test_the_log_has_it_too(service: Service) -> None:
    """In the closing line of /readyz, empty before the first event."""
    with capture_log() as configure:
        before = configure()
        await silence(service)
        await service.deliver(user_created(Person()))
        after = configure()
        await silence(service)

    assert before.lines[0].count("last_event_seconds= ") == 1
    assert after.fields["last_event_seconds"] in {"0", "1"}
