"""The pages that only look: overview, deliveries, doubts, processes, the tables, actions, and the static files."""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import quote, urlencode

from starlette.responses import FileResponse, Response

from app.errors import InvalidRequest, NotFound
from app.ops.models import DeliveryFilter
from app.ops.page.chart import draw
from app.ops.page.cursors import read_cursor, read_delivery_cursor, write_cursor
from app.ops.page.filters import AGES, read_filters
from app.ops.page.rendering import FOLDER, HEADERS, Pages, answer_json, redirect
from app.ops.page.requests import OpsRequest
from app.ops.reads import PAGE_SIZE, OpsReads
from app.ops.tables import COVERED, Tables
from app.ops.words import reason_of

STATIC_FILES = frozenset(("ops.css", "ops.js", "icon.svg"))
# Of a delivery's page.
MOST_LIKE_IT = 6
_MOST_DIGITS = 18


class Views:
    """Handlers; the name of each is its event in the log, behind `ops_`."""

    def __init__(self, pages: Pages, reads: OpsReads, tables: Tables) -> None:
        self._pages = pages
        self._reads = reads
        self._tables = tables

    def _show(self, request: OpsRequest, template: str, **context: object) -> Response:
        return self._pages.render(request.scope, template, {"operator": request.operator, **context})

    async def overview(self, request: OpsRequest) -> Response:
        """Whether all is well, who waits, what to do; the figures behind it."""
        overview = await self._reads.overview()
        if request.wants_json:
            return answer_json(overview)
        return self._show(request, "overview.html", overview=overview, chart=draw(overview.chart, datetime.now(UTC)))

    async def deliveries(self, request: OpsRequest) -> Response:
        """The history, newest first."""
        query = request.query()
        filters, cursor = read_filters(query), read_delivery_cursor(query.get("cursor"))
        page = await self._reads.deliveries(filters.wanted, cursor)
        if request.wants_json:
            following = page.following and write_cursor([page.following.last_at.isoformat(), page.following.svix_id])
            return answer_json({"deliveries": page.deliveries, "next_cursor": following})
        types = await self._reads.types()
        return self._show(
            request, "deliveries.html", page=page, filters=filters, types=types, ages=AGES, is_first=cursor is None
        )

    async def delivery(self, request: OpsRequest) -> Response:
        """One delivery: all fields, the meaning and the remedy of its reason, others like it."""
        delivery = await self._reads.delivery(request.path("svix_id"))
        if delivery is None:
            raise NotFound("path")
        known = reason_of(delivery.reason) if delivery.reason or delivery.outcome is None else None
        if request.wants_json:
            words = {"meaning": known.meaning, "remedy": known.remedy} if known else {}
            return answer_json({"delivery": delivery, **words})
        like_it = DeliveryFilter(reason=delivery.reason) if delivery.reason else DeliveryFilter(type=delivery.type)
        found = await self._reads.deliveries(like_it, page_size=MOST_LIKE_IT)
        others = [one for one in found.deliveries if one.svix_id != delivery.svix_id][: MOST_LIKE_IT - 1]
        return self._show(request, "delivery.html", one=delivery, known=known, others=others)

    async def doubts(self, request: OpsRequest) -> Response:
        """What may have been left unfinished, the oldest first."""
        doubts = await self._reads.doubts(page_size=PAGE_SIZE * 4)
        if request.wants_json:
            return answer_json({"doubts": doubts})
        return self._show(request, "doubts.html", doubts=doubts)

    async def processes(self, request: OpsRequest) -> Response:
        """The processes, those first that are alive."""
        processes = await self._reads.processes()
        if request.wants_json:
            return answer_json({"processes": processes})
        return self._show(request, "processes.html", processes=processes)

    async def actions(self, request: OpsRequest) -> Response:
        """Who did what."""
        word = request.query().get("before")
        if word is not None and not (word.isascii() and word.isdigit() and len(word) <= _MOST_DIGITS):
            raise InvalidRequest("cursor")
        found = await self._reads.actions(before_id=None if word is None else int(word), page_size=PAGE_SIZE + 1)
        actions, following = found[:PAGE_SIZE], found[PAGE_SIZE - 1].id if len(found) > PAGE_SIZE else None
        if request.wants_json:
            return answer_json({"actions": actions, "next_before": following})
        return self._show(request, "actions.html", actions=actions, following=following, is_first=word is None)

    async def data(self, request: OpsRequest) -> Response:
        """The rows of one table."""
        query = request.query()
        word = query.get("q")
        if word is not None and "@" in word:
            # Addresses are kept by routers and browsers, so none may have an e-mail in it.
            raise InvalidRequest("ops_filter")
        return await self._rows(request, word, query)

    async def find_rows(self, request: OpsRequest) -> Response:
        """The rows of one table with an id; what may be an e-mail comes into no address."""
        word = (await request.form()).get("q")
        if word is not None and "@" in word:
            return await self._rows(request, word, {})
        more = f"?{urlencode({'q': word})}" if word else ""
        return redirect(f"/ops/data/{quote(request.path('table'))}{more}")

    async def _rows(self, request: OpsRequest, word: str | None, query: Mapping[str, str]) -> Response:
        table = request.path("table")
        found = await self._tables.rows(table, word, read_cursor(query.get("cursor")))
        following = found.following and write_cursor(found.following)
        if request.wants_json:
            return answer_json({"table": table, "rows": found.rows, "next_cursor": following})
        more = {name: value for name, value in (("q", query.get("q")), ("cursor", following)) if value}
        return self._show(
            request,
            "data.html",
            found=found,
            names=self._tables.names,
            word=word,
            covered=COVERED,
            next_link=f"/ops/data/{table}?{urlencode(more)}" if following else None,
            is_first="cursor" not in query,
        )

    async def static(self, request: OpsRequest) -> Response:
        """The style sheet, the script and the icon."""
        name = request.path("name")
        if name not in STATIC_FILES:
            raise NotFound("path")
        return FileResponse(FOLDER / "static" / name, HTTPStatus.OK, HEADERS)

    async def missing(self, request: OpsRequest) -> Response:
        """Every other path below /ops; one with a slash behind it is typed easily."""
        if not request.path("path"):
            return redirect("/ops")
        raise NotFound("path")
