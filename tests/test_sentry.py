"""Lines at error go to Sentry where SENTRY_DSN is set, without anything about a person."""

import gzip
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app import log as service_log
from app.sentry import reporting
from tests.support.asgi import Log
from tools.processes import ROOT

Events = list[dict[str, Any]]


@contextmanager
def ingest() -> Iterator[tuple[str, Events]]:
    """Sentry's end of the line: a DSN on this machine, and the events that arrive there."""
    events: Events = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            lines = [json.loads(line) for line in body.splitlines() if line]
            events.extend(line for line in lines if "tags" in line)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{'0' * 32}@127.0.0.1:{server.server_port}/1", events
        server.shutdown()


def fail() -> None:
    canary = "canary@example.com"
    raise ValueError(canary)


def test_a_line_at_error_is_an_event_without_anything_about_a_person(log: Log) -> None:
    """What tells faults apart is there; ids of people, texts of exceptions and local variables are not."""
    with ingest() as (dsn, events), reporting(dsn, release="v7"):
        try:
            fail()
        except ValueError as error:
            service_log.exception(error)
        service_log.error("backboard_wrong_name", clerk_id="user_canary", reason="backboard_refused", request_id="abc")
        service_log.warning("slow", reason="canary")

    named, bug = sorted(events, key=lambda event: str(event["message"]))
    assert bug["message"].startswith("bug ValueError")
    assert named["tags"] == {"reason": "backboard_refused", "request_id": "abc"}
    assert named["fingerprint"] == ["backboard_wrong_name", "backboard_refused"]
    assert {event["release"] for event in events} == {"v7"}
    assert "canary" not in json.dumps(events).lower()
    assert len(log.lines()) == 3


def test_nothing_is_reported_afterwards_or_without_a_dsn(log: Log) -> None:
    with ingest() as (dsn, events):
        with reporting(dsn, release="v7"):
            pass
        with reporting(None, release="v7"):
            service_log.error("unheard")

    assert (events, len(log.lines())) == ([], 1)


def test_a_sentry_that_is_down_costs_its_events_only(log: Log) -> None:
    with ingest() as (dsn, _):
        pass
    with reporting(dsn, release="v7"):
        service_log.error("unheard")

    assert len(log.lines()) == 1


def test_the_package_is_not_imported_without_a_dsn() -> None:
    program = "import sys; from app.application import create_app; print('sentry_sdk' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)

    assert done.stdout == "False\n"
