"""The web process: the port, and what uvicorn is told."""

import socket

import uvicorn

from app import logs
from app.database import LOOKUP_CONNECTIONS
from app.protocol import Protocol
from app.serving import run
from app.settings import Settings

# Heroku's router keeps idle connections for 90 s; ours must not be the side that hangs up first.
KEEP_ALIVE_SECONDS = 95
# The last request may come a second after SIGTERM and takes at most 12; all must be over after 20 s.
SHUTDOWN_SECONDS = 15


class CannotListen(Exception):
    """The port is not to be had; the text says why."""


def serve(settings: Settings) -> None:
    """Run the web process until SIGTERM or Ctrl-C; CannotListen if it may not have the port."""
    logs.configure(settings.log_format, settings.log_level)
    if not settings.service_tokens:
        logs.say("ensure_user_closed", reason="SERVICE_TOKENS is not set")
    per_process = LOOKUP_CONNECTIONS + settings.provisioning_concurrency
    logs.say("starting", port=settings.port, processes=settings.web_concurrency, connections_each=per_process)
    config = _uvicorn_config(settings)
    with _listening(settings.port) as listening:
        run(config, listening)


def _listening(port: int) -> socket.socket:
    """A socket bound to the port, on every address: a dyno is reached from outside."""
    listening = socket.socket()
    # Connections of the process before us may still be closing.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("0.0.0.0", port))  # noqa: S104  # As said above.
    except OSError as error:
        listening.close()
        raise CannotListen(f"PORT={port} cannot be used: {error.strerror}.") from error
    listening.set_inheritable(True)
    return listening


def _uvicorn_config(settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        "app.server:app_from_environment",
        factory=True,
        workers=settings.web_concurrency,
        loop="uvloop",
        http=Protocol,
        ws="none",
        backlog=128,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
