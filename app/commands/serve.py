"""`serve`: the web process."""

import click

from app import log
from app.commands.runtime import load_settings
from app.http import server
from app.settings import Settings


@click.command()
def serve() -> None:
    """Run the web process on PORT."""
    settings = load_settings(Settings)
    log.configure(settings.log_format, settings.log_level)
    if not settings.service_tokens:
        log.info("ensure_user_closed", reason="SERVICE_TOKENS is not set")
    per_process = settings.query_connections + settings.provisioning_concurrency
    log.info("starting", port=settings.port, processes=settings.web_concurrency, connections_each=per_process)
    try:
        server.serve("app.application:app_from_environment", port=settings.port, processes=settings.web_concurrency)
    except server.CannotListen as error:
        raise click.ClickException(str(error)) from None
