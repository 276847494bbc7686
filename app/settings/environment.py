"""Where the settings come from: the environment, then `.env`, whose values stay as they are written."""

import codecs
import io
from pathlib import Path

from dotenv import dotenv_values
from pydantic import ValidationInfo, field_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

ENV_FILE = ".env"
# Variables of our own words: a quote or a blank at their ends may be meant.
FREE_TEXTS = ("assistant_system_prompt", "assistant_name_prefix", "service_tokens")
# str.strip leaves these, which a browser or an editor puts round what is copied.
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
QUOTES = ("'", '"', "`", "\u201c", "\u201d", "\u2018", "\u2019")


class UnusableEnvFile(Exception):
    """`.env` cannot be read; the message says why, and what to do."""


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of the file in their order; none if there is no file. Nothing is put in for `${name}`."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except IsADirectoryError:
        raise UnusableEnvFile(f"{ENV_FILE} is a folder: remove it, or put a file in its place") from None
    except OSError as error:
        why = (error.strerror or "").lower()
        raise UnusableEnvFile(f"{ENV_FILE} cannot be read ({why}): make it yours, with chown or chmod") from None
    values = dotenv_values(stream=io.StringIO(_decode(content)), interpolate=False)
    return {name: value for name, value in values.items() if value is not None}


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
    """`.env`, read as app/env_file.py does; pydantic's own reading puts variables in for `${name}`."""

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

    @field_validator("*", mode="before")
    @classmethod
    def _as_copied(cls, value: object, info: ValidationInfo) -> object:
        """Take off what copying leaves at the ends of a value; quotes are named, since no shell takes them off."""
        if not isinstance(value, str) or info.field_name in FREE_TEXTS:
            return value
        text = value.strip().strip(INVISIBLE).strip()
        if text.startswith(QUOTES) or text.endswith(QUOTES):
            raise ValueError("has a quote at its beginning or end, which counts as part of the value: take it out")
        return text
