"""`doctor`: is everything there that the service needs? A line for each thing, then what to do; it changes nothing."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

from app import log
from app.backboard.client import Backboard, build_backboard_client
from app.clerk.api import ClerkApi, ClerkKeyRejected, ClerkUnavailable, build_clerk_client
from app.clerk.session_tokens import build_session_tokens
from app.commands.doctor.database import Finding, Findings, look_at_database
from app.deadline import Deadline
from app.errors import AssistantUnavailable, Rejected, Unavailable
from app.reasons import meaning_of
from app.settings import ConfigurationError, Settings, load

MISCONFIGURED = 78


@click.command()
def doctor() -> None:
    """Say what is wrong with this environment and what to do; change nothing, and exit with 0 only if all is well."""
    with Path(os.devnull).open("w") as nowhere:  # What is found is said once, in plain words.
        log.configure("logfmt", "error", stream=nowhere)
        code = asyncio.run(examine(click.echo))
    sys.exit(code)


async def examine(say: Callable[[str], object]) -> int:
    """Look at everything, say what is found, and return the exit code."""
    findings: list[Finding] = []
    async for finding in _everything():
        say(f"{finding.state:7}  {finding.what:14}  {finding.said}")
        findings.append(finding)
    todos = list(dict.fromkeys(finding.todo for finding in findings if finding.todo))
    say("")
    say("What to do next:" if todos else "All is well; there is nothing to do.")
    for number, todo in enumerate(todos, 1):
        say(f"  {number}. {todo}")
    bad = {finding.what for finding in findings if finding.state != "ok"}
    if "configuration" in bad:
        return MISCONFIGURED
    return 1 if bad else 0


async def _everything() -> Findings:
    settings, problems = _settings()
    for problem in problems:
        yield Finding("wrong", "configuration", problem, "Correct the variables above; .env.example explains each.")
    if settings is not None:
        yield Finding("ok", "configuration", "every variable can be used")
    async for finding in look_at_database(settings):
        yield finding
    if settings is None:
        for what in ("Backboard", "Clerk"):
            yield Finding("unknown", what, "not asked: first the configuration")
        return
    yield await _backboard(settings)
    yield await _clerk(settings)
    yield await _callers(settings)


def _settings() -> tuple[Settings | None, list[str]]:
    try:
        return load(Settings), []
    except ConfigurationError as error:
        return None, error.problems


async def _backboard(settings: Settings) -> Finding:
    key = settings.backboard_api_key.get_secret_value()
    client = build_backboard_client(url=settings.backboard_api_url, api_key=key, connections=1)
    backboard = Backboard(client, name_prefix=settings.assistant_name_prefix, system_prompt=None)
    try:
        await backboard.check_key(Deadline())
    except Rejected as error:
        if error.refuses_key:
            said = f"it refuses BACKBOARD_API_KEY ({error.answer_status})"
            return Finding("wrong", "Backboard", said, "Compare BACKBOARD_API_KEY with Backboard, and the account.")
        said = f"BACKBOARD_API_URL is not its API ({error.answer_status})"
        return Finding("wrong", "Backboard", said, "Take BACKBOARD_API_URL out, unless you mean a stand-in.")
    except AssistantUnavailable as error:
        todo = (
            "Check BACKBOARD_API_URL and whether Backboard is up; until then existing users are served, new ones wait."
        )
        return Finding("wrong", "Backboard", _plain(error), todo)
    finally:
        await client.aclose()
    return Finding("ok", "Backboard", "it takes BACKBOARD_API_KEY")


async def _clerk(settings: Settings) -> Finding:
    if settings.clerk_secret_key is None:
        return Finding("ok", "Clerk", "CLERK_SECRET_KEY is not set, so profiles, backfill and reconcile --all are off")
    key = settings.clerk_secret_key.get_secret_value()
    client = build_clerk_client(url=settings.clerk_api_url, secret_key=key, connections=1)
    try:
        users = await ClerkApi(client).count_users()
    except ClerkKeyRejected as error:
        todo = "Compare CLERK_SECRET_KEY with Clerk's dashboard, and CLERK_API_URL with .env.example."
        return Finding("wrong", "Clerk", _plain(error), todo)
    except ClerkUnavailable as error:
        todo = "Check CLERK_API_URL and whether Clerk is up; until then ensure-user makes no new users."
        return Finding("wrong", "Clerk", _plain(error), todo)
    finally:
        await client.aclose()
    return Finding("ok", "Clerk", f"it takes CLERK_SECRET_KEY, and counts {users} users")


async def _callers(settings: Settings) -> Finding:
    """Who may call ensure-user."""
    sessions = build_session_tokens(settings)
    if sessions is None:
        if settings.service_tokens:
            return Finding("ok", "ensure-user", f"open to {len(settings.service_tokens)} service token(s)")
        return Finding("ok", "ensure-user", "closed to everybody: SERVICE_TOKENS is not set")
    try:
        await sessions.check_keys(Deadline())
    except Unavailable as error:
        todo = "CLERK_ISSUER is the Frontend API URL in Clerk's dashboard under API keys; compare."
        return Finding("wrong", "ensure-user", f"no keys of Clerk's session tokens: {_plain(error)}", todo)
    finally:
        await sessions.close()
    anywhere = "" if settings.clerk_authorized_parties else " from any origin: CLERK_AUTHORIZED_PARTIES is not set"
    return Finding("ok", "ensure-user", f"open to service tokens and to session tokens{anywhere}")


def _plain(error: Unavailable) -> str:
    return f"no usable answer: {meaning_of(error)}"
