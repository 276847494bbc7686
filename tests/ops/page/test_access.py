"""Who may open the operations page, over which connection, and from where a button may be pressed."""

import base64
from typing import Any

import pytest

from app.http.requests import index_headers
from app.ops.page.access import clean_name, is_private
from app.ops.page.rendering import HEADERS
from tests.ops.page.conftest import ON_PAGE, TOKEN, VIEW_TOKEN
from tests.support import asgi, factories

pytestmark = pytest.mark.anyio

USER = "/ops/users/user_a"


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


async def test_without_a_token_there_is_no_page(app: Any) -> None:
    """Neither is there an answer that tells it from any other path."""
    answers = [
        await asgi.ask(app, asgi.HOST, method=method, path=path)
        for method, path in (("GET", "/ops"), ("POST", "/ops/find"), ("GET", "/ops/static/ops.css"), ("GET", "/none"))
    ]

    assert [(answer.status, answer.header(b"www-authenticate")) for answer in answers] == [(404, None)] * 4


# Method, path, headers more: each is refused, by the guard, the router, a handler or the middleware.
REFUSED: list[tuple[str, str, dict[str, str], int]] = [
    ("GET", "/ops", {"Authorization": "Basic ===="}, 401),
    ("GET", "/ops", {"X-Forwarded-Proto": "http"}, 403),
    ("POST", f"{USER}/sync", {"Sec-Fetch-Site": "cross-site"}, 403),
    ("GET", "/ops/nonsense", {}, 404),
    ("GET", "/ops/users/user_unknown", {}, 404),
    ("POST", "/ops", {}, 405),
    ("DELETE", "/ops/deliveries", {}, 405),
    ("POST", "/ops/nonsense", {}, 405),
    ("POST", "/ops/find", {"Content-Type": "text/plain"}, 415),
    ("GET", "/ops/deliveries?status=none", {}, 422),
    ("GET", "/ops", {"X-Long": "x" * 40_000}, 431),
]


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
async def test_every_refusal_has_the_headers_of_the_page(opened: Any, accept: str) -> None:
    for method, path, headers, status in REFUSED:
        auth = {"Authorization": basic(f"on call:{TOKEN}")}
        answer = await opened.client.request(method, path, headers=auth | {"Accept": accept} | headers)

        assert answer.status_code == status, path
        for name, value in HEADERS.items():
            assert answer.headers.get_list(name) == [value], (path, name)


async def test_no_other_path_has_the_headers_of_the_page(opened: Any) -> None:
    for path in ("/", "/opsx", "/users/ops/", "/sessions"):
        answer = await opened.client.get(path)

        assert answer.status_code >= 400
        assert "content-security-policy" not in answer.headers


PASSWORDS = [
    (basic(f"on call:{TOKEN}"), 200),
    (basic(f":{TOKEN}"), 200),
    (basic(f"on call:{VIEW_TOKEN}"), 200),
    (f"Bearer {TOKEN}", 200),
    (f"bearer  {VIEW_TOKEN} ", 200),
    (basic("on call:"), 401),
    (basic(TOKEN), 401),
    (basic(f"{TOKEN}:"), 401),
    (basic(f"on call:{TOKEN}x"), 401),
    (basic(f"on call:{TOKEN[:-1]}"), 401),
    (basic(f"on call:{factories.TOKEN}"), 401),
    (f"Bearer {factories.TOKEN}", 401),
    (f"Basic {TOKEN}", 401),
    ("Basic ====", 401),
    ("Basic", 401),
    ("Bearer", 401),
    (f"Digest {TOKEN}", 401),
    ("", 401),
]


async def test_a_password_is_one_of_the_tokens(opened: Any) -> None:
    for credentials, status in PASSWORDS:
        answer = await opened.client.get("/ops/actions", headers={"Authorization": credentials} if credentials else {})

        assert answer.status_code == status, credentials
        assert answer.headers.get("www-authenticate", "").startswith("Basic realm=") == (status == 401)


