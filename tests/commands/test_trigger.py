"""`python -m app trigger`: what it delivers, how it signs, and what it prints about the responses."""

import http.server
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.__main__ import main
from app.clerk.events import parse
from app.clerk.signatures import SignatureVerifier
from app.commands import trigger
from tests.support import commands
from tests.support.environment import SECRET, complete_environment
from tools.processes import free_port

KEY = b"canary-signing-secret-0001"


@dataclass(frozen=True)
class Delivery:
    """A request that arrived."""

    path: str
    headers: Message
    body: bytes

    @property
    def svix_id(self) -> str:
        return str(self.headers["svix-id"])

    @property
    def event(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document

    def has_valid_signature(self) -> bool:
        """Whether the service would accept it; BadSignature if not."""
        raw = [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]
        return SignatureVerifier([KEY]).verify(raw, self.body, time.time()).svix_id == self.svix_id


@dataclass
class Receiver:
    """A server that answers every delivery alike."""

    status: int = 200
    answer: bytes = b'{"outcome": "created"}'
    headers: dict[str, str] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)
    port: int = 0


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver on PORT, the default of the command."""
    receiver = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.deliveries.append(Delivery(self.path, self.headers, body))
            self.send_response(receiver.status)
            for name, value in (receiver.headers | {"content-length": str(len(receiver.answer))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(receiver.answer)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    complete_environment(monkeypatch, tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.port = server.server_address[1]
        monkeypatch.setenv("PORT", str(receiver.port))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()


def run(words: str) -> Result:
    return CliRunner().invoke(main, ["trigger", *words.split()])


def clerk_id(event: dict[str, Any]) -> str:
    data = event["data"]
    return str(data["user"]["id"] if event["type"].startswith("session.") else data["id"])


@pytest.mark.parametrize("name", trigger.sample_names())
def test_a_sample_is_delivered_signed_and_dated_now(name: str, receiver: Receiver) -> None:
    """As Clerk's sender would deliver it; it can be parsed as an event of its type."""
    result = run(name)

    (delivery,) = receiver.deliveries
    assert (result.exit_code, result.stderr) == (0, "")
    assert (delivery.path, delivery.headers["content-type"]) == ("/webhooks/clerk", "application/json")
    assert delivery.has_valid_signature()
    event = parse(delivery.body, datetime.now(UTC))
    assert event.type == name
    assert abs(delivery.event["timestamp"] / 1000 - time.time()) < 60
    assert re.fullmatch(r"user_[A-Za-z0-9]{1,64}", clerk_id(delivery.event))


def test_the_outcome_of_each_delivery_is_printed(receiver: Receiver) -> None:
    """One line: message id, status, outcome."""
    result = run("user.created")

    assert result.stdout == f"{receiver.deliveries[0].svix_id}  200  created\n"


def test_count_delivers_events_of_so_many_users(receiver: Receiver) -> None:
    """Each has a Clerk id and a message id of its own."""
    result = run("user.created --count 3")

    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 3
    assert len({clerk_id(delivery.event) for delivery in receiver.deliveries}) == 3
    assert len({delivery.svix_id for delivery in receiver.deliveries}) == 3


def test_a_duplicate_is_the_same_message_again(receiver: Receiver) -> None:
    """The same id and the same bytes, with a valid signature both times."""
    run("user.created --count 2 --duplicate")

    first, again, second, second_again = receiver.deliveries
    assert (first.svix_id, first.body) == (again.svix_id, again.body)
    assert (second.svix_id, second.body) == (second_again.svix_id, second_again.body)
    assert first.svix_id != second.svix_id
    assert all(delivery.has_valid_signature() for delivery in receiver.deliveries)


@pytest.mark.parametrize("name", trigger.sample_names())
def test_a_user_can_be_named(name: str, receiver: Receiver) -> None:
    """The id is replaced everywhere in the event."""
    run(f"{name} --clerk-id user_named")

    (delivery,) = receiver.deliveries
    assert clerk_id(delivery.event) == "user_named"
    assert b"user_sample" not in delivery.body


def test_a_clerk_id_with_a_count_is_a_usage_error(receiver: Receiver) -> None:
    result = run("user.created --clerk-id user_named --count 2")

    assert (result.exit_code, receiver.deliveries) == (2, [])


@pytest.mark.parametrize("body", [b'{"type": "mine",   "data": {}}\n', b"\xff\xfe not text", b""], ids=ascii)
def test_a_file_is_delivered_byte_by_byte(body: bytes, receiver: Receiver, tmp_path: Path) -> None:
    """With a valid signature, whatever is in it, so that one can see what the service answers."""
    (tmp_path / "body").write_bytes(body)

    result = run(f"--file {tmp_path / 'body'}")

    assert result.exit_code == 0
    (delivery,) = receiver.deliveries
    assert delivery.body == body
    assert delivery.has_valid_signature()


