"""The environment variables of tests that load the settings from them: complete, and no others."""

import base64
from pathlib import Path

import pytest

from app.settings import DATABASE_VARIABLES, ConfigurationError, Settings, load

URL = "postgresql://app:canary-password@localhost/app"
SECRET = "whsec_" + base64.b64encode(b"canary-signing-secret-0001").decode()
COMPLETE = {"DATABASE_URL": URL, "CLERK_WEBHOOK_SIGNING_SECRET": SECRET, "BACKBOARD_API_KEY": "canary-key"}


def complete_environment(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Set the variables that the settings require and no others, in a folder without a .env."""
    for name in (*DATABASE_VARIABLES, *(field.upper() for field in Settings.model_fields)):
        monkeypatch.delenv(name, raising=False)
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)


def problems() -> list[str]:
    """The problems that load() finds; each begins with the name of a variable."""
    with pytest.raises(ConfigurationError) as caught:
        load(Settings)
    assert str(caught.value).splitlines() == caught.value.problems
    return caught.value.problems
