"""The operations page in a real browser: the walks of an operator, over a service in a process of its own.

One browser and one server for all of them. Passed over where this machine has no Chromium.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]  # It has no types.
from playwright.async_api import Browser, Dialog, Page, Request

from tests.ops.page.conftest import TOKEN, TOKENS, VIEW_TOKEN
from tests.ops.rows import deliver, fail, sign_up
from tools.processes import ServerProcess
from tools.sandbox.backboard import Sandbox
from tools.screenshots.browser import find_chromium, running

pytestmark = pytest.mark.anyio

EMAIL = "canary.17@example.com"
SCREENS = ("", "/users/user_b", "/deliveries", "/deliveries/msg_2", "/doubts", "/processes", "/data/users", "/actions")
# Those with a colour that no other screen has.
COLOURED = ("", "/users/user_b", "/deliveries")


@dataclass
class Walk:
    """A page of an operator, and what went wrong on it; every address that was asked for."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    async def open(self, path: str = "") -> None:
        await self.page.goto(f"{self.url}/ops{path}")

    async def text(self) -> str:
        return " ".join((await self.page.inner_text("main")).split())


async def begin(
    browser: Browser, url: str, *, token: str = TOKEN, scheme: Literal["light", "dark"] = "light", **how: Any
) -> Walk:
    credentials: Any = {"username": "on call", "password": token}
    context = await browser.new_context(http_credentials=credentials, color_scheme=scheme, **how)
    walk = Walk(await context.new_page(), url)

    def note_request(request: Request) -> None:
        walk.addresses.append(request.url)

    async def accept(dialog: Dialog) -> None:
        await dialog.accept()

    walk.page.on("console", lambda message: walk.complaints.append(message.text))
    walk.page.on("pageerror", lambda error: walk.complaints.append(str(error)))
    walk.page.on("request", note_request)
    walk.page.on("dialog", accept)
    return walk


@pytest.fixture
def seeded(database: Any, backboard: Sandbox) -> None:
    """A user in order, one that is half-made, and a failure in the chart."""
    sign_up(database, "user_a", email=EMAIL, assistant_id=backboard.make_assistant("clerk:user_a").id)
    deliver(database, "msg_1", minutes=9, outcome="created", tries=3)
    fail(database, "msg_2", "backboard_error", clerk_id="user_b", minutes=8)
    database.execute(b"INSERT INTO provisioning_attempts (clerk_id) VALUES ('user_b')")
    database.execute(
        b"INSERT INTO outcome_counts SELECT to_timestamp(floor(extract('epoch' FROM last_at) / 300) * 300), 'webhook',"
        b" coalesce(outcome, ''), coalesce(reason, ''), status, 1, 0.1 FROM deliveries"
    )


@pytest.mark.usefixtures("seeded")
async def test_an_operator_finds_reads_repairs_and_erases(
    start_server: Callable[..., ServerProcess], database: Any
) -> None:
    """With no violation of the policy, no error of the console, no e-mail in an address or a line of the log."""
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt install chromium)")
    server = start_server(**TOKENS, OPS_RETENTION_DAYS="14")
    async with running(chromium) as browser:
        walk = await begin(browser, server.url)
        await find_by_email_and_read(walk)
        await ask_once(walk)
        await repair(walk)
        await follow_a_bar(walk)
        await erase(walk, database)
        await refresh(walk, database)
        without_script = await begin(browser, server.url, token=VIEW_TOKEN, java_script_enabled=False)
        await look_without_script(without_script)
        await check_access(browser, server.url)

    assert walk.complaints == without_script.complaints == []
    addresses = unquote(" ".join(walk.addresses + without_script.addresses)).lower()
    assert EMAIL not in addresses
    assert "canary" not in addresses + server.log_text().lower()
    assert "clerk_id=user_b" in server.log_text()


