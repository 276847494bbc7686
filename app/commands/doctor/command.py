"""`doctor`: checks everything that the service needs, prints what is wrong and what to do, and changes nothing."""

import asyncio
import os
import sys
from pathlib import Path

import click

from app import log
from app.backboard.calls import build_backboard_client
from app.backboard.client import Backboard
from app.clerk.api import ClerkApi, ClerkKeyRejected, ClerkUnavailable, build_clerk_client
from app.clerk.session_tokens import build_session_tokens
from app.commands.doctor.assistants import check_assistants
from app.commands.doctor.database import check_database
from app.commands.doctor.report import Report
from app.commands.runtime import Echo, uses_proxy
from app.deadline import Deadline
from app.errors import AssistantUnavailable, Rejected, Unavailable
from app.http.client import certificate_problem, goes_through_proxy, is_refused_by_proxy, reaches_proxy
from app.postgres.pool import Pool
from app.reasons import meaning_of
from app.settings import ConfigurationError, Settings, load


@click.command()
def doctor() -> None:
    """Say what is wrong with this environment and what to do; change nothing, and exit with 0 only if all is well."""
    with Path(os.devnull).open("w") as devnull:  # The findings say it in plain words.
        log.configure("logfmt", "error", stream=devnull)
        code = asyncio.run(examine(click.echo))
    sys.exit(code)


async def examine(echo: Echo) -> int:
    """Check and print everything; returns the exit code."""
    report = Report(echo)
    settings = _check_settings(report)
    await check_database(report, settings)
    if settings is None:
        report.skip("Backboard", "Clerk", because_of="configuration")
    else:
        await _check_outside(report, settings)
    return report.finish()


async def _check_outside(report: Report, settings: Settings) -> None:
    """Ask Backboard and Clerk, except for what a proxy that is not there stands before."""
    outside = {
        "Backboard": (_check_backboard, settings.backboard_api_url),
        "Clerk": (_check_clerk, settings.clerk_api_url if settings.clerk_secret_key else None),
        "ensure-user": (_check_callers, settings.clerk_issuer),
    }
    proxied = {what for what, (_, url) in outside.items() if url and goes_through_proxy(url)}
    if proxied and not await reaches_proxy():
        text = "nothing answers at the address of HTTPS_PROXY (or ALL_PROXY)"
        report.wrong("proxy", text, "Correct HTTPS_PROXY, or take it out; NO_PROXY names hosts that need none.")
    for what, (check, _) in outside.items():
        if what in proxied and report.is_bad("proxy"):
            report.skip(what, because_of="proxy")
        else:
            await check(report, settings)


def _check_settings(report: Report) -> Settings | None:
    try:
        settings = load(Settings)
        has_proxy = uses_proxy(settings)
    except ConfigurationError as error:
        for problem in error.problems:
            report.wrong("configuration", problem, "Correct the variables above; .env.example explains each.")
        return None
    report.ok("configuration", "every variable can be used")
    for advice in settings.advice():
        report.ok("configuration", advice)
    if has_proxy:
        report.ok("proxy", "Backboard and Clerk are called through HTTPS_PROXY or ALL_PROXY, except for NO_PROXY")
    return settings


async def _check_backboard(report: Report, settings: Settings) -> None:
    key = settings.backboard_api_key.get_secret_value()
    client = build_backboard_client(url=settings.backboard_api_url, api_key=key, connections=1)
    async with client:
        backboard = Backboard(client, name_prefix=settings.assistant_name_prefix, system_prompt=None)
        try:
            await backboard.check_key(Deadline())
        except Rejected as error:
            if error.refuses_key:
                text = f"it refuses BACKBOARD_API_KEY ({error.answer_status})"
                todo = "Compare BACKBOARD_API_KEY with Backboard, and the account."
            else:
                text = f"BACKBOARD_API_URL is not its API ({error.answer_status})"
                todo = "Take BACKBOARD_API_URL out, unless you mean a stand-in."
            report.wrong("Backboard", text, todo)
        except AssistantUnavailable as error:
            todo = (
                "Check BACKBOARD_API_URL and whether Backboard is up;"
                " until then existing users are served, new ones wait."
            )
            _report_no_answer(report, "Backboard", error, todo)
        else:
            report.ok("Backboard", "it takes BACKBOARD_API_KEY")
            await _compare_assistants(report, settings, backboard)


async def _compare_assistants(report: Report, settings: Settings, backboard: Backboard) -> None:
    if report.is_bad("database", "schema"):
        report.skip("assistants", because_of="database")
        return
    pool = Pool(settings.database_url.get_secret_value(), name="doctor", size=1)
    await pool.open()
    try:
        await check_assistants(report, pool, backboard)
    finally:
        await pool.close()


async def _check_clerk(report: Report, settings: Settings) -> None:
    if settings.clerk_secret_key is None:
        report.ok("Clerk", "CLERK_SECRET_KEY is not set, so profiles, backfill and reconcile --all are off")
        return
    key = settings.clerk_secret_key.get_secret_value()
    async with build_clerk_client(url=settings.clerk_api_url, secret_key=key, connections=1) as client:
        try:
            users = await ClerkApi(client).count_users()
        except ClerkUnavailable as error:
            if isinstance(error, ClerkKeyRejected):
                todo = "Compare CLERK_SECRET_KEY with Clerk's dashboard, and CLERK_API_URL with .env.example."
            else:
                todo = "Check CLERK_API_URL and whether Clerk is up; until then ensure-user makes no new users."
            _report_no_answer(report, "Clerk", error, todo)
        else:
            report.ok("Clerk", f"it takes CLERK_SECRET_KEY, and counts {users} users")


async def _check_callers(report: Report, settings: Settings) -> None:
    """Check which tokens ensure-user accepts."""
    sessions = build_session_tokens(settings)
    if sessions is None:
        tokens = len(settings.service_tokens)
        report.ok(
            "ensure-user", f"open to {tokens} service token(s)" if tokens else "closed: SERVICE_TOKENS is not set"
        )
        return
    try:
        await sessions.check_keys(Deadline())
    except Unavailable as error:
        todo = "CLERK_ISSUER is the Frontend API URL in Clerk's dashboard under API keys; compare."
        _report_no_answer(report, "ensure-user", error, todo, before="no keys of Clerk's session tokens: ")
    else:
        origins = "" if settings.clerk_authorized_parties else " from any origin: CLERK_AUTHORIZED_PARTIES is not set"
        report.ok("ensure-user", f"open to service tokens and to session tokens{origins}")
    finally:
        await sessions.close()


def _report_no_answer(report: Report, what: str, error: Unavailable, todo: str, *, before: str = "") -> None:
    if is_refused_by_proxy(error):
        todo = "See at the proxy of HTTPS_PROXY which hosts it lets through, and whether it asks for a password."
        report.wrong(what, f"{before}the proxy refuses the connection", todo)
        return
    problem = certificate_problem(error)
    if problem is None:
        report.wrong(what, f"{before}no usable answer: {meaning_of(error)}", todo)
        return
    todo = (
        "If a private CA or a proxy that opens TLS is meant to be there, name the file of its certificate in"
        " SSL_CERT_FILE; else find out what stands in between."
    )
    report.wrong(what, f"{before}its certificate is not trusted: {problem}; nothing was sent", todo)
