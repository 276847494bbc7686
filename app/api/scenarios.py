"""Scenarios, what a conversation may begin from: read by all who are let in, written with a service token only."""

from dataclasses import dataclass
from http import HTTPStatus

from starlette.routing import Route

from app.api import pagination
from app.api.auth import AuthenticatedRequest, Authenticator
from app.api.body import read_body
from app.api.openapi import Operation, parameter
from app.api.scenario_schemas import ScenarioAnswer, ScenarioPage, ScenarioRequest
from app.chat.scenarios import ScenarioService
from app.http.responses import answer_json, answer_nothing

DEFAULT_LIMIT, MAX_LIMIT = 50, 100

_LIMIT = parameter("query", "limit", pagination.LIMIT | {"maximum": MAX_LIMIT})
_CURSOR = parameter("query", "cursor", pagination.SCENARIO_CURSOR)
_INCLUDE_INACTIVE = parameter("query", "include_inactive", {"type": "boolean"}, description="Retired ones too.")


@dataclass(frozen=True, kw_only=True)
class Scenarios:
    """The handlers; the name of each is its event in the log."""

    scenarios: ScenarioService

    def routes(self, authenticator: Authenticator) -> list[Route]:
        return [
            authenticator.route("/scenarios", GET=self.list_scenarios),
            authenticator.route(
                "/scenarios/{slug}", GET=self.get_scenario, PUT=self.put_scenario, DELETE=self.delete_scenario
            ),
        ]

    @Operation(answers={200: ScenarioPage}, parameters=[_LIMIT, _CURSOR, _INCLUDE_INACTIVE])
    async def list_scenarios(self, request: AuthenticatedRequest) -> None:
        """The scenarios that a new session may name."""
        query = pagination.Query(request.scope)
        limit = query.limit(default=DEFAULT_LIMIT, maximum=MAX_LIMIT)
        found = await self.scenarios.list(
            after=query.scenario_cursor(),
            # One more than asked for shows whether there is another page.
            page_size=limit + 1,
            include_inactive=query.flag("include_inactive"),
            deadline=request.deadline,
        )
        page = found[:limit]
        more = page[-1].slug if len(found) > limit else None
        content = {"scenarios": [one._asdict() for one in page], "next": more}
        await answer_json(request.send, HTTPStatus.OK, content)

    @Operation(answers={200: ScenarioAnswer}, errors={404: ["scenario_missing"]})
    async def get_scenario(self, request: AuthenticatedRequest) -> None:
        """One scenario, also one that is retired: sessions may have begun from it."""
        scenario = await self.scenarios.get(request.slug(), request.deadline)
        await answer_json(request.send, HTTPStatus.OK, scenario._asdict())

    @Operation(
        body=ScenarioRequest, answers={200: ScenarioAnswer, 201: ScenarioAnswer}, errors={403: ["service_token"]}
    )
    async def put_scenario(self, request: AuthenticatedRequest) -> None:
        """Make a scenario, or replace the whole of it.

        201 for a new one, 200 for one that was there. Sessions that name it have the new one from then on.
        """
        request.require_service_token()
        slug, body = request.slug(), await read_body(request, ScenarioRequest)
        scenario, is_new = await self.scenarios.put(slug, body.new_scenario(), request.deadline)
        status = HTTPStatus.CREATED if is_new else HTTPStatus.OK
        await answer_json(request.send, status, scenario._asdict())

    @Operation(
        answers={204: None}, errors={403: ["service_token"], 404: ["scenario_missing"], 409: ["scenario_in_use"]}
    )
    async def delete_scenario(self, request: AuthenticatedRequest) -> None:
        """Delete a scenario that no session names.

        One that sessions name is retired instead, by a PUT with `is_active` false.
        """
        request.require_service_token()
        await self.scenarios.delete(request.slug(), request.deadline)
        await answer_nothing(request.send)
