"""The report of `doctor`: a line for each finding, then what to do."""

from app.commands.runtime import Echo, Misconfigured


class Report:
    """Prints each finding at once."""

    def __init__(self, echo: Echo) -> None:
        self._echo = echo
        self._todos: list[str] = []
        self._bad: set[str] = set()

    def ok(self, what: str, text: str, todo: str = "") -> None:
        self._print("ok", what, text, todo)

    def wrong(self, what: str, text: str, todo: str) -> None:
        self._bad.add(what)
        self._print("wrong", what, text, todo)

    def skip(self, *things: str, because_of: str) -> None:
        for what in things:
            self._bad.add(what)
            self._print("unknown", what, f"not asked: first the {because_of}")

    def is_bad(self, *things: str) -> bool:
        """Whether any of these checks has found something wrong, or could not be made."""
        return not self._bad.isdisjoint(things)

    def finish(self) -> int:
        """Print what to do; returns the exit code."""
        self._echo("")
        self._echo("What to do next:" if self._todos else "All is well; there is nothing to do.")
        for number, todo in enumerate(self._todos, 1):
            self._echo(f"  {number}. {todo}")
        return Misconfigured.exit_code if "configuration" in self._bad else int(bool(self._bad))

    def _print(self, state: str, what: str, text: str, todo: str = "") -> None:
        self._echo(f"{state:7}  {what:14}  {text}")
        if todo and todo not in self._todos:
            self._todos.append(todo)
