"""What `./dev run` says once it serves: the row of the first sign-up, what runs, and what to do next."""

import shlex

import psycopg
from psycopg.rows import dict_row

from app.settings import Settings
from tools.sandbox.backboard import LOCAL_KEY


def print_row(url: str, clerk_id: str) -> None:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        row = connection.execute("SELECT * FROM users WHERE clerk_id = %s", [clerk_id]).fetchone()
    if row is None:
        return
    print("\nThe row in users:")
    for column, value in row.items():
        print(f"  {column:17} {'' if value is None else value}")


def print_banner(settings: Settings, parts: list[str]) -> None:
    token = settings.service_tokens[0].get_secret_value()
    port = settings.port
    print(f"\nServing on http://127.0.0.1:{port}  (Ctrl-C stops everything)")
    for part in parts:
        print(f"  {part}")
    if settings.ops_tokens:
        print(f"\nThe operations page: http://127.0.0.1:{port}/ops")
        print(f"  any user name, password {settings.ops_tokens[0].get_secret_value()}")
    print("\nA chat backend, in the terminal where it starts or in its .env:")
    for line in _chat_backend(settings):
        print(f"  {line}")
    print(
        "\nNext, in a second terminal:\n"
        "  a conversation, in the terminal or in the browser: docs/quickstart.md\n"
        "  ./dev trigger user.created\n"
        f"  curl -sS http://127.0.0.1:{port}/ensure-user -H 'Authorization: Bearer {token}' \\\n"
        "       -H 'Content-Type: application/json' -d '{\"clerk_id\": \"user_2abc\"}'\n",
        flush=True,
    )


def _chat_backend(settings: Settings) -> list[str]:
    """The lines of the environment with which a chat backend finds the service and Backboard's sandbox."""
    variables = {
        "SERVICE_URL": f"http://127.0.0.1:{settings.port}",
        "SERVICE_TOKEN": settings.service_tokens[0].get_secret_value(),
    }
    if settings.backboard_api_key.get_secret_value() != LOCAL_KEY:
        return [*_exports(variables), "# and the BACKBOARD_API_KEY that you have set for the service"]
    return _exports(variables | {"BACKBOARD_API_URL": settings.backboard_api_url, "BACKBOARD_API_KEY": LOCAL_KEY})


def _exports(variables: dict[str, str]) -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
