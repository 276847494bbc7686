"""The page of one user: the search that leads to it, and its buttons."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from starlette.responses import Response

from app import log
from app.deadline import Deadline
from app.errors import InvalidRequest, NotFound, ServiceError
from app.ops.models import Action, ActionResult, Subject
from app.ops.page.rendering import Pages, answer_json, redirect
from app.ops.page.requests import OpsRequest
from app.ops.reads import OpsReads, record_action
from app.postgres.pool import Pool
from app.postgres.queries import Queries
from app.reasons import REASONS

# How long a button may take before the page is shown without its outcome; the work goes on.
PATIENCE_SECONDS = 8.0
CLOSE_SECONDS = 5.0
LONGEST_RESULT = 500


class UserCommands(Protocol):
    """What can be done about one user; each says what became of it, or raises ServiceError."""

    async def sync(self, clerk_id: str) -> ActionResult:
        """Read the user from Clerk and ensure them."""

    async def repair(self, clerk_id: str) -> ActionResult:
        """Reconcile this one user."""

    async def erase(self, clerk_id: str) -> ActionResult:
        """Delete everything of the user."""

    async def ask_backboard(self, clerk_id: str) -> str:
        """What Backboard says of the user's assistant now; changes nothing."""

    @property
    def can_ask_clerk(self) -> bool:
        """Whether CLERK_SECRET_KEY is set."""


Command = Callable[[str], Awaitable[ActionResult]]


@dataclass(frozen=True, slots=True)
class ActionLog:
    """Writes into actions, over a pool that may write; the page's own reads only."""

    queries: Queries
    pool: Pool

    async def begin(self, who: str, action: str, clerk_id: str) -> int:
        """Remember what is going to be done, so that a kill does not hide it; returns its number."""
        statement = record_action(self.queries, who, action, clerk_id)
        (rows,) = await self.pool.execute(statement, deadline=Deadline())
        number: int = rows[0][0]
        return number

    async def end(self, number: int, clerk_id: str, result: ActionResult) -> None:
        """Remember what became of it, and mark the failures that it has healed."""
        values = {
            "id": number,
            "clerk_id": None if result.is_erased else clerk_id,
            "result": result.text[:LONGEST_RESULT],
        }
        heal, update = self.queries.resolve_deliveries, self.queries.update_action
        await self.pool.execute((heal, {}), (update, values), deadline=Deadline())


class UserViews:
    """Handlers; the name of each is its event in the log, behind `ops_`."""

    def __init__(self, pages: Pages, reads: OpsReads, commands: UserCommands, actions: ActionLog) -> None:
        self._pages = pages
        self._reads = reads
        self._commands = commands
        self._actions = actions
        self._tasks: set[asyncio.Task[ActionResult]] = set()

    async def close(self) -> None:
        """Let what is under way end; a kill does no harm, and leaves it under way in actions."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)

    async def find(self, request: OpsRequest) -> Response:
        """Search by e-mail or any id; one hit leads to it."""
        word = (await request.form()).get("q", "")
        found = await self._reads.find(word) if word else []
        if request.wants_json:
            return answer_json({"found": found})
        links = list(dict.fromkeys(_link(subject) for subject in found))
        if len(links) == 1 or (links and len({one.clerk_id for one in found}) == 1 and found[0].kind == "user"):
            return redirect(links[0])
        context = {"operator": request.operator, "word": word, "found": found, "link": _link}
        return self._pages.render(request.scope, "find.html", context)

    async def user(self, request: OpsRequest) -> Response:
        """Whether a user can chat, and what happened to them."""
        clerk_id, query = request.clerk_id(), request.query()
        page = await self._reads.user_page(clerk_id)
        if page is None:
            raise NotFound("unknown_user")
        asked = await self._ask_backboard(clerk_id) if query.get("ask") == "backboard" else None
        if request.wants_json:
            return answer_json({"user": page, "backboard": asked})
        context = {
            "operator": request.operator,
            "page": page,
            "backboard": asked,
            "done": await self._done(query.get("done"), clerk_id),
            "can_ask_clerk": self._commands.can_ask_clerk,
        }
        return self._pages.render(request.scope, "user.html", context)

    async def sync(self, request: OpsRequest) -> Response:
        """Read the user from Clerk and ensure them."""
        await request.drain()
        return await self._act(request, "sync", self._commands.sync)

    async def repair(self, request: OpsRequest) -> Response:
        """Reconcile this one user."""
        await request.drain()
        return await self._act(request, "repair", self._commands.repair)

    async def erase(self, request: OpsRequest) -> Response:
        """Delete everything of the user, if their id was typed."""
        if (await request.form()).get("confirm") != request.clerk_id():
            raise InvalidRequest("ops_confirm")
        return await self._act(request, "erase", self._commands.erase)

    async def _act(self, request: OpsRequest, action: str, command: Command) -> Response:
        clerk_id = request.clerk_id()
        number = await self._actions.begin(request.operator.name, action, clerk_id)
        task = asyncio.create_task(self._run(number, clerk_id, command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
        result = task.result() if task.done() else None
        if request.wants_json:
            return answer_json({"action": await self._reads.action(number)})
        if result is not None and result.is_erased:
            # Nothing says any more that the action was about this user.
            return redirect("/ops/actions")
        return redirect(f"/ops/users/{clerk_id}?done={number}")

    async def _run(self, number: int, clerk_id: str, command: Command) -> ActionResult:
        try:
            result = await command(clerk_id)
        except ServiceError as error:
            known = REASONS[error.reason]
            result = ActionResult(f"failed: {known.meaning} {known.remedy}".strip())
        except Exception as error:  # noqa: BLE001  # What the operator did is remembered, and the log has the bug.
            log.exception(error)
            result = ActionResult("failed: a bug; the log has the line")
        await self._actions.end(number, clerk_id, result)
        return result

    async def _ask_backboard(self, clerk_id: str) -> str:
        try:
            return await self._commands.ask_backboard(clerk_id)
        except ServiceError as error:
            return f"Backboard gave no answer: {REASONS[error.reason].meaning}"

    async def _done(self, word: str | None, clerk_id: str) -> Action | None:
        """The action that the page comes from, if it was about this user."""
        if word is None or not (word.isascii() and word.isdigit() and len(word) <= 18):  # noqa: PLR2004  # Of bigint.
            return None
        action = await self._reads.action(int(word))
        return action if action is not None and action.clerk_id == clerk_id else None


def _link(subject: Subject) -> str:
    """Where a hit leads: to its user, where there is one."""
    if subject.kind == "delivery" or subject.clerk_id is None:
        return f"/ops/deliveries/{quote(subject.id)}"
    return f"/ops/users/{subject.clerk_id}"
