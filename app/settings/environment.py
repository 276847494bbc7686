"""Where the settings come from: the environment, then `.env`; its values stay as they are written."""

import codecs
import errno
import io
import os
import re
import stat
from pathlib import Path

from dotenv.parser import Binding, parse_stream
from pydantic import ValidationInfo, field_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from app.settings.placeholders import is_placeholder

ENV_FILE = ".env"
# Variables of our own words: a quote or a blank at their ends may be meant.
FREE_TEXTS = ("assistant_system_prompt", "assistant_name_prefix", "service_tokens", "ops_tokens", "ops_view_tokens")
# Variables with several values, between commas.
LISTS = (
    *("service_tokens", "ops_tokens", "ops_view_tokens", "clerk_webhook_signing_secret"),
    "clerk_authorized_parties",
)
# What the platform calls a deployment or a machine; any name is a good one.
LABELS = ("release", "dyno")
# str.strip leaves these, which a browser or an editor puts round what is copied.
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
QUOTES = ("'", '"', "`", "\u201c", "\u201d", "\u2018", "\u2019")


class UnusableEnvFile(Exception):
    """`.env` cannot be read; the message says why, and what to do."""


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of the file in their order; none if there is no file. Nothing is put in for `${name}`."""
    try:
        content = _read(path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnusableEnvFile(f"{ENV_FILE} is a link that leads back to itself: {_REPLACE}") from None
        why = (error.strerror or "").lower()
        raise UnusableEnvFile(f"{ENV_FILE} cannot be read ({why}): make it yours, with chown or chmod") from None
    bindings = list(parse_stream(io.StringIO(_decode(content))))
    if broken := [_line(binding) for binding in bindings if binding.error]:
        lines = "line " + ", ".join(map(str, broken)) if len(broken) == 1 else "lines " + ", ".join(map(str, broken))
        raise UnusableEnvFile(f"{ENV_FILE} cannot be read in {lines}: write NAME=value, and close each quote")
    return {one.key: one.value for one in bindings if one.key is not None and one.value is not None}


_REPLACE = "remove it, or put a file in its place"


def _read(path: Path) -> bytes:
    """The content of a file; nothing else is read, since a pipe or a device may never end."""
    # Without waiting for the other end of a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise UnusableEnvFile(f"{ENV_FILE} is {_kind(mode)}: {_REPLACE}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "a device"


def _line(binding: Binding) -> int:
    """The number of its line, from 1; the text of a binding begins with the blank lines before it."""
    text = binding.original.string
    before = text[: len(text) - len(text.lstrip())]
    return binding.original.line + len(re.findall(r"\r\n|\n|\r", before))


def _decode(content: bytes) -> str:
    """The text of the file; editors on Windows put a mark in front, which is no part of the first name."""
    # A text without its mark has NUL beside each letter.
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        raise UnusableEnvFile(
            f"{ENV_FILE} is not text in UTF-8, but perhaps in UTF-16, as PowerShell writes it: save it as UTF-8"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnusableEnvFile(f"{ENV_FILE} is not text in UTF-8: save it as UTF-8") from None


class _EnvFile(DotEnvSettingsSource):
    """`.env`, read as above; pydantic's own reading puts variables in for `${name}`."""

    def _load_env_vars(self) -> dict[str, str | None]:
        return {name.lower(): value for name, value in read_env_file(Path(ENV_FILE)).items() if value}


class Environment(BaseSettings):
    """How the variables are read: the environment before `.env`, and an empty one as if it were not there."""

    model_config = SettingsConfigDict(
        extra="ignore",
        env_ignore_empty=True,
        enable_decoding=False,
        hide_input_in_errors=True,
        validate_default=False,
        frozen=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic's signature; replaced by ours.
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic's signature; there are none.
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _EnvFile(settings_cls)

    @field_validator("service_tokens", "ops_tokens", "ops_view_tokens", mode="before", check_fields=False)
    @classmethod
    def _no_placeholder(cls, value: object, info: ValidationInfo) -> object:
        """The texts of our own words that are secrets."""
        return _refuse_placeholders(value, info) if isinstance(value, str) else value

    @field_validator("*", mode="before")
    @classmethod
    def _as_copied(cls, value: object, info: ValidationInfo) -> object:
        """Take off what copying leaves at the ends of a value; quotes are named, since no shell takes them off."""
        if not isinstance(value, str) or info.field_name in FREE_TEXTS:
            return value
        text = value.strip().strip(INVISIBLE).strip()
        if text.startswith(QUOTES) or text.endswith(QUOTES):
            raise ValueError("has a quote at its beginning or end, which counts as part of the value: take it out")
        return text if info.field_name in LABELS else _refuse_placeholders(text, info)


def _refuse_placeholders(text: str, info: ValidationInfo) -> str:
    """ValueError for what a host, a shell, a template or a documentation has for a value, alone or in a list."""
    parts = text.split(",") if info.field_name in LISTS else [text]
    if any(is_placeholder(part.strip()) for part in parts):
        raise ValueError("is still a placeholder: give the value that belongs there")
    return text
