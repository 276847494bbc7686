""".env.example has every variable that the settings read, and no other."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import AliasChoices

from app.settings import PsqlSettings, Settings, load
from app.settings.environment import read_env_file

EXAMPLE = Path(__file__).parents[2] / ".env.example"
TEXT = EXAMPLE.read_text()

_ASSIGNMENT = re.compile(r"(?P<hidden># )?(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)")


def names_of_settings() -> dict[str, Any]:
    """Every name that the settings read, with its field."""
    names: dict[str, Any] = {}
    for name, field in (Settings.model_fields | PsqlSettings.model_fields).items():
        alias = field.validation_alias
        others = alias.choices if isinstance(alias, AliasChoices) else [name]
        names |= {str(other).upper(): field for other in others}
    return names


def assignments() -> list[re.Match[str]]:
    """The lines that set a variable, commented out or not, in their order."""
    return [match for line in TEXT.splitlines() if (match := _ASSIGNMENT.fullmatch(line))]


def required_names() -> list[str]:
    """The variables that the service cannot start without; of several names for one thing, the first."""
    fields = Settings.model_fields.items()
    required = [(name, field.validation_alias) for name, field in fields if field.is_required()]
    return [str(alias.choices[0]) if isinstance(alias, AliasChoices) else name.upper() for name, alias in required]


def test_the_example_names_every_variable_once_and_no_other() -> None:
    """The two other names of the database's address included."""
    assert sorted(match["name"] for match in assignments()) == sorted(names_of_settings())


def test_every_variable_has_a_comment() -> None:
    """One or two sentences stand right above each."""
    previous = ""
    for line in TEXT.splitlines():
        if match := _ASSIGNMENT.fullmatch(line):
            is_prose = previous.startswith("# ") and not _ASSIGNMENT.fullmatch(previous)
            assert is_prose, f"{match['name']} has no comment"
            assert previous.endswith("."), f"the comment of {match['name']} is not a sentence"
        previous = line


def test_required_variables_come_first() -> None:
    """Those to fill in are seen at once."""
    first_optional = TEXT.index("# ---- Optional ----")
    assert all(TEXT.index(f"\n# {name}=") < first_optional for name in required_names())


def test_every_line_is_commented_out() -> None:
    """A copy of the file makes no example count: `./dev run` would take it for the user's own database and key."""
    assert [match["name"] for match in assignments() if not match["hidden"]] == []


def test_the_defaults_shown_are_the_defaults() -> None:
    """A line shows the default, wherever the setting has one."""
    fields = names_of_settings()
    defaults = {match["name"]: fields[match["name"]].default for match in assignments() if match["hidden"]}
    shown = {match["name"]: match["value"] for match in assignments() if match["hidden"]}

    expected = {name: str(default) for name, default in defaults.items() if isinstance(default, str | int)}

    assert expected
    assert {name: shown[name] for name in expected} == expected


def test_a_copy_of_it_with_every_line_switched_on_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It parses as a .env, and every value it shows is one that the settings take."""
    text = "\n".join(_ASSIGNMENT.sub(r"\g<name>=\g<value>", line) for line in TEXT.splitlines())
    for name in names_of_settings():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(text)

    assert len(read_env_file(tmp_path / ".env")) == len(names_of_settings())
    assert load(Settings).backboard_api_key.get_secret_value() == "example-key-not-a-real-one"
