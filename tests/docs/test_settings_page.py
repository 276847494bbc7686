"""docs/settings.md has every variable that the settings read, once, with its default."""

from pydantic_core import PydanticUndefined

from tests.docs.pages import code, page, rows
from tests.docs.test_env_example import names_of_settings

ROWS = rows(page("docs/settings.md"))


def test_every_variable_has_one_row_and_no_other_has() -> None:
    assert sorted(name for row in ROWS for name in code(row[0])) == sorted(names_of_settings())


def test_the_defaults_in_the_table_are_those_of_the_settings() -> None:
    without: tuple[object, ...] = (None, PydanticUndefined, [])
    fields = names_of_settings().items()
    defaults = {name: [] if field.default in without else [str(field.default)] for name, field in fields}

    assert {code(row[0])[0]: code(row[1]) for row in ROWS} == defaults
