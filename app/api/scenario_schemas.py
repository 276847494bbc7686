"""The bodies about scenarios, as app.api.schemas has the others."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from app.api.members import Description, ModelName, SystemPrompt, Title
from app.api.response_model import ResponseModel
from app.chat.models import NewScenario


class ScenarioRequest(BaseModel):
    """The whole of a scenario.

    `description`, `system_prompt` and `model` are empty where they are missing or null. `name` must be there, a missing
    `is_active` is true, and neither may be null.
    The chat backend sends `system_prompt` and `model` (Backboard's `model_name`) with each turn of a session.
    """

    name: Title
    description: Description | None = None
    system_prompt: SystemPrompt | None = None
    model: ModelName | None = None
    is_active: Annotated[bool, Field(strict=True)] = True

    def new_scenario(self) -> NewScenario:
        return NewScenario(self.name, self.description, self.system_prompt, self.model, self.is_active)


class ScenarioAnswer(ResponseModel):
    """What conversations begin from; one that is not active can be named by no new session."""

    slug: str
    name: str
    description: str | None
    system_prompt: str | None
    model: str | None
    is_active: bool
    created_at: datetime
    updated_at: datetime


class ScenarioPage(ResponseModel):
    """In the order of their slugs; `next` is the cursor of the following page, null on the last."""

    scenarios: list[ScenarioAnswer]
    next: str | None
