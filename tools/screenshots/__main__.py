"""`./dev screenshots [FOLDER]`: the pictures of the README, into docs/images or a folder that is named."""

import asyncio
import secrets
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser

from app.postgres.migrations import migrate
from tools.processes import ROOT, SERVE, ServerProcess, start_http
from tools.sandbox.backboard import LOCAL_KEY, Sandbox
from tools.sandbox.postgres import Postgres
from tools.screenshots.browser import find_chromium, running
from tools.screenshots.seed import HALF_MADE, WELL, fill

READY_SECONDS = 40.0
DESKTOP, PHONE = (1100, 700), (390, 780)


@dataclass(frozen=True, slots=True)
class Picture:
    name: str
    path: str
    scheme: Literal["light", "dark"] = "light"
    size: tuple[int, int] = DESKTOP


OF_README = (
    Picture("ops-overview", "/ops"),
    Picture("ops-overview-dark", "/ops", "dark"),
    Picture("ops-user", f"/ops/users/{WELL}"),
    Picture("ops-deliveries", "/ops/deliveries"),
)
# To look at while a template or the style sheet changes.
ALL = (
    *OF_README,
    Picture("phone-overview", "/ops", "light", PHONE),
    Picture("phone-user", f"/ops/users/{HALF_MADE}", "dark", PHONE),
    Picture("phone-deliveries", "/ops/deliveries", "dark", PHONE),
    Picture("user-dark", f"/ops/users/{HALF_MADE}", "dark"),
    Picture("doubts", "/ops/doubts"),
    Picture("processes", "/ops/processes"),
    Picture("data", "/ops/data/sessions"),
    Picture("actions", "/ops/actions", "dark"),
    Picture("error", "/ops/users/nonsense"),
)


def main(words: list[str]) -> int:
    chromium = find_chromium()
    if chromium is None:
        sys.exit("./dev screenshots needs Chromium (Debian: apt install chromium).")
    folder, pictures = (Path(words[0]), ALL) if words else (ROOT / "docs" / "images", OF_README)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as home,
        Postgres(Path(home) / "postgres", durable=False) as postgres,
        Sandbox(keys={LOCAL_KEY}) as backboard,
    ):
        url, token = postgres.url("app"), secrets.token_hex(16)
        asyncio.run(migrate(url))
        fill(url)
        with _service(url, backboard.url, token) as server:
            server.wait_until_ready(seconds=READY_SECONDS)
            asyncio.run(_take_all(chromium, server.url, token, pictures, folder))
    return 0


async def _take_all(chromium: Path, url: str, token: str, pictures: Iterable[Picture], folder: Path) -> None:
    async with running(chromium) as browser:
        for picture in pictures:
            await _take(browser, url, token, picture, folder)


def _service(url: str, backboard_url: str, token: str) -> ServerProcess:
    variables = {
        "DATABASE_URL": url,
        "BACKBOARD_API_KEY": LOCAL_KEY,
        "BACKBOARD_API_URL": backboard_url,
        "CLERK_WEBHOOK_SIGNING_SECRET": "whsec_" + secrets.token_hex(16),
        "OPS_TOKENS": token,
        "RELEASE": "v42",
        "DYNO": "web.1",
        "LOG_LEVEL": "error",
    }
    return start_http([*SERVE], variables)


async def _take(browser: Browser, url: str, token: str, picture: Picture, folder: Path) -> None:
    width, height = picture.size
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=picture.scheme,
        http_credentials={"username": "on-call", "password": token},
    )
    page = await context.new_page()
    await page.goto(url + picture.path)
    file = folder / f"{picture.name}.png"
    await page.screenshot(path=file, full_page=picture.size == PHONE)
    print(f"{file}  {file.stat().st_size // 1024} KB")
    await context.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
