"""LOG_LEVEL=debug: a line for each statement, with its name and never with a value."""

import pytest

from tests.support.canaries import found_in
from tests.support.factories import Person, user_created
from tests.support.log_capture import capture_log
from tests.support.service import Service

pytestmark = pytest.mark.anyio


async def test_each_statement_has_a_line_without_values(service: Service) -> None:
    """On the kept connection and in a transaction; no line where the level is higher."""
    with capture_log() as configure:
        quiet = configure(level="info")
        await service.deliver(user_created(Person()))
        written = configure(level="debug")
        await service.deliver(user_created(Person()))

    lines = [line for line in written.lines if "event=statement" in line]
    names = {line.partition("name=")[2].split()[0] for line in lines}
    assert names >= {"find_users", "record_attempt", "BEGIN", "lock_user", "insert_user", "COMMIT"}
    assert all("ms=" in line and "rows=" in line for line in lines)
    assert not found_in(written.text.encode())
    assert "user_0" not in "".join(lines)
    assert "event=statement" not in quiet.text