async def test_two_passwords_count_as_none(opened: Any) -> None:
    headers = [("Authorization", basic(f"on call:{TOKEN}")), ("Authorization", f"Bearer {TOKEN}")]

    assert (await opened.client.get("/ops", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    ("client", "headers", "private"),
    [
        ("127.0.0.1", [], True),
        ("::1", [], True),
        ("::ffff:127.0.0.1", [], True),
        ("127.8.8.8", [], True),
        ("10.0.0.7", [], False),
        ("203.0.113.9", [], False),
        ("", [], False),
        ("10.0.0.7", [("x-forwarded-proto", "https")], True),
        ("10.0.0.7", [("x-forwarded-proto", "HTTPS")], True),
        ("10.0.0.7", [("x-forwarded-proto", "http, https")], True),
        ("10.0.0.7", [("x-forwarded-proto", "https, http")], False),
        ("10.0.0.7", [("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")], False),
        ("10.0.0.7", [("x-forwarded-proto", "wss")], False),
        ("10.0.0.7", [("x-forwarded-proto", "")], False),
        ("127.0.0.1", [("x-forwarded-proto", "http")], False),
        # A proxy on this machine that does not say how it was asked.
        ("127.0.0.1", [("x-forwarded-for", "203.0.113.9")], False),
        ("127.0.0.1", [("forwarded", "for=203.0.113.9")], False),
        ("127.0.0.1", [("via", "1.1 example")], False),
    ],
)
def test_the_password_never_travels_over_an_open_network(client: str, headers: list[Any], private: object) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    scope: dict[str, Any] = {"client": (client, 5000), "scheme": "http", "headers": raw}
    index_headers(scope)

    assert is_private(scope) is private


async def test_an_open_network_is_refused_before_the_password_is_looked_at(opened: Any) -> None:
    answer = await opened.client.get("/ops", auth=("on call", TOKEN), headers={"X-Forwarded-Proto": "http"})

    assert answer.status_code == 403
    assert "https" in answer.text
    assert "www-authenticate" not in answer.headers


PRESSES: list[tuple[str, dict[str, str], int]] = [
    (TOKEN, ON_PAGE, 303),
    (TOKEN, {"Origin": "http://test"}, 303),
    (TOKEN, {"Origin": "https://TEST"}, 303),
    (TOKEN, {}, 403),
    (TOKEN, {"Sec-Fetch-Site": "cross-site", "Origin": "http://test"}, 403),
    (TOKEN, {"Sec-Fetch-Site": "same-site"}, 403),
    (TOKEN, {"Sec-Fetch-Site": "none"}, 403),
    (TOKEN, {"Origin": "https://evil.example"}, 403),
    (TOKEN, {"Origin": "https://test.evil.example"}, 403),
    (TOKEN, {"Origin": "null"}, 403),
    (TOKEN, {"Referer": "http://test/ops"}, 403),
    (VIEW_TOKEN, ON_PAGE, 403),
    ("wrong-password-of-24-sig", ON_PAGE, 401),
]


async def test_a_button_counts_only_from_the_page_itself(post: Any, database: Any) -> None:
    for token, headers, status in PRESSES:
        answer = await post(f"{USER}/sync", token=token, headers=headers)

        assert answer.status_code == status, headers

    pressed = database.execute(b"SELECT count(*) AS n FROM actions").fetchone()
    assert pressed["n"] == sum(status == 303 for *_, status in PRESSES)


async def test_a_button_takes_no_get(get: Any, database: Any) -> None:
    for path in ("sync", "repair", "erase"):
        assert (await get(f"{USER}/{path}")).status_code == 404

    assert not database.execute(b"SELECT id FROM actions").fetchall()


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("on call", "on call"),
        ("", "unnamed"),
        ("  two   blanks ", "two blanks"),
        ("line\r\nevent=forged", "line event=forged"),
        ("\x1b[31mred", "[31mred"),
        ("\u202ereversed", "reversed"),
        ("nul\0", "nul"),
        ("half \ud83d", "half \ufffd"),
        ("x" * 5000, "x" * 100),
    ],
)
def test_a_name_fits_on_a_line(typed: str, name: str) -> None:
    assert clean_name(typed) == name
