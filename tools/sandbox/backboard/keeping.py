"""What the sandbox of `./dev run` keeps between two runs: the database keeps the ids of its assistants and threads.

Written about once a second while something changes, since a terminal that is closed ends everything without a word.
"""

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tools.sandbox.backboard.ledger import Ledger
from tools.sandbox.backboard.records import Books

SECONDS = 1.0
_FORMAT = TypeAdapter(Books)


@contextmanager
def kept(ledger: Ledger, file: Path) -> Iterator[None]:
    """Begin with what the file holds, and keep it up to date; one that cannot be read counts as empty."""
    with contextlib.suppress(FileNotFoundError, ValidationError):
        ledger.fill(_FORMAT.validate_json(file.read_bytes()))
    stopping = threading.Event()
    keeper = threading.Thread(target=_keep, args=(ledger, file, ledger.changes, stopping), name="keeper")
    keeper.start()
    try:
        yield
    finally:
        stopping.set()
        keeper.join()


def _keep(ledger: Ledger, file: Path, written: int, stopping: threading.Event) -> None:
    """`written` is the number of changes that the file knows."""
    while True:
        is_last = stopping.wait(SECONDS)
        changes = ledger.changes
        if changes != written or is_last:
            _write(ledger.books(), file)
            written = changes
        if is_last:
            return


def _write(books: Books, file: Path) -> None:
    """Through a second file, so that there is always a whole one; for the owner alone, as messages are in it."""
    whole = file.with_suffix(".new")
    whole.touch(mode=0o600)
    whole.write_bytes(_FORMAT.dump_json(books))
    whole.replace(file)
