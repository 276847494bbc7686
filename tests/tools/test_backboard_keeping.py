"""What the sandbox of `./dev run` holds outlives it, as the database does."""

import json
import threading
from pathlib import Path

import pytest

from tests.support.factories import API_KEY
from tools.sandbox.backboard import Sandbox, keeping
from tools.sandbox.backboard.keeping import kept
from tools.sandbox.backboard.records import Books
from tools.sandbox.http import Request, Response


def call(sandbox: Sandbox, method: str, path: str, body: bytes = b"") -> Response:
    """A call without its network."""
    headers = {"x-api-key": API_KEY, "content-type": "application/json"}
    request = Request(method, f"/api{path}", {}, headers, body)
    _, fault, account = sandbox.record(request)
    return sandbox.work(account, request, fault)


def test_the_next_run_goes_on_with_assistants_threads_and_memories(tmp_path: Path) -> None:
    """Deleted assistants stay deleted; what was kept is listed at once."""
    file = tmp_path / "backboard.json"
    first, second = Sandbox([API_KEY]), Sandbox([API_KEY])
    with kept(first, file):
        living, deleted = first.make_assistant("living").id, first.make_assistant("deleted").id
        thread = first.make_thread(living).id
        sent = b'{"content": "hi", "memory": "Auto", "metadata": {"page": 7}}'
        assert call(first, "POST", f"/threads/{thread}/messages", sent).status == 200
        assert call(first, "DELETE", f"/assistants/{deleted}").status == 200

    with kept(second, file):
        assert [one.name for one in second.alive()] == ["living"]
        assert [one.name for one in second.made()] == ["living", "deleted"]
        assert second.messages(thread) == first.messages(thread)
        assert second.memories(living) == ["hi"]
        assert call(second, "GET", f"/assistants/{deleted}").status == 404
        assert call(second, "POST", f"/threads/{thread}/messages", sent).status == 200
        assert [one["assistant_id"] for one in json.loads(call(second, "GET", "/assistants").body)] == [living]

    assert file.stat().st_mode & 0o777 == 0o600


def test_a_change_is_written_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that is closed ends it without a word."""
    written, write = threading.Event(), keeping._write

    def note(books: Books, file: Path) -> None:
        write(books, file)
        written.set()

    monkeypatch.setattr(keeping, "SECONDS", 0.01)
    monkeypatch.setattr(keeping, "_write", note)
    file, sandbox = tmp_path / "backboard.json", Sandbox([API_KEY])
    with kept(sandbox, file):
        call(sandbox, "POST", "/assistants", b'{"name": "clerk:user_1"}')
        assert written.wait(10)
        assert b"clerk:user_1" in file.read_bytes()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"assistants": [{}]}'])
def test_a_file_that_cannot_be_read_counts_as_empty(tmp_path: Path, content: bytes) -> None:
    """One of an older checkout, for instance; the end writes a whole one."""
    file, sandbox = tmp_path / "backboard.json", Sandbox([API_KEY])
    file.write_bytes(content)
    with kept(sandbox, file):
        assert sandbox.made() == []

    assert file.read_bytes().startswith(b'{"assistants":[]')