async def find_by_email_and_read(walk: Walk) -> None:
    await walk.open()
    assert re.match(r"! Since .* Backboard answered with an error\. 1 person waits\.", await walk.text())
    await walk.page.get_by_label("Find by e-mail or any id").fill(EMAIL)
    await walk.page.get_by_role("button", name="Find").click()
    await walk.page.wait_for_url("**/ops/users/user_a")

    timeline = await walk.page.locator("#timeline").inner_text()

    assert "Has an assistant and can chat." in await walk.text()
    assert "user.created: created (200), 3 tries" in timeline
    assert "the row was made" in timeline


async def ask_once(walk: Walk) -> None:
    """Neither a refresh nor a reload asks Backboard again, and the answer stays."""
    await walk.page.get_by_role("link", name="Ask Backboard now").click()
    await walk.page.get_by_text("Backboard has the assistant of the row.").wait_for()
    await walk.page.evaluate("refresh()")

    assert walk.page.url.endswith("/ops/users/user_a")
    assert "Backboard has the assistant of the row." in await walk.text()


async def repair(walk: Walk) -> None:
    await walk.open()
    await walk.page.get_by_role("link", name="backboard_error").first.click()
    await walk.page.get_by_role("link", name="user_b").click()
    assert "Half-made: create sent" in await walk.text()
    await walk.page.get_by_role("button", name="Repair").click()
    await walk.page.get_by_role("status").wait_for()

    assert "repair: No row, or no assistant at Backboard: repaired." in await walk.text()
    assert "Has an assistant and can chat" in await walk.text()


async def follow_a_bar(walk: Walk) -> None:
    await walk.open()
    await walk.page.locator('svg.chart a[aria-label*="failed"]').last.click()
    await walk.page.wait_for_url("**/ops/deliveries?since=*")

    assert "healed after backboard_error" in await walk.page.inner_text("#rows")


async def erase(walk: Walk, database: Any) -> None:
    await walk.open("/users/user_a")
    await walk.page.get_by_text("Erase everything of this user").click()
    await walk.page.get_by_label("Type the id to go on").fill("user_a")
    await walk.page.get_by_role("button", name="Erase").click()
    await walk.page.wait_for_url("**/ops/actions")

    assert "Nothing is left but the tombstone." in await walk.text()
    await walk.open("/users/user_a")
    assert "nothing brings them back" in await walk.text()
    assert not database.execute(b"SELECT id FROM users WHERE clerk_id = 'user_a'").fetchall()


async def refresh(walk: Walk, database: Any) -> None:
    """What changes is put into the page without a click; here the page is asked to do it at once."""
    await walk.open("/deliveries")
    deliver(database, "msg_new", clerk_id="user_c")
    await walk.page.evaluate("refresh()")

    assert "msg_new" in await walk.page.inner_text("#rows")


async def look_without_script(walk: Walk) -> None:
    await walk.open("/users/user_b")
    await walk.page.get_by_label("Find by e-mail or any id").fill("msg_1")
    await walk.page.get_by_role("button", name="Find").click()

    assert "Nothing found" in await walk.text()
    assert await walk.page.get_by_role("button", name="Repair").count() == 0


async def check_access(browser: Browser, url: str) -> None:
    """The rules of axe on every screen, its contrast in the dark as well, and nothing wider than a phone."""
    phone: Any = {"width": 390, "height": 800}
    runs: list[tuple[Literal["light", "dark"], Sequence[str], dict[str, list[str]]]]
    runs = [("light", SCREENS, {}), ("dark", COLOURED, {"runOnly": ["color-contrast"]})]
    for scheme, screens, rules in runs:
        walk = await begin(browser, url, scheme=scheme, bypass_csp=True, viewport=phone)
        for screen in screens:
            await walk.open(screen)
            results = await Axe().run(walk.page, options={"resultTypes": ["violations"], **rules})
            width = await walk.page.evaluate("document.documentElement.scrollWidth")

            assert results.response["passes"], screen
            assert results.violations_count == 0, f"{screen} {scheme}: {results.generate_report()}"
            assert width <= phone["width"], screen
        await walk.page.context.close()
