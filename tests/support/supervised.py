"""A server whose workers start only while a file stands there: `python -m tests.support.supervised PORT FILE`."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app import log
from app.http.server import serve


def build() -> Starlette:
    """What each worker builds for itself."""
    assert Path(sys.argv[2]).exists(), "the worker cannot start"

    async def pid(_: Request) -> PlainTextResponse:
        return PlainTextResponse(str(os.getpid()))

    return Starlette(routes=[Route("/healthz", pid)], lifespan=_lifespan)


@asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncIterator[dict[str, asyncio.Event]]:
    yield {"stopping": asyncio.Event()}


if __name__ == "__main__":
    log.configure("logfmt", "info")
    serve("tests.support.supervised:build", port=int(sys.argv[1]), processes=2)
