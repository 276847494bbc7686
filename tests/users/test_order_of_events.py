"""Events of one version and one user, in every order: the later one in Clerk's own time holds."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import psycopg
import pytest

from app.clerk.users import Profile
from app.components import build_components, open_components
from app.deadline import Deadline
from tests.support.factories import Person, event, user_created, user_data, user_updated
from tests.support.service import Service, settings_of

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
VERSION = 1_750_000_000_000
FIRST, SECOND, THIRD = (1_750_000_000_100 + 50 * number for number in range(3))


def row_of(database: Database, person: Person) -> dict[str, Any]:
    (row,) = database.execute("SELECT * FROM users WHERE clerk_id = %s", [person.clerk_id]).fetchall()
    return row


def named(person: Person, name: str | None, timestamp: Any, event_type: str = "user.updated") -> bytes:
    """An event of one version with a name of its own; without a time where that is None."""
    data = user_data(person, first_name=name, last_name=None, updated_at=VERSION)
    if event_type == "session.created":
        data = {"id": "sess_1", "user_id": person.clerk_id, "user": data}
    return event(event_type, data, timestamp=timestamp)


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
async def test_of_events_of_one_version_the_latest_holds_in_every_order(
    service: Service, database: Database, order: tuple[int, ...]
) -> None:
    """A change of two members in one millisecond is two events; in any order the row ends the same."""
    person = Person()
    events = [
        named(person, "First", FIRST, "user.created"),
        named(person, "Second", SECOND),
        named(person, "Third", THIRD, "session.created"),
    ]

    for number in order:
        assert (await service.deliver(events[number])).status_code == 200

    assert row_of(database, person)["name"] == "Third"


async def test_the_earlier_of_two_events_of_one_version_is_stale(service: Service, database: Database) -> None:
    person = Person()
    await service.deliver(named(person, "Second", SECOND))

    answer = await service.deliver(named(person, "First", FIRST))

    assert answer.json() == {"outcome": "stale"}
    assert row_of(database, person)["name"] == "Second"


@pytest.mark.parametrize(
    ("first", "second"),
    [(None, FIRST), (FIRST, None), (None, None), (FIRST, FIRST), ("soon", FIRST), (FIRST, 9_999_999_999_999)],
    ids=str,
)
async def test_without_two_times_to_compare_the_one_that_comes_last_holds(
    service: Service, database: Database, first: Any, second: Any
) -> None:
    """As before: a change in one millisecond is not lost."""
    person = Person()
    await service.deliver(named(person, "One", first))

    answer = await service.deliver(named(person, "Other", second))

    assert (answer.json(), row_of(database, person)["name"]) == ({"outcome": "updated"}, "Other")


async def test_the_version_comes_before_the_time_of_the_event(service: Service, database: Database) -> None:
    """A newer version with an earlier time wins, and its own time counts from then on."""
    person = Person()
    await service.deliver(named(person, "Old", THIRD))
    newer = user_data(person, first_name="New", last_name=None, updated_at=VERSION + 1)

    answers = [
        (await service.deliver(event("user.updated", newer, timestamp=FIRST))).json(),
        (await service.deliver(named(person, "Old", THIRD))).json(),
        (await service.deliver(event("user.updated", newer | {"first_name": "Newer"}, timestamp=SECOND))).json(),
    ]

    assert [answer["outcome"] for answer in answers] == ["updated", "stale", "updated"]
    assert row_of(database, person)["name"] == "Newer"


async def test_a_profile_that_was_asked_of_clerk_does_not_open_the_row_to_older_events(
    service: Service, database: Database
) -> None:
    """An event without a time keeps the time that is stored."""
    person = Person()
    await service.deliver(named(person, "Second", SECOND))
    await service.deliver(named(person, "Asked", None))

    assert (await service.deliver(named(person, "First", FIRST))).json() == {"outcome": "stale"}
    assert row_of(database, person)["name"] == "Asked"


SIGN_INS = {
    "the same version, in order": (VERSION, 1, VERSION, 2),
    "the same version, the other way": (VERSION, 2, VERSION, 1),
    "a newer version with an earlier sign-in": (VERSION, 2, VERSION + 1, 1),
    "a newer version without one": (VERSION, 2, VERSION + 1, None),
    "one after none": (VERSION, None, VERSION, 2),
}


@pytest.mark.parametrize("events", SIGN_INS.values(), ids=SIGN_INS)
async def test_the_last_sign_in_never_goes_back(
    service: Service, database: Database, events: tuple[int, int | None, int, int | None]
) -> None:
    person = Person()
    first_version, first, second_version, second = events
    for deliver, version, sign_in in ((user_created, first_version, first), (user_updated, second_version, second)):
        moment = None if sign_in is None else VERSION + sign_in
        await service.deliver(deliver(person, updated_at=version, last_sign_in_at=moment))

    row = row_of(database, person)
    assert row["last_sign_in_at"] == datetime.fromtimestamp((VERSION + 2) / 1000, UTC)
    assert row["clerk_updated_at"] == datetime.fromtimestamp(second_version / 1000, UTC)


async def test_an_earlier_sign_in_of_the_same_version_changes_nothing(service: Service) -> None:
    """So it is no update."""
    person = Person()
    await service.deliver(user_created(person, updated_at=VERSION, last_sign_in_at=VERSION + 2))

    answer = await service.deliver(user_updated(person, updated_at=VERSION, last_sign_in_at=VERSION + 1))

    assert answer.json() == {"outcome": "exists"}


RIVALS = {
    "a newer version": {"updated_at": MOMENT + timedelta(seconds=1)},
    "another name of the same version": {"name": "Other"},
    "another picture of the same version": {"image_url": "https://img.example.com/canary.png"},
    "no e-mail any more": {"email": None},
    "a first sign-in": {"last_sign_in_at": MOMENT},
    "without a time of its event": {"name": "Other", "event_at": None},
}


@pytest.mark.parametrize("changed", RIVALS.values(), ids=RIVALS)
async def test_one_event_at_several_processes_at_once_is_an_update_at_one_of_them(
    variables: dict[str, str], changed: dict[str, Any]
) -> None:
    """All have read the row as it was before."""
    old = Profile(Person().clerk_id, "canary@example.com", "One", updated_at=MOMENT, event_at=MOMENT)
    processes = [build_components(settings_of(variables)) for _ in range(2)]
    async with open_components(processes[0]), open_components(processes[1]):
        first, second = (process.provisioning for process in processes)
        await first.ensure(old, Deadline())
        state, new = await first.get_state(old.clerk_id), old._replace(**changed)

        rivals = [provisioning.ensure(new, Deadline(), state=state) for provisioning in (first, second, first)]
        outcomes = [one.outcome for one in await asyncio.gather(*rivals)]

    assert sorted(outcomes) == ["exists", "exists", "updated"]