def test_the_first_of_several_secrets_signs(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """During a rotation the new secret comes first."""
    monkeypatch.setenv("CLERK_WEBHOOK_SIGNING_SECRET", f"{SECRET},whsec_{'b2xk' * 8}")

    run("user.created")

    assert receiver.deliveries[0].has_valid_signature()


def test_a_refusal_is_printed_and_fails(receiver: Receiver) -> None:
    """Exit 1, with the title of the problem and the Retry-After; the other deliveries are made."""
    receiver.status, receiver.headers = 503, {"Retry-After": "5"}
    receiver.answer = b'{"type": "about:blank", "title": "Service initialization failed", "status": 503}'

    result = run("user.created --count 2")

    assert result.exit_code == 1
    assert len(receiver.deliveries) == 2
    for delivery, line in zip(receiver.deliveries, result.stdout.splitlines(), strict=True):
        assert line == f"{delivery.svix_id}  503  Service initialization failed, again after 5 s"


@pytest.mark.parametrize(
    ("status", "answer"), [(404, b"<html>"), (302, b""), (500, b'"text"'), (400, b"[]"), (502, b"{}")], ids=ascii
)
def test_a_response_of_another_program_is_printed_and_fails(status: int, answer: bytes, receiver: Receiver) -> None:
    """No redirect is followed, and nothing in the response counts as an outcome."""
    receiver.status, receiver.answer, receiver.headers = (
        status,
        answer,
        {"Location": f"http://127.0.0.1:{receiver.port}/"},
    )

    result = run("user.created")

    assert (result.exit_code, len(receiver.deliveries)) == (1, 1)
    assert f"  {status}  (not an answer of this service)" in result.stdout


@pytest.mark.parametrize(
    "url",
    [
        *("nowhere", "localhost:8000", "//localhost:8000", "ftp://localhost", "http://", "http://[", "http://a b", ""),
        *(
            "http://localhost:8000?a=b",
            "http://localhost:8000/#",
            "http://localhost/webhooks/clerk?",
            "http:/localhost",
        ),
        *("http://canary:canary@localhost", "http://localhost:99999", "http://localhost\\webhooks"),
        *(
            "http://my..host:8000",
            "http://..",
            "http://.canary",
            f"http://{'a' * 300}.example.com",
            "http://b\u00fc..de",
        ),
    ],
)
def test_an_address_that_is_none_is_a_usage_error(url: str, receiver: Receiver) -> None:
    """Exit 2, with what to write; nothing is sent."""
    result = CliRunner().invoke(main, ["trigger", "user.created", "--url", url])

    assert (result.exit_code, receiver.deliveries) == (2, [])
    assert "--url must be http:// or https://" in result.output
    assert "canary" not in result.output


def test_a_server_that_is_not_there_is_one_sentence(receiver: Receiver) -> None:
    """Exit 1, and no traceback."""
    url = f"http://127.0.0.1:{free_port()}"

    result = CliRunner().invoke(main, ["trigger", "user.created", "--url", url])

    assert (result.exit_code, receiver.deliveries) == (1, [])
    assert isinstance(result.exception, SystemExit)
    (line,) = result.output.splitlines()
    assert "is the server running at" in line


@pytest.mark.parametrize("path", ["", "/", "/webhooks/clerk", "/webhooks/clerk/"])
def test_url_names_another_server_or_its_endpoint(
    path: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint's address is what Clerk's dashboard shows."""
    monkeypatch.setenv("PORT", "1")

    assert run(f"user.created --url http://127.0.0.1:{receiver.port}{path}").exit_code == 0
    assert receiver.deliveries[0].path == "/webhooks/clerk"


def test_a_path_in_front_of_the_endpoint_is_kept(receiver: Receiver) -> None:
    """A proxy may serve the service under one."""
    for path in ("/chat", "/chat/", "/chat/webhooks/clerk"):
        run(f"user.created --url http://127.0.0.1:{receiver.port}{path}")

    assert [delivery.path for delivery in receiver.deliveries] == ["/chat/webhooks/clerk"] * 3


def test_it_needs_only_the_secret_and_the_port(receiver: Receiver) -> None:
    code, stdout, stderr = commands.run(
        "trigger", "user.created", CLERK_WEBHOOK_SIGNING_SECRET=SECRET, PORT=str(receiver.port)
    )

    assert (code, stderr) == (0, "")
    assert stdout.endswith("  200  created\n")
