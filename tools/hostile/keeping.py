"""An application that keeps every connection: `python -m tools.hostile.keeping PORT` on our connections.

The service ends a connection on which it has not read a body, and so would hide what a body does as the next request.
With `--uvicorn` the connections are uvicorn's own, whose faults the campaign has to find.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from app import log
from app.http.middleware import RequestMiddleware
from app.http.server import serve
from app.metrics import Metrics

# An answer to a smuggled request comes so much later than the one before it, when the connection is another client's.
ANSWER_SECONDS = 0.03
SLOW_SECONDS = 0.05


async def keep(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, except at /noread, and answer with the port of the connection's other end."""
    await asyncio.sleep(SLOW_SECONDS if scope["path"] == "/slow" else ANSWER_SECONDS)
    while scope["path"] != "/noread":
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message["more_body"]:
            break
    upstream = (b"x-upstream", b"%d" % scope["client"][1])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2"), upstream]})
    await send({"type": "http.response.body", "body": b"ok"})


def build() -> Starlette:
    """The application with the middleware and the lifespan that the server expects."""
    app = Starlette(routes=[Mount("/", keep)], lifespan=_lifespan)
    app.middleware_stack = RequestMiddleware(app.router, Metrics({}))
    return app


@asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncIterator[dict[str, asyncio.Event]]:
    yield {"stopping": asyncio.Event()}


if __name__ == "__main__":
    log.configure("logfmt", "error")
    if "--uvicorn" in sys.argv:
        uvicorn.run(build, factory=True, port=int(sys.argv[1]), http="httptools", ws="none", log_config=None)
    else:
        serve("tools.hostile.keeping:build", port=int(sys.argv[1]), processes=1)
