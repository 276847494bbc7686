"""The age of the last event in /readyz: a webhook that is no longer delivered causes no error, only silence."""

import pytest

from tests.support.factories import OTHER_SECRET, Person, event, user_created
from tests.support.log_capture import capture_log
from tests.support.service import Service

pytestmark = pytest.mark.anyio


async def age(service: Service) -> object:
    answer = await service.client.get("/readyz")
    assert answer.status_code == 200
    return answer.json()["last_event_seconds"]


async def test_before_the_first_event_its_age_is_null(service: Service) -> None:
    """Not 0: a process that has just started knows nothing."""
    assert await age(service) is None


@pytest.mark.parametrize("secret", [None, OTHER_SECRET], ids=["the first secret", "the second secret"])
async def test_an_event_resets_the_age(service: Service, secret: bytes | None) -> None:
    await service.deliver(user_created(Person()), **({} if secret is None else {"secret": secret}))

    assert await age(service) in (0, 1)


@pytest.mark.parametrize(
    ("body", "status"),
    [(event("organization.created", {"id": "org_1"}), 200), (event("user.created", {"id": "canary"}), 422)],
    ids=["ignored", "unusable"],
)
async def test_any_event_with_a_valid_signature_counts(service: Service, body: bytes, status: int) -> None:
    """Also one that is ignored or unusable: Clerk has reached us."""
    assert (await service.deliver(body)).status_code == status
    assert await age(service) in (0, 1)


async def test_a_forged_event_does_not_count(service: Service) -> None:
    """Otherwise a stranger could hide that Clerk no longer delivers."""
    assert (await service.deliver(user_created(Person()), secret=b"canary-signing-secret-9999")).status_code == 400
    assert await age(service) is None


async def test_readyz_logs_the_age(service: Service) -> None:
    """Empty before the first event."""
    with capture_log() as configure:
        before = configure()
        await age(service)
        await service.deliver(user_created(Person()))
        after = configure()
        await age(service)

    assert before.lines[0].count("last_event_seconds= ") == 1
    assert after.fields["last_event_seconds"] in {"0", "1"}
