"""The reference: the same uvicorn, which reads a body and answers a constant."""

import os

import uvicorn
from starlette.types import Receive, Scope, Send

_BODY = (
    b'{"id":"7a1f6a5e-98b4-4f7c-a3a0-0f4b6f3f7f10","clerk_id":"user_bench00000001",'
    b'"assistant_id":"0d6d2f3c-6f0e-4a53-9d3a-6fbb7f5d1c55","email":"someone.1@example.com",'
    b'"name":"Some One 1","created_at":"2026-11-25T12:00:00.000000+00:00"}'
)
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))]


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})


if __name__ == "__main__":
    uvicorn.run(
        application,
        port=int(os.environ["PORT"]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )
