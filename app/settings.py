"""The environment, read here and nowhere else; all problems are reported at once, by variable name."""

import base64
import binascii
import ipaddress
import re
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretBytes, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

DATABASE_VARIABLES = ("DATABASE_URL", "POSTGRES_URL", "PRISMA_DATABASE_URL")
# Standard Webhooks 1.0.0: 24 to 64 bytes.
KEY_LENGTHS = (24, 64)
# RFC 7518, section 3.3.
SHORTEST_KEY_BITS = 2048
LAST_PORT = 65_535
# The modes of libpq that never fall back to plain text.
TLS_MODES = ("require", "verify-ca", "verify-full")

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


def _database_url(url: SecretStr) -> SecretStr:
    text = url.get_secret_value()
    if text.startswith(("prisma://", "prisma+postgres://")):
        raise ValueError("is a Prisma Accelerate address, which speaks Prisma's own protocol; give the postgres:// one")
    if not text.startswith(("postgres://", "postgresql://")):
        raise ValueError("must begin with postgres:// or postgresql://")
    try:
        parts = conninfo_to_dict(text)
    except ProgrammingError:
        raise ValueError(
            "cannot be read by libpq: look for a character that needs percent-encoding, and take out parameters"
            " that only an ORM knows (schema, pgbouncer, connection_limit)"
        ) from None
    # libpq checks a port only when it connects. One of several hosts may leave its port empty.
    ports = str(parts.get("port") or "").split(",")
    if not all(re.fullmatch(r"[0-9]{0,5}", port) and 0 < int(port or "1") <= LAST_PORT for port in ports):
        raise ValueError(f"must have a port of 1 to {LAST_PORT}, or none")
    # libpq connects to hostaddr where that is given.
    hosts = str(parts.get("hostaddr") or parts.get("host") or "").split(",")
    if all(is_local(host) for host in hosts):
        return url
    mode = parts.setdefault("sslmode", "require")
    if mode not in TLS_MODES:
        raise ValueError("must not turn TLS off (sslmode) for a database on another machine")
    return SecretStr(make_conninfo(text, sslmode=str(mode)))


def is_local(host: str) -> bool:
    """Whether a libpq host is this machine: the directory of a socket, localhost, a loopback address."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _signing_key(secret: str) -> SecretBytes:
    """The key of a `whsec_` secret, strictly: Svix's library accepts almost any text."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    shortest, longest = KEY_LENGTHS
    if not secret.startswith("whsec_") or not shortest <= len(key) <= longest:
        raise ValueError("must be whsec_ and base64, exactly as Clerk's dashboard shows it")
    return SecretBytes(key)


def _not_empty(secrets: list[SecretBytes]) -> list[SecretBytes]:
    if not secrets:
        raise ValueError("holds no secret")
    return secrets


def _is_url(text: str) -> bool:
    """Whether httpx can use the address; urlsplit refuses some brackets and ports that httpx accepts at first."""
    import httpx  # noqa: PLC0415  # Only an environment that sets an address pays for it; migrate and psql do not.

    try:
        # Both decode the host and the port only when they are read.
        return text.isprintable() and " " not in text and urlsplit(text).port != 0 and bool(httpx.URL(text).host)
    except (ValueError, httpx.InvalidURL):
        return False


def _api_url(text: str) -> str:
    if not _is_url(text):
        raise ValueError("is not an address: look at the host, the port and for stray characters")
    url = urlsplit(text)
    host = url.hostname or ""
    if not host or not (url.scheme == "https" or (url.scheme == "http" and is_local(host))):
        raise ValueError("must be an https:// address (http:// only for this machine)")
    if url.username or url.password or url.query or url.fragment or not text.isascii():
        raise ValueError("must not carry a user, a query or a fragment")
    return text.rstrip("/")


def _public_key(pem: str) -> str:
    r"""PEM on several lines, or on one line with \n for each line break."""
    text = pem.replace("\\n", "\n").strip()
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("must be the PEM public key that Clerk's dashboard shows under API keys") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < SHORTEST_KEY_BITS:
        raise ValueError(f"must be an RSA key of {SHORTEST_KEY_BITS} bits or more")
    return text


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
# Backboard echoes it, perhaps twice and escaped, in a response that is read up to 256 KiB.
_SystemPrompt = Annotated[
    str, _matching("[^\ud800-\udfff]{1,20000}", "must be text in UTF-8 of no more than 20000 characters")
]
_InstanceId = Annotated[
    str, _matching(r"ins_[A-Za-z0-9]+", "must be ins_ and letters and digits, as Clerk's dashboard shows it")
]
_ApiUrl = Annotated[str, AfterValidator(_api_url)]
_SigningSecrets = Annotated[
    list[Annotated[SecretBytes, BeforeValidator(_signing_key)]], BeforeValidator(_split), AfterValidator(_not_empty)
]


class DatabaseSettings(BaseSettings):
    """For the commands that use only the database."""

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        env_ignore_empty=True,
        enable_decoding=False,
        hide_input_in_errors=True,
        validate_default=False,
        frozen=True,
    )

    database_url: Annotated[SecretStr, AfterValidator(_database_url)] = Field(
        validation_alias=AliasChoices(*DATABASE_VARIABLES)
    )


class PsqlSettings(DatabaseSettings):
    """For `psql`."""

    # The folder of Postgres' programs, where they are not on PATH.
    postgres_bin: str | None = None


class SenderSettings(BaseSettings):
    """For `trigger`, which sends events to a server on this machine."""

    model_config = DatabaseSettings.model_config

    clerk_webhook_signing_secret: _SigningSecrets
    port: int = Field(default=8000, ge=1, le=LAST_PORT)


class Settings(DatabaseSettings, SenderSettings):
    """All variables; .env.example explains each."""

    backboard_api_key: _HeaderValue
    backboard_api_url: _ApiUrl = "https://app.backboard.io/api"
    service_tokens: Annotated[list[_Token], BeforeValidator(_split)] = []
    assistant_name_prefix: _NamePrefix = "clerk:"
    assistant_system_prompt: _SystemPrompt | None = None
    clerk_secret_key: _ClerkKey | None = None
    clerk_api_url: _ApiUrl = "https://api.clerk.com/v1"
    clerk_issuer: _ApiUrl | None = None
    clerk_authorized_parties: Annotated[list[_Origin], BeforeValidator(_split)] = []
    clerk_jwt_key: Annotated[str, AfterValidator(_public_key)] | None = None
    clerk_instance_id: _InstanceId | None = None
    user_sessions_per_hour: int = Field(default=60, ge=0, le=1_000_000)
    user_messages_per_minute: int = Field(default=120, ge=0, le=1_000_000)
    user_searches_per_minute: int = Field(default=120, ge=0, le=1_000_000)
    provisioning_concurrency: int = Field(default=5, ge=1, le=100)
    query_connections: int = Field(default=3, ge=3, le=50)
    web_concurrency: int = Field(default=1, ge=1, le=64)
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)] = "info"
    log_format: Literal["logfmt", "json", "console"] = "logfmt"


SettingsType = TypeVar("SettingsType", bound=BaseSettings)


def load(settings: type[SettingsType]) -> SettingsType:
    """Read the environment; ConfigurationError names every problem."""
    try:
        return settings()
    except UnicodeDecodeError:
        raise ConfigurationError([".env is not text in UTF-8"]) from None
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
