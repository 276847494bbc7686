"""Chromium of this machine, driven by Playwright; the package's own browsers are not downloaded."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> Path | None:
    """Debian: apt install chromium."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return None if found is None else Path(found)


@asynccontextmanager
async def running(chromium: Path) -> AsyncIterator[Browser]:
    """A browser without a window. Chromium's sandbox refuses root, which CI is."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"] if os.getuid() == 0 else [], chromium_sandbox=False
        )
        yield browser
        await browser.close()
