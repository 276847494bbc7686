"""How `doctor` asks the database."""

from collections.abc import Awaitable, Callable

from app.postgres.pipeline import Rows, Statement

# The rows of a statement; raises DatabaseUnavailable.
Ask = Callable[[Statement], Awaitable[Rows]]
