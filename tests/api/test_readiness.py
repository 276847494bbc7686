"""`/readyz` when the database has another schema than this code expects."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from app.application import create_app
from tests.support.service import in_process, settings_of

pytestmark = pytest.mark.anyio

SCHEMAS = {
    "newer": ("INSERT INTO clerk_backboard_migrations (version) VALUES ('9999')", "schema_differs"),
    "older": ("DELETE FROM clerk_backboard_migrations WHERE version > '0002'", "schema_differs"),
    "missing": ("ALTER TABLE clerk_backboard_migrations RENAME TO elsewhere", "schema_missing"),
}  # fmt: skip


@pytest.fixture
def another_schema(database: psycopg.Connection[Any], request: pytest.FixtureRequest) -> Iterator[None]:
    """Change the schema version in the database until the test ends."""
    versions = database.execute("SELECT version FROM clerk_backboard_migrations").fetchall()
    database.execute(request.param.encode())
    yield
    database.execute("ALTER TABLE IF EXISTS elsewhere RENAME TO clerk_backboard_migrations")
    database.execute("DELETE FROM clerk_backboard_migrations")
    for row in versions:
        database.execute("INSERT INTO clerk_backboard_migrations (version) VALUES (%(version)s)", row)


@pytest.mark.parametrize(
    ("another_schema", "status"), SCHEMAS.values(), ids=SCHEMAS.keys(), indirect=["another_schema"]
)
@pytest.mark.usefixtures("another_schema")
async def test_a_database_with_another_schema_is_not_ready(variables: dict[str, str], status: str) -> None:
    """`schema_missing` asks for `migrate`, `schema_differs` for a deployment of the code that matches."""
    async with in_process(create_app(settings_of(variables))) as service:
        answer = await service.client.get("/readyz")

    assert (answer.status_code, answer.json()["status"]) == (503, status)
    assert answer.headers["retry-after"] == "5"
