"""The environment, read here and nowhere else; all problems are reported at once, by variable name."""

import re
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    SecretBytes,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings

from app.settings.database_address import demand_tls, is_local, unset_empty_variables
from app.settings.database_options import check_options
from app.settings.database_url import LAST_PORT, DatabaseUrl, read_database_url
from app.settings.environment import QUOTES, Environment, UnusableEnvFile
from app.settings.keys import SHORTEST_KEY_BYTES, read_public_key, read_signing_key
from app.settings.sentry import read_dsn
from app.settings.web_address import is_web_address

# What platforms call the deployment that runs: Heroku, Render, Railway, Fly.
RELEASE_VARIABLES = (
    "RELEASE",
    "HEROKU_RELEASE_VERSION",
    "RENDER_GIT_COMMIT",
    "RAILWAY_GIT_COMMIT_SHA",
    "FLY_MACHINE_VERSION",
)
DATABASE_VARIABLES = ("DATABASE_URL", "POSTGRES_URL", "PRISMA_DATABASE_URL")

Text = TypeVar("Text", str, SecretStr)


class ConfigurationError(Exception):
    """The environment cannot be used; `problems` has a sentence for each variable, without its value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _matching(pattern: str, message: str) -> AfterValidator:
    """Accept values that match as a whole. pydantic's own message would quote the pattern."""

    def check(value: Text) -> Text:
        if not re.fullmatch(pattern, value.get_secret_value() if isinstance(value, SecretStr) else value):
            raise ValueError(message)
        return value

    return AfterValidator(check)


def _split(text: str) -> list[str]:
    """Split at commas; blanks around an entry and empty entries are dropped."""
    return [part for piece in text.split(",") if (part := piece.strip())]


def usable_database_url(url: SecretStr) -> DatabaseUrl:
    """The address as libpq takes it, with TLS; ValueError goes on from the name of what holds it."""
    unset_empty_variables()
    address = read_database_url(url.get_secret_value())
    encrypted = demand_tls(address.get_secret_value())
    check_options(encrypted)
    return address.changed_to(encrypted)


def _dsn(dsn: SecretStr) -> SecretStr:
    read_dsn(dsn.get_secret_value())
    return dsn


def _not_empty(secrets: list[SecretBytes]) -> list[SecretBytes]:
    if not secrets:
        raise ValueError("holds no secret")
    return secrets


def _api_url(text: str) -> str:
    if "\\" in text:
        raise ValueError("has a backslash: an address has slashes only")
    if not is_web_address(text):
        raise ValueError("is not an address: look at the host, the port and for stray characters")
    url = urlsplit(text)
    host = url.hostname or ""
    if not host or not (url.scheme == "https" or (url.scheme == "http" and is_local(host))):
        raise ValueError("must be an https:// address (http:// only for this machine)")
    # An empty one too: httpx would put it in the middle of every address.
    if "@" in url.netloc or "?" in text or "#" in text or not text.isascii():
        raise ValueError("must not carry a user, a query (?) or a fragment (#)")
    return text.rstrip("/")


def _clerk_api_url(text: str) -> str:
    """Clerk's own SDKs take an address without the version, which they add."""
    url = _api_url(text)
    return url if urlsplit(url).path else f"{url}/v1"


_HeaderValue = Annotated[SecretStr, _matching(r"[!-~]+", "must be printable ASCII without blanks")]
_Token = Annotated[
    SecretStr, _matching(r"[!-~]{16,}", "each needs at least 16 printable ASCII characters without blanks")
]
_ClerkKey = Annotated[SecretStr, _matching(r"sk_(test|live)_[!-~]+", "must begin with sk_test_ or sk_live_")]
_Origin = Annotated[
    str,
    _matching(
        r"[a-z][a-z0-9+.-]*://[A-Za-z0-9._:\[\]-]+",
        "each must be an origin such as https://app.example.com, without a path or a slash behind it",
    ),
]
_NamePrefix = Annotated[str, _matching(r"[!-~]{1,100}", "must be 1 to 100 printable ASCII characters without blanks")]
NAME_PREFIX = "clerk:"
# Backboard echoes it, perhaps twice and escaped, in a response that is read up to 256 KiB.
_SystemPrompt = Annotated[
    str, _matching("[^\ud800-\udfff]{1,20000}", "must be text in UTF-8 of no more than 20000 characters")
]
_InstanceId = Annotated[
    str, _matching(r"ins_[A-Za-z0-9]+", "must be ins_ and letters and digits, as Clerk's dashboard shows it")
]
_ApiUrl = Annotated[str, AfterValidator(_api_url)]
_SigningSecrets = Annotated[
    list[Annotated[SecretBytes, BeforeValidator(read_signing_key)]], BeforeValidator(_split), AfterValidator(_not_empty)
]


class DatabaseSettings(Environment):
    """For the commands that use only the database."""

    database_url: Annotated[SecretStr, AfterValidator(usable_database_url)] = Field(
        validation_alias=AliasChoices(*DATABASE_VARIABLES)
    )


class PsqlSettings(DatabaseSettings):
    """For `psql`."""

    # The folder of Postgres' programs, where they are not on PATH.
    postgres_bin: str | None = None


class SenderSettings(Environment):
    """For `trigger`, which sends events to a server on this machine."""

    clerk_webhook_signing_secret: _SigningSecrets
    port: int = Field(default=8000, ge=1, le=LAST_PORT)


