"""`serve`: the web process."""

import click

from app import log
from app.commands.runtime import load_settings
from app.http import server
from app.postgres.connection_budget import ConnectionBudget
from app.settings import Settings


@click.command()
def serve() -> None:
    """Run the web process on PORT."""
    settings = load_settings(Settings)
    log.configure(settings.log_format, settings.log_level)
    for advice in settings.advice():
        log.warning("configuration", hint=advice)
    if not settings.service_tokens:
        log.info("ensure_user_closed", reason="SERVICE_TOKENS is not set")
    if not settings.has_ops_page:
        log.info("ops_closed", reason="OPS_TOKENS and OPS_VIEW_TOKENS are not set")
    log.info(
        "starting",
        port=settings.port,
        processes=settings.web_concurrency,
        connections_each=ConnectionBudget.of(settings).each,
    )
    try:
        server.serve("app.application:app_from_environment", port=settings.port, processes=settings.web_concurrency)
    except server.CannotListen as error:
        raise click.ClickException(str(error)) from None