class Settings(DatabaseSettings, SenderSettings):
    """All variables; .env.example explains each."""

    backboard_api_key: _HeaderValue
    backboard_api_url: _ApiUrl = "https://app.backboard.io/api"
    service_tokens: Annotated[list[_Token], BeforeValidator(_split)] = Field(default=[])
    # Heroku sets the number of the pull request in a review app, Render "true" in a preview.
    preview: str | None = Field(default=None, validation_alias=AliasChoices("HEROKU_PR_NUMBER", "IS_PULL_REQUEST"))
    assistant_name_prefix: _NamePrefix = Field(default=NAME_PREFIX, validate_default=True)
    assistant_system_prompt: _SystemPrompt | None = None
    clerk_secret_key: _ClerkKey | None = None
    clerk_api_url: Annotated[str, AfterValidator(_clerk_api_url)] = "https://api.clerk.com/v1"
    clerk_issuer: _ApiUrl | None = None
    clerk_authorized_parties: Annotated[list[_Origin], BeforeValidator(_split)] = Field(default=[])
    clerk_jwt_key: Annotated[str, AfterValidator(read_public_key)] | None = None
    clerk_instance_id: _InstanceId | None = None
    user_reads_per_minute: int = Field(default=1200, ge=0, le=1_000_000)
    user_writes_per_minute: int = Field(default=600, ge=0, le=1_000_000)
    user_sessions_per_hour: int = Field(default=60, ge=0, le=1_000_000)
    user_messages_per_minute: int = Field(default=120, ge=0, le=1_000_000)
    user_searches_per_minute: int = Field(default=120, ge=0, le=1_000_000)
    provisioning_concurrency: int = Field(default=5, ge=1, le=100)
    query_connections: int = Field(default=3, ge=3, le=50)
    web_concurrency: int = Field(default=1, ge=1, le=64)
    ops_tokens: Annotated[list[_Token], BeforeValidator(_split)] = Field(default=[])
    ops_view_tokens: Annotated[list[_Token], BeforeValidator(_split)] = Field(default=[])
    ops_retention_days: int = Field(default=14, ge=0, le=3650)
    release: str = Field(default="unset", validation_alias=AliasChoices(*RELEASE_VARIABLES))
    # Heroku's name of the machine.
    dyno: str | None = None
    sentry_dsn: Annotated[SecretStr, AfterValidator(_dsn)] | None = None
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)] = "info"
    log_format: Literal["logfmt", "json", "console"] = "logfmt"

    @field_validator("assistant_name_prefix")
    @classmethod
    def _apart_from_production(cls, prefix: str, info: ValidationInfo) -> str:
        """A preview often has production's Backboard key; under one prefix each adopts the other's assistants."""
        if prefix == NAME_PREFIX and (info.data.get("preview") or "0").lower() not in {"0", "false"}:
            raise ValueError(
                f"must be another one than {NAME_PREFIX} in a preview (HEROKU_PR_NUMBER or IS_PULL_REQUEST is set):"
                " it may share production's Backboard key, so set a prefix of its own"
            )
        return prefix

    @property
    def has_ops_page(self) -> bool:
        """Whether a password opens the operations page."""
        return bool(self.ops_tokens or self.ops_view_tokens)

    def advice(self) -> list[str]:
        """Sentences about values that are taken although there is something to say about them."""
        found = []
        if isinstance(self.database_url, DatabaseUrl) and self.database_url.left_out:
            names = ", ".join(self.database_url.left_out)
            found.append(f"what means nothing here is left out of the database's address: {names}")
        shortest = min(len(secret.get_secret_value()) for secret in self.clerk_webhook_signing_secret)
        if shortest < SHORTEST_KEY_BYTES:
            found.append(
                f"CLERK_WEBHOOK_SIGNING_SECRET holds {shortest} bytes, and {SHORTEST_KEY_BYTES} are recommended:"
                " if it is from documentation, copy yours from Clerk's dashboard"
            )
        found += [
            f"{name.upper()} has a quote at its beginning, which counts as part of the token"
            for name in ("service_tokens", "ops_tokens", "ops_view_tokens")
            if any(token.get_secret_value().startswith(QUOTES) for token in getattr(self, name))
        ]
        return found


SettingsType = TypeVar("SettingsType", bound=BaseSettings)


def load(settings: type[SettingsType]) -> SettingsType:
    """Read the environment; ConfigurationError names every problem."""
    try:
        return settings()
    except UnusableEnvFile as error:
        raise ConfigurationError([str(error)]) from None
    except ValidationError as error:
        problems = [_sentence(problem["loc"], problem["type"], problem["msg"]) for problem in error.errors()]
        raise ConfigurationError(list(dict.fromkeys(problems))) from None


def _sentence(loc: tuple[int | str, ...], kind: str, message: str) -> str:
    """A problem by variable name; pydantic's messages say what is expected and leave the value out."""
    name = str(loc[0]).upper()
    if name == DATABASE_VARIABLES[0]:
        name += f" (or {', '.join(DATABASE_VARIABLES[1:])})"
    if kind == "missing":
        return f"{name} is not set"
    return f"{name} {message.removeprefix('Value error, ').removeprefix('Input ')}"
